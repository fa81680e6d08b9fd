"""A file of measured runs of a user's own, in the form of a published set."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from inspector.errors import InspectorError
from inspector.files import MAX_JSON_VALUES, read_text
from inspector.validation.forms import ALL, FORMS
from inspector.validation.runs import question

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from inspector.validation.published_run import Question

Record = dict[str, object]


def own_runs(path: Path, form: str = "") -> tuple[Question, ...]:
    """The runs of a file: a list of records, or ``{"form": ..., "records": [...]}``.

    Which form they have is what ``form`` says, else what the file or its records say in a field ``form``, else the one
    form that has fields of theirs for itself, else the file's name.

    Raises InspectorError when the file is no such list, when its form is unknown or could be several, and when two
    records have one id.
    """
    records, said = _records(path)
    name = _form(path, records, form, said)
    asked = [
        question(record, name, file=path.name, name=f"#{number}", folder=path.parent)
        for number, record in enumerate(records, 1)
    ]
    return _told_apart(path, asked, records)


def _records(path: Path) -> tuple[list[Record], set[str]]:
    """The records, and every form that the file says it has."""
    data = _json(read_text(path), path)
    said: set[str] = set()
    if isinstance(data, dict):
        if "records" not in data:
            raise InspectorError(f"{path} holds one JSON object", hint="a file of runs is a list of records: [{...}]")
        said = _forms_in([data], path)
        if unknown := sorted(set(data) - {"form", "records"}):
            raise InspectorError(f"{path} says {unknown[0]!r} beside its records", hint="form and records go there")
        data = data["records"]
    if not isinstance(data, list):
        raise InspectorError(f"{path} holds no list of records", hint="a file of runs is a list of records: [{...}]")
    if not data:
        raise InspectorError(f"{path} holds no runs")
    for number, record in enumerate(data, 1):
        if not isinstance(record, dict):
            raise InspectorError(f"record {number} of {path} is no JSON object")
    return data, said | _forms_in(data, path)


def _json(text: str, path: Path) -> object:
    # Before the text is parsed, for the reason given at `MAX_JSON_VALUES`.
    if sum(map(text.count, ",[{")) > MAX_JSON_VALUES:
        raise InspectorError(f"{path} has over {MAX_JSON_VALUES:,} values", hint="is this the right file?")

    def no_number(word: str) -> NoReturn:
        raise InspectorError(f"{path} is not JSON: {word} is no number there", hint="write null where nothing was read")

    def once(pairs: list[tuple[str, object]]) -> Record:
        # Python keeps the last of two; the first would be ignored without a word.
        twice = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
        if twice:
            raise InspectorError(f"{path} says {twice[0]!r} twice in one object")
        return dict(pairs)

    try:
        return json.loads(text, parse_constant=no_number, object_pairs_hook=once)
    except RecursionError:
        raise InspectorError(f"{path} is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InspectorError(f"{path} is not JSON: {error.msg} at line {error.lineno}") from None
    except ValueError as error:  # an integer of thousands of digits
        raise InspectorError(f"{path} is not usable JSON: {error}") from None


def _forms_in(parts: Sequence[Mapping[str, object]], path: Path) -> set[str]:
    found = [part["form"] for part in parts if part.get("form") is not None]
    for name in found:
        if not isinstance(name, str):
            raise InspectorError(f"form in {path} is not a name", hint=f"choose from {', '.join(FORMS)}")
    return {str(name) for name in found}


def _form(path: Path, records: Sequence[Record], asked: str, said: set[str]) -> str:
    named = said | ({asked} if asked else set())
    for name in sorted(named):
        if name not in ALL:
            raise InspectorError(f"no form is named {name!r}", hint=f"choose from {', '.join(FORMS)}")
    if not named:
        # Null says nothing of the form either: exports have every column there is.
        given = {name for record in records for name, value in record.items() if value is not None}
        named = {name for name, form in ALL.items() if form.own & given}
        # Last, since a copy of a published file may hold anything by now.
        if not named and path.stem in ALL:
            return path.stem
    if len(named) == 1:
        return named.pop()
    if named:
        names = " or ".join(name for name in ALL if name in named)
        raise InspectorError(f"{path} could be of the form {names}", hint="one file has one form; say it with --form")
    raise InspectorError(
        f"the form of {path} cannot be told from its fields", hint=f"--form is one of {', '.join(FORMS)}"
    )


def _told_apart(path: Path, asked: Sequence[Question], records: Sequence[Record]) -> tuple[Question, ...]:
    """Every run under an id of its own: ids that a file gives must differ, names made here are numbered."""
    given = [run.id for run, record in zip(asked, records, strict=True) if record.get("id") is not None]
    if twice := [name for name, times in Counter(given).items() if times > 1]:
        raise InspectorError(f"{path} has two runs with the id {twice[0]!r}", hint="ids tell the runs apart")
    # Forms without ids name a run by what it is, and two measurements of one setting have one name.
    taken = Counter(run.id for run in asked)
    return tuple(
        run if taken[run.id] == 1 or record.get("id") is not None else replace(run, id=f"{run.id} #{number}")
        for number, (run, record) in enumerate(zip(asked, records, strict=True), 1)
    )

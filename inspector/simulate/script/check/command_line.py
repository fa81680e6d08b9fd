"""Options that a script's own parser hands on to a trainer: `--deepspeed ds.json`, or the same in a `--config` file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import read_text
from inspector.simulate.script.check import hub_names
from inspector.simulate.script.check.arguments import KEYWORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inspector.simulate.script.check.arguments import Said
    from inspector.simulate.script.check.hub_names import Given

PARSERS = frozenset({"HfArgumentParser", "TrlParser"})
"""Classes that make options of a config's fields."""


def of_words(argv: Sequence[str], given: Given) -> Iterator[tuple[Said, str]]:
    """What the command line asks for that is not simulated, and whether its words or a file of its say so."""
    for said in _of_options(options_of(argv), given):
        yield said, "the command line"
    for at, word in enumerate(argv):
        file = word.partition("=")[2] if word.startswith("--config=") else ""
        if word == "--config" and at + 1 < len(argv):
            file = argv[at + 1]
        elif at == 0 and word.endswith((".yaml", ".yml", ".json")):
            file = word
        if file:
            for said in _of_options(config_of(file), given):
                yield said, file


def options_of(argv: Sequence[str]) -> dict[str, Any]:
    """``--name value``, ``--name=value`` and ``--name`` by their names, as `HfArgumentParser` spells them."""
    found: dict[str, Any] = {}
    for at, word in enumerate(argv):
        if not word.startswith("--"):
            continue
        name, equals, value = word[2:].partition("=")
        following = argv[at + 1] if at + 1 < len(argv) else "--"
        given: Any = value if equals else True if following.startswith("--") else following
        found[name.replace("-", "_")] = {"true": True, "false": False}.get(str(given).lower(), given)
    return found


def _of_options(options: dict[str, Any], given: Given) -> Iterator[Said]:
    for name, value in options.items():
        if name in KEYWORDS:
            asked, said = KEYWORDS[name]
            if asked(value):
                yield said
        elif name == "model_name_or_path" and isinstance(value, str):
            yield from hub_names.model(value, given)
        elif name == "dataset_name" and isinstance(value, str):
            yield from hub_names.data_set(value, given)
        elif name == "datasets" and isinstance(value, list):
            for each in value:
                path = each.get("path") if isinstance(each, dict) else None
                yield from hub_names.data_set(path if isinstance(path, str) else None, given)


def config_of(file: str) -> dict[str, Any]:
    """A ``--config`` file's options; none where it is no such file, which the script itself will tell."""
    import yaml

    try:
        found = yaml.safe_load(read_text(Path(file)))
    except (yaml.YAMLError, InspectorError):
        return {}
    return found if isinstance(found, dict) else {}

"""The changes that a script offers, found in its text: cheapest first."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.simulate.script.advice.calls import of_loading, of_optimizer
from inspector.simulate.script.advice.change import SAVED, ScriptChange
from inspector.simulate.script.advice.configs import is_trainer_config, of_config
from inspector.simulate.script.advice.numbers import of_numbers, option_changes
from inspector.simulate.script.check.command_line import PARSERS
from inspector.simulate.script.check.reached import Reach
from inspector.simulate.script.check.sources import read_source
from inspector.simulate.script.overrides import Edit, Override

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.simulate.script.check.reached import Reached
    from inspector.simulate.script.check.sources import Source
    from inspector.simulate.script.invocation import Invocation

_SEGMENTS = "expandable_segments:True"


def candidates(what: Invocation) -> tuple[ScriptChange, ...]:
    """What could be changed about a script, cheapest first: nothing is run, and no library is imported.

    The text of the script is looked at, and that of the modules beside it that it comes to.
    """
    found = [_segments()]
    path = what.source
    own = path is not None and not {"site-packages", "dist-packages"} & set(path.absolute().parts)
    if path is not None and own and what.kind != "entry":
        main = read_source(path, "__main__", shown=what.shown if what.kind != "module" else None)
        reach = Reach(main, what.argv, dict(what.environment), what.home)
        # A script runs as it is read; what Python imports, or runs by -m, is known by its file.
        files = {source.name: str(source.folder / Path(source.file).name) for source in reach.sources.values()}
        if what.kind != "module":
            files["__main__"] = ""
        found += _in_text(reach, files)
    if path is not None and (not own or not any(change.place for change in found)):
        found += _in_words(what, own=own)
    unique: dict[str, ScriptChange] = {}
    for change in found:
        unique.setdefault(change.what, change)
    order = ("segments", "attention", "checkpointing", "batch", "state", "precision", "bits", "rank", "length")
    return tuple(sorted(unique.values(), key=lambda change: order.index(change.same_as)))


def _segments() -> ScriptChange:
    """Of the allocator, whatever the script is: less is held and not used."""
    name = f"PYTORCH_CUDA_ALLOC_CONF={_SEGMENTS}"
    override = Override(environment=(("PYTORCH_CUDA_ALLOC_CONF", _SEGMENTS),))
    return ScriptChange(name, "nothing", None, override, frozenset(), "segments")


def _in_text(reach: Reach, files: Mapping[str, str]) -> Iterator[ScriptChange]:
    """Of the script and the modules beside it: calls, and the numbers that its author gave names.

    ``files`` is where each source's text is changed.
    """
    calls = [each for each in reach.nodes if isinstance(each.node, ast.Call)]
    meant = {id(each.node): reach.meaning(_called(each), each.source) or "" for each in calls}
    said: set[str] = set()
    for source in reach.sources.values():
        for change in _of_calls(reach, source, calls, meant):
            said.add(change.same_as)
            yield replace(change, override=change.override.in_file(files[source.name]))
    for source in reach.sources.values():
        for change in of_numbers(source, reach, [each for each in calls if each.source is source]):
            # A config that says its batch is where that is changed; else where it takes it from.
            if change.same_as not in said:
                yield replace(change, override=change.override.in_file(files[source.name]))


def _of_calls(reach: Reach, source: Source, calls: list[Reached], meant: dict[int, str]) -> Iterator[ScriptChange]:
    """A trainer's config, what loads the model, the optimizer."""
    names = set(meant.values()) | {_called_name(each) for each in calls}
    trains_adapters = any(name.startswith("peft.") or name.endswith("get_peft_model") for name in names)
    values = reach.values(source)
    for each in calls:
        call = each.node
        if each.source is source and isinstance(call, ast.Call):
            place = source.place(each.part, call)
            yield from of_config(call, meant[id(call)], values, place)
            yield from of_loading(call, meant[id(call)], values, place, adapters=trains_adapters)
            yield from of_optimizer(call, meant[id(call)], place)
    if not any(is_trainer_config(name) for name in names):
        yield from _checkpointing(reach, source, calls, meant)


def _checkpointing(reach: Reach, source: Source, calls: list[Reached], meant: dict[int, str]) -> Iterator[ScriptChange]:
    """A line behind the one that makes the model, in a script that trains it by hand."""
    if any(_called_name(each) == "gradient_checkpointing_enable" for each in calls):
        return
    for each in reach.nodes:
        node = each.node
        if each.source is not source or not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        loads = [call for call in ast.walk(node.value) if isinstance(call, ast.Call)
                 and meant.get(id(call), "").startswith("transformers.AutoModel")
                 and meant[id(call)].endswith((".from_pretrained", ".from_config"))]  # fmt: skip
        if loads and node.end_lineno is not None and node.end_col_offset is not None:
            line = f"{node.targets[0].id}.gradient_checkpointing_enable()"
            # With inputs that need a gradient, or frozen weights under it would leave adapters without one.
            whole = f"; {node.targets[0].id}.enable_input_require_grads(); {line}"
            end = node.end_lineno, node.end_col_offset
            edit = Edit(each.part.cell, *end, *end, whole)
            place = source.place(each.part, node)
            yield ScriptChange(line, "about a third more time", place, Override((edit,)), SAVED, "checkpointing")
            return


def _in_words(what: Invocation, *, own: bool) -> Iterator[ScriptChange]:
    """Of the command line, where a parser makes options of a config's fields."""
    path = what.source
    text = path.read_text(encoding="utf-8", errors="replace") if path is not None else ""
    if any(name in text for name in PARSERS) or (not own and what.kind == "module" and what.target.startswith("trl.")):
        yield from option_changes(what)


def _called(each: Reached) -> ast.AST:
    assert isinstance(each.node, ast.Call)
    return each.node.func


def _called_name(each: Reached) -> str:
    func = _called(each)
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""

"""Numbers that the author of a loop made options of the command line, constants, or arguments of a loader."""

from __future__ import annotations

import ast
import itertools
import re
from typing import TYPE_CHECKING

from inspector.simulate.script.advice.change import PER_TOKEN, SAVED, ScriptChange
from inspector.simulate.script.advice.configs import trainer_changes
from inspector.simulate.script.check.command_line import config_of, options_of
from inspector.simulate.script.check.values import UNKNOWN
from inspector.simulate.script.overrides import Override, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.script.check.reached import Reach, Reached
    from inspector.simulate.script.check.sources import Part, Source
    from inspector.simulate.script.check.values import Values
    from inspector.simulate.script.invocation import Invocation

_BATCH = re.compile(
    r"(?:(?:per_(?:device|gpu)_)?(?:train_)?|micro_?|mini_?)(?:batch(?:_?size)?|bs|bsz)$", re.IGNORECASE
)
_TIMES = re.compile(
    r"(?:grad(?:ient)?_?)?accum(?:ulat(?:e|ion))?(?:_?(?:steps|grad|batches|iters|iter))?$", re.IGNORECASE
)
_LENGTH = re.compile(
    r"(?:max_?)?(?:seq(?:uence)?_?len(?:gth)?|context_?len(?:gth)?|length|block_?size|max_?len)$", re.IGNORECASE
)
_COSTS = {"length": "shorter samples", "batch": "smaller batches"}


def of_numbers(main: Source, reach: Reach, calls: list[Reached]) -> Iterator[ScriptChange]:
    """Smaller batches and shorter samples, where a number in the script or on its command line says so."""
    yield from _options(reach.values(main))
    for part in main.parts:
        for name, value, between in _named(part.tree):
            yield from _written(main, part, value, f"{name}{between}", _about(name))
    for each in calls:
        call = each.node
        if isinstance(call, ast.Call) and _takes_numbers(call, reach.meaning(call.func, main), reach):
            for word in call.keywords:
                yield from _written(main, each.part, word.value, f"{word.arg}=", _about(word.arg or ""))


def _named(tree: ast.Module) -> Iterator[tuple[str, ast.expr, str]]:
    """Names with what stands behind them: constants, fields of classes, entries of a dictionary."""
    within = [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in itertools.chain(tree.body, *within):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                yield target.id, node.value, " = "
            for inner in ast.walk(node.value):
                for key, value in zip(inner.keys, inner.values, strict=True) if isinstance(inner, ast.Dict) else ():
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield f"{key.value!r}", value, ": "


def _about(name: str) -> str:
    plain = name.strip("'\"")
    return "batch" if _BATCH.match(plain) else "length" if _LENGTH.match(plain) else ""


def _takes_numbers(call: ast.Call, meant: str | None, reach: Reach) -> bool:
    """Whether a call is a loader's, or of what the user wrote: a library's means something of its own by a batch."""
    if meant is not None:
        return meant.endswith("data.DataLoader") or meant.rpartition(".")[0] in reach.sources
    return isinstance(call.func, ast.Name)


def option_changes(what: Invocation) -> Iterator[ScriptChange]:
    """A trainer's options on the command line, or put behind it: they count before those of a config file."""
    typed = options_of(what.argv)
    said = {**config_of(str(typed.get("config", ""))), **typed}
    for row in trainer_changes(said, of_trl=True):
        argv = tuple(word for name, value in row.words.items() for word in (f"--{name}", value.strip("'")))
        yield ScriptChange(" ".join(argv), row.cost, None, Override(argv=argv), row.of, row.about)


def _options(values: Values) -> Iterator[ScriptChange]:
    """Of the script's own parser, with the accumulation that keeps the batch where there is one."""
    for name, value in values.options.items():
        if value is False and name in values.flags and re.search(r"checkpointing|grad_?ckpt", name, re.IGNORECASE):
            override = Override(argv=(values.flags[name],))
            yield ScriptChange(values.flags[name], "about a third more time", None, override, SAVED, "checkpointing")
    counts = {name: count for name, value in values.options.items() if (count := _count(value)) is not None}
    options = {name: count for name, count in counts.items() if name in values.flags}
    times = next((name for name in options if _TIMES.match(name)), None)
    for name, count in options.items():
        about = "batch" if _BATCH.match(name) else "length" if _LENGTH.match(name) else ""
        for smaller in _smaller(count, about):
            argv = [values.flags[name], str(smaller)]
            cost = _COSTS[about]
            if times is not None and about == "batch":
                argv += [values.flags[times], str(-(-count * options[times] // smaller))]
                cost = "some time"
            yield ScriptChange(" ".join(argv), cost, None, Override(argv=tuple(argv)), PER_TOKEN, about)


def _written(main: Source, part: Part, value: ast.expr, before: str, about: str) -> Iterator[ScriptChange]:
    """A number that stands in the text."""
    count = _count(value.value) if isinstance(value, ast.Constant) else None
    for smaller in _smaller(count, about) if count is not None else []:
        edit = replacing(value, str(smaller), part.cell)
        place = main.place(part, value)
        yield ScriptChange(f"{before}{smaller}", _COSTS[about], place, Override((edit,)), PER_TOKEN, about)


def _smaller(count: int, about: str) -> list[int]:
    """Half a batch before a quarter and one sample; half a length, where that is one still."""
    if about == "batch":
        return sorted({count // 2, count // 4, 1} - {0, count}, reverse=True)
    return [count // 2] if about == "length" and count >= 256 else []


def _count(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    known = value is not UNKNOWN and isinstance(value, int) and not isinstance(value, bool)
    return value if known and isinstance(value, int) and value > 0 else None

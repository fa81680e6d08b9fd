"""What in a script cannot be simulated, with its lines, before anything of it runs and without importing torch."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.simulate.script.check import arguments, command_line, hub_names, rules
from inspector.simulate.script.check.installed import distribution, is_here
from inspector.simulate.script.check.names import imported
from inspector.simulate.script.check.reached import Reach, Reached
from inspector.simulate.script.check.report import GRADES, CheckReport, Finding, Grade, Place
from inspector.simulate.script.check.sources import read_source
from inspector.simulate.script.invocation import Invocation, parse_invocation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

__all__ = ["CheckReport", "Finding", "Grade", "Place", "check_script"]


def check_script(
    script: Invocation | Path | str, *, data: Collection[str] = (), lengths: bool = False, network: bool = False
) -> CheckReport:
    """Read a script, and the user's own modules that it imports, for what a dry run cannot simulate.

    Args:
        script: what is run, or a script's path.
        data: names of data sets on the hub that files are given for.
        lengths: whether lengths of samples are given in place of data sets.
        network: whether the network may be used: models and data sets that are not here are fetched then.

    Raises:
        InspectorError: when there is no such file, or no source to read.
    """
    what = script if isinstance(script, Invocation) else parse_invocation([str(script)])
    path = what.source
    if path is None:
        raise InspectorError(f"{what.name or what.target} has no source that could be read")
    given = hub_names.Given(frozenset(data), lengths)
    own = what.kind != "entry" and not _is_installed(path)
    found: list[Finding] = []
    files: tuple[str, ...] = ()
    if own:
        main = read_source(path, "__main__", shown=what.shown if what.kind != "module" else None)
        reach = Reach(main, what.argv, dict(what.environment), what.home)
        files = tuple(dict.fromkeys(source.file for source in reach.sources.values()))
        for source in reach.sources.values():
            found += [Finding("error", mistake.what, "", mistake.place) for mistake in source.mistakes]
            for line in source.skipped:
                place = Place(source.file, line.line, line.cell)
                found.append(Finding("skipped", f"{line.what}: {_cut(line.text)}", "", place))
        given = replace(given, made=frozenset(_made(reach)))
        found += _findings(reach, given)
    # An installed module is no code of the user's; what it is told is.
    if not own or any(name.rpartition(".")[2] in command_line.PARSERS for name in _used(reach)):
        for (grade, said, instead), where in command_line.of_words(what.argv, given):
            found.append(Finding(grade, said, instead, Place(where, 0)))
    if what.launch:
        found = [each for each in found if each.what.partition(":")[0] not in rules.OF_RANKS]
    if network:
        found = [each for each in found if "network" not in each.instead and "on this disk" not in each.what]
    return CheckReport(what.name or what.target, _ordered(found, files), files)


def _made(reach: Reach) -> Iterator[str]:
    """The folders that the script makes before it may load from them."""
    for each in reach.nodes:
        if isinstance(each.node, ast.Call):
            yield from hub_names.made_by(each.node, reach.values(each.source))


def _findings(reach: Reach, given: hub_names.Given) -> Iterator[Finding]:
    """What every line that is reached asks for."""
    packages: set[str] = set()
    missing: set[tuple[str, bool]] = set()
    for each in reach.nodes:
        for dotted in imported(each.node, each.source):
            packages.add(dotted.partition(".")[0])
            for finding in _imported(reach, each, dotted):
                # A package that is missing is one thing to do, however often it is imported.
                if "not installed" not in finding.what or (finding.what, each.certain) not in missing:
                    missing.add((finding.what, each.certain))
                    yield finding
        for grade, what, instead in _asked(reach, each, given):
            place = each.source.place(each.part, each.node)
            yield Finding(grade, what, instead, place, each.certain)
    others = [rule for name in packages if (rule := rules.imported(name)) and rule.what in rules.FRAMEWORKS]
    if others and not packages & rules.OF_PYTORCH:
        place = Place(reach.sources["__main__"].file, 1)
        yield Finding("refused", f"{others[0].what}, and nothing of PyTorch", "only PyTorch is simulated", place)


def _imported(reach: Reach, each: Reached, dotted: str) -> Iterator[Finding]:
    place = each.source.place(each.part, each.node)
    package = dotted.partition(".")[0]
    own = package in {name.partition(".")[0] for name in reach.sources} or reach.beside(package)
    if own or not package:
        return
    if (rule := rules.imported(dotted)) is not None:
        yield Finding(rule.grade, rule.what, rule.instead, place, each.certain)
        if rule.grade == "refused":
            return
    if not is_here(package, notebook=bool(place.cell)):
        told = f"{package} is not installed here"
        yield Finding("refused", told, f"pip install {distribution(package)}", place, each.certain)


def _asked(reach: Reach, each: Reached, given: hub_names.Given) -> Iterator[arguments.Said]:
    """What one call, decorator or base class asks for."""
    node, values = each.node, reach.values(each.source)
    if isinstance(node, ast.Call):
        meant = reach.meaning(node.func, each.source)
        yield from _by_name(meant)
        yield from arguments.of_call(node, meant, values)
        yield from hub_names.of_call(node, meant, values, given)
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        bases = node.bases if isinstance(node, ast.ClassDef) else []
        for named in [*node.decorator_list, *bases]:
            # A decorator that is called is a call of its own, found above.
            if not isinstance(named, ast.Call):
                yield from _by_name(reach.meaning(named, each.source))


def _by_name(meant: str | None) -> Iterator[arguments.Said]:
    rule = rules.called(meant) if meant is not None else None
    if rule is not None:
        yield rule.grade, rule.what, rule.instead


def _used(reach: Reach) -> Iterator[str]:
    """The full names of all that is called."""
    for each in reach.nodes:
        if isinstance(each.node, ast.Call) and (meant := reach.meaning(each.node.func, each.source)):
            yield meant


def _ordered(found: list[Finding], files: Sequence[str]) -> tuple[Finding, ...]:
    """The gravest first, each once a line; of the same thing said of one line, what is certain."""
    best: dict[tuple[Grade, str, Place], Finding] = {}
    for each in found:
        key = each.grade, each.what, each.place
        if key not in best or each.certain:
            best[key] = each

    def place(each: Finding) -> tuple[int, bool, int, int, int]:
        file = files.index(each.place.file) if each.place.file in files else len(files)
        return GRADES.index(each.grade), not each.certain, file, each.place.cell, each.place.line

    return tuple(sorted(best.values(), key=place))


def _is_installed(path: Path) -> bool:
    """Whether a file is a package's, and no user's own."""
    return bool({"site-packages", "dist-packages"} & set(path.absolute().parts))


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."

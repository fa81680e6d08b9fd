"""The house keeps its order: imports run downwards, one idea a file, no name that hides another."""

from __future__ import annotations

import ast
import functools
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import inspector

PACKAGE = Path(inspector.__path__[0])
DOORS = {"__init__.py", "__main__.py"}
LONGEST, SHORTEST = 300, 10
MOST_AT_THE_ROOT = 14

ROOMS = """
__main__
cli mcp
render __init__
lesson model
lab explain
fit validation
measure serving
simulate
lenses
sources
store
precision lora
checkpoint
architecture
skeleton
gpus
units files reporting memory_kinds progress trust patched config_json
errors
safe_text
"""
"""From top to bottom. A room may import what stands in lower lines, and no other room of its own."""

ROOMS_OF_SIMULATE = """
__init__
split_generation several_cards long_run
finetuning generation script
repeated_layers
parallel
program
tracing
device
snapshot reports on_card
allocator
setup
events
"""


@functools.cache
def modules():
    """Every module by its dotted name below the package, ``""`` the package itself, with its syntax tree."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(tree):
    """The package's own modules that a module imports anywhere: also inside functions, also only for types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "inspector":
            home = node.module.partition(".")[2]
            for name in node.names:
                whole = f"{home}.{name.name}".lstrip(".")
                yield whole if whole in modules() else home
        elif isinstance(node, ast.Import):
            yield from (name.name.partition(".")[2] for name in node.names if name.name.startswith("inspector."))


@functools.cache
def imports():
    """What each module imports. Not as the tests are collected: every worker does that."""
    return {name: set(imported(tree)) - {name} for name, tree in modules().items()}


def test_no_file_is_too_long_or_too_short():
    lines = {path.relative_to(PACKAGE): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert lines
    assert {str(path): count for path, count in lines.items() if count > LONGEST} == {}
    assert {str(path): n for path, n in lines.items() if n < SHORTEST and path.name not in DOORS} == {}


def test_no_imports_run_in_a_circle():
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


@pytest.mark.parametrize(("inside", "order"), [("", ROOMS), ("simulate", ROOMS_OF_SIMULATE)], ids=["all", "simulate"])
def test_imports_run_downwards(inside, order):
    line_of = {room: line for line, rooms in enumerate(order.strip().splitlines()) for room in rooms.split()}

    def room(module):
        return module.removeprefix(inside).lstrip(".").partition(".")[0] or "__init__"

    here = [name for name in modules() if not inside or name == inside or name.startswith(f"{inside}.")]
    assert {room(name) for name in here} <= set(line_of), "a room that has no place yet"
    wrong = [
        f"{name} -> {other}"
        for name in here
        for other in sorted(imports()[name].intersection(here))
        if room(name) != room(other) and line_of[room(name)] >= line_of[room(other)]
    ]
    assert wrong == []


def test_no_module_bears_the_name_of_something_its_package_hands_on():
    """The first import of the one would hide the other: ``from inspector.simulate import finetune``."""
    hidden = [
        f"{package}.{alias.asname or alias.name}".lstrip(".")
        for package, tree in modules().items()
        if (PACKAGE.joinpath(*package.split(".")) / "__init__.py").exists()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if f"{package}.{alias.asname or alias.name}".lstrip(".") in modules()
        and f"inspector.{package}".rstrip(".") != node.module
    ]
    assert hidden == []


def test_the_root_holds_few_files():
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_AT_THE_ROOT


def test_no_level_of_a_logger_is_set():
    """Whoever sets one leaves it changed for the caller's other threads; `architecture/quiet.py` sets none."""
    setting = re.compile(r"getLogger\(.*setLevel|set_verbosity|\.setLevel\(")
    assert [str(path) for path in PACKAGE.rglob("*.py") if setting.search(path.read_text())] == []


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by that name alone: of two, one is not collected, and only a run of all says so."""
    names = [path.name for path in (PACKAGE.parent / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)

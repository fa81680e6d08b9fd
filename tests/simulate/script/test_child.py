"""The child changes its own process, and says in one place where."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import inspector
from inspector.simulate.script.child.builds import BUILDS, build_of
from inspector.simulate.script.child.replaced import PLACES

CHILD = Path(inspector.__path__[0]) / "simulate" / "script" / "child"


def test_names_of_others_are_replaced_by_the_inventory_alone():
    found = set()
    for path in CHILD.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
                found.add((path.name, ast.unparse(node.args[0])))
    assert found == {("replaced.py", "holder"), ("errors.py", "error")}


def test_the_inventory_says_why_where_and_for_which_versions():
    for place in PLACES:
        assert all((place.why, place.source, place.versions, place.library)), place
        assert any(mark in place.source for mark in (".py", ".cpp", ".c")), place
    assert len({place.owner for place in PLACES}) == len(PLACES)


def test_every_owner_is_there():
    for place in PLACES:
        if place.library in {"torch", "python", "safetensors", "huggingface_hub"}:
            importlib.import_module(place.owner.partition(":")[0])
            assert resolve_name(place.owner) is not None, place


def test_importing_the_room_imports_no_torch():
    code = "import sys, inspector.simulate.script, inspector.cli.run; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_an_operator_with_a_kernel_of_its_own_is_not_taken_apart():
    """``silu_backward`` is both: taken apart it would make temporaries that no card makes."""
    import torch

    from inspector.simulate.script.child.composites import TakenApart

    aten = torch.ops.aten
    tracer = TakenApart.__new__(TakenApart)
    assert tracer._taken_apart(aten.silu_backward.default) is None
    assert tracer._taken_apart(aten.add.Tensor) is None
    assert tracer._taken_apart(aten.linear.default) is not None


def test_the_build_is_what_pip_brings_with_the_release_that_is_here():
    assert build_of("2.10.0") == ("12.8", (2, 27, 5))
    assert build_of("2.13.0+cpu") == ("13.0", (2, 29, 7))
    assert build_of("2.99.1") == BUILDS[max(BUILDS)]
    assert list(BUILDS.values()) == sorted(BUILDS.values())  # nothing is taken back from one release to the next

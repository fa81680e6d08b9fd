"""How much of the package mypy cannot see: parameters that are ``Any``, or have no type, counted over all of it."""

from __future__ import annotations

import ast
from pathlib import Path

import inspector

PACKAGE = Path(inspector.__path__[0])
MOST = 0.02
"""The share there is now, rounded up: it may only fall."""


def parameters(tree):
    """Every parameter of every function, ``*args`` and ``**kwargs`` too, without ``self`` and ``cls``."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            spec = node.args
            starred = [each for each in (spec.vararg, spec.kwarg) if each]
            every = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *starred]
            yield from (each for each in every if each.arg not in {"self", "cls"})


def unseen(parameter):
    """Whether its type is Any itself; a dict of Any is at least a dict."""
    return parameter.annotation is None or ast.unparse(parameter.annotation).strip("'\"") == "Any"


def shares():
    """For each module, how many parameters it has, and how many of them are not seen."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        every = list(parameters(ast.parse(path.read_text(encoding="utf-8"))))
        found[path.relative_to(PACKAGE).as_posix()] = len(every), sum(map(unseen, every))
    return found


def test_few_parameters_are_any():
    found = shares()
    every, hidden = (sum(counts) for counts in zip(*found.values(), strict=True))
    worst = sorted(found, key=lambda name: -found[name][1])[:10]
    assert hidden <= MOST * every, f"{hidden} of {every}; most in {[(name, found[name][1]) for name in worst]}"


def test_what_counts():
    tree = ast.parse("class A:\n    def f(self, a, b: int, *c: Any, d: 'Any' = 1, e: dict[str, Any] = {}, **f): pass")
    assert [unseen(each) for each in parameters(tree)] == [True, False, True, False, True, True]

"""What the measuring asks of torch and bitsandbytes on a GPU is there: no test can call it where there is none."""

import ast
from pathlib import Path

import pytest
import torch

import inspector


def names(tree, root):
    """Every dotted name from a module, by what it is imported as."""
    called = {
        alias.asname or alias.name.partition(".")[0]: alias.name if alias.asname else root
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.partition(".")[0] == root
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == root:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.Attribute):
            first, *parts = ast.unparse(node).split(".")
            if first in called and all(map(str.isidentifier, parts)):
                yield ".".join([called[first], *parts])


@pytest.mark.parametrize("root", ["torch", "bitsandbytes"])
def test_every_name_is_there(root):
    module = torch if root == "torch" else pytest.importorskip(root)
    files = (Path(inspector.__file__).parent / "measure").glob("*.py")
    found = {name for file in files for name in names(ast.parse(file.read_text("utf-8")), root)}
    assert len(found) > 3
    lost = []
    for name in sorted(found):
        held = module
        for part in name.split(".")[1:]:
            held = getattr(held, part, None)
            if held is None and part not in {"hip", "cuda"}:  # torch.version's are None in a build without
                lost.append(name)
                break
            if held is None:
                break
    assert lost == []

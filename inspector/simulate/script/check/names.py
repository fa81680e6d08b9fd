"""What a name means: ``DP`` is ``torch.nn.DataParallel`` after ``from torch.nn import DataParallel as DP``."""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.script.check.sources import Source

_BUILTINS = frozenset(dir(builtins))


def learn_names(source: Source) -> None:
    """Fill ``source.names``: everywhere in the file, since who reads it knows the name however it is nested."""
    nodes = [node for part in source.parts for node in ast.walk(part.tree)]
    for node in nodes:
        source.names.update(_bound(node, source))
    # In the order of the text: an alias of an alias stands below it.
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            meant = meaning(node.value, source.names)
            if meant is not None:
                source.names.setdefault(node.targets[0].id, meant)


def _bound(node: ast.AST, source: Source) -> Iterator[tuple[str, str]]:
    """The names that an import binds, and what each means; ``*`` for all names of a module."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            # `import torch.nn` binds torch, `import torch.nn as nn` binds all of it.
            top = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (top, top)
    elif isinstance(node, ast.ImportFrom):
        module = absolute(node, source)
        for alias in node.names:
            yield ("*", module) if alias.name == "*" else (alias.asname or alias.name, f"{module}.{alias.name}")


def absolute(node: ast.ImportFrom, source: Source) -> str:
    """The module that an import from it names, dots in front counted from the file's own package."""
    if not node.level:
        return node.module or ""
    # A package's own file counts from the package itself, any other from the one that it lies in.
    within = [] if source.name == "__main__" else source.name.split(".")
    package = within[: len(within) + source.is_package - node.level]
    return ".".join([*package, *((node.module or "").split(".") if node.module else [])])


def meaning(node: ast.AST, names: dict[str, str]) -> str | None:
    """The full dotted name of what an expression names, None for what has no such name."""
    if isinstance(node, ast.Name):
        if node.id in names:
            return names[node.id]
        # Of a module that all names were taken from; a name of Python's own is not one of them.
        return f"{names['*']}.{node.id}" if "*" in names and node.id not in _BUILTINS else None
    if isinstance(node, ast.Attribute):
        base = meaning(node.value, names)
        return f"{base}.{node.attr}" if base is not None else None
    if isinstance(node, ast.Call) and node.args and not node.keywords:
        return _looked_up(node, names)
    return None


def _looked_up(node: ast.Call, names: dict[str, str]) -> str | None:
    """``getattr(torch.nn, "DataParallel")``, ``importlib.import_module("vllm")``, ``__import__("vllm")``."""
    words = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    if isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1 and words:
        base = meaning(node.args[0], names)
        return f"{base}.{words[0]}" if base is not None and isinstance(node.args[1], ast.Constant) else None
    if imports_by_text(node, names) and words:
        return words[0]
    return None


def imports_by_text(node: ast.Call, names: dict[str, str]) -> bool:
    """Whether a call imports the module whose name it is given."""
    if isinstance(node.func, ast.Name) and node.func.id == "__import__":
        return True
    return meaning(node.func, names) == "importlib.import_module"


def imported(node: ast.AST, source: Source) -> Iterator[str]:
    """The modules that one statement or call imports, by their full names, and the names taken out of them."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = absolute(node, source)
        yield from (f"{module}.{alias.name}".strip(".") if alias.name != "*" else module for alias in node.names)
    elif isinstance(node, ast.Call) and imports_by_text(node, source.names):
        yield from (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str))

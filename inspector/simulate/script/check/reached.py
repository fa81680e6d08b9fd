"""Which lines of a script are reached: no branch that is never taken, and of the functions those that are used."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.simulate.script.check.names import imported, learn_names, meaning
from inspector.simulate.script.check.sources import Part, Source, beside, read_source
from inspector.simulate.script.check.values import Values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_CALLED = {"__init__", "__post_init__", "forward", "training_step", "configure_optimizers"}
"""Methods that are called of every object, or by the library that it is for."""

_EXCUSED = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException", "RuntimeError"}
"""Errors of an import that a script foresees."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A node that a run comes to: ``certain`` when no branch on the way to it depends on what is not known."""

    source: Source
    part: Part
    node: ast.AST
    certain: bool


class Reach:
    """Follows a script from its first line, into its functions and into the user's modules that it imports.

    Args:
        main: the script, already read.
        argv: its own arguments.
        environment: variables that it will find.
        home: where its absolute imports begin, if that is another folder than its own.
    """

    def __init__(
        self,
        main: Source,
        argv: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        home: Path | None = None,
    ) -> None:
        # The folder of what is run as well: names that are relative to its package begin there.
        self._folders = (main.folder, home or main.folder)
        self._argv, self._environment = argv, environment
        self.sources: dict[str, Source] = {}
        self._values: dict[str, Values] = {}
        self._defined: dict[tuple[str, str], list[tuple[Part, ast.AST]]] = {}
        self._methods: set[str] = set()
        self._seen: dict[tuple[str, int], tuple[Part, ast.AST, bool]] = {}
        self._done: dict[int, bool] = {}
        self._waiting: list[tuple[Source, Part, Sequence[ast.AST], bool]] = []
        self._add(main, certain=True)
        while self._waiting:
            source, part, nodes, certain = self._waiting.pop(0)
            self._statements(source, part, nodes, certain=certain)

    @property
    def nodes(self) -> list[Reached]:
        """All nodes that are reached, in the order in which they are come to."""
        return [Reached(self.sources[name], *rest) for (name, _), rest in self._seen.items()]

    def values(self, source: Source) -> Values:
        """What is known of a module's values."""
        return self._values[source.name]

    def meaning(self, node: ast.AST, source: Source) -> str | None:
        """As `names.meaning`, through the user's own modules to what they themselves took it from."""
        return self._handed_on(meaning(node, source.names))

    def _handed_on(self, meant: str | None) -> str | None:
        for _ in range(8):  # a name handed on through more modules than that is nobody's
            module, _, name = (meant or "").rpartition(".")
            if module not in self.sources or name not in self.sources[module].names:
                break
            meant = self.sources[module].names[name]
        return meant

    def _add(self, source: Source, *, certain: bool) -> None:
        learn_names(source)
        self.sources[source.name] = source
        main = source.name == "__main__"
        self._values[source.name] = Values(source, self._argv, self._environment, main=main)
        for part in source.parts:
            for node in ast.walk(part.tree):
                if isinstance(node, _FUNCTIONS):
                    self._defined.setdefault((source.name, node.name), []).append((part, node))
                if isinstance(node, ast.ClassDef):
                    self._methods |= {each.name for each in node.body if isinstance(each, _FUNCTIONS)}
        for part in source.parts:
            self._waiting.append((source, part, part.tree.body, certain))

    def _statements(self, source: Source, part: Part, nodes: Iterable[ast.AST], *, certain: bool) -> None:
        for node in nodes:
            self._visit(source, part, node, certain=certain)

    def _visit(self, source: Source, part: Part, node: ast.AST, *, certain: bool) -> None:
        key = source.name, id(node)
        before = self._seen.get(key)
        if before is None or (certain and not before[2]):
            self._seen[key] = part, node, certain

        def follow(nodes: Iterable[ast.AST], sure: bool) -> None:
            self._statements(source, part, nodes, certain=sure)

        if isinstance(node, _FUNCTIONS):
            # What stands around the body runs where it is defined.
            arguments = [] if isinstance(node, ast.ClassDef) else [node.args]
            bases = [*node.bases, *node.keywords] if isinstance(node, ast.ClassDef) else []
            follow([*node.decorator_list, *arguments, *bases], certain)
            if node.decorator_list:  # registered somewhere, or replaced: who calls it is not seen
                self._enter(source.name, node.name, certain=certain)
            return
        if isinstance(node, (ast.If, ast.IfExp)):
            self._branch(source, part, node, certain=certain)
            return
        if isinstance(node, ast.Try):
            foreseen = any(_excuses(handler) for handler in node.handlers)
            for each in node.body:
                imports = isinstance(each, (ast.Import, ast.ImportFrom))
                follow([each], certain and not (foreseen and imports))
            follow([*node.handlers, *node.orelse], False)
            follow(node.finalbody, certain)
            return
        if isinstance(node, (ast.Match, ast.ExceptHandler)):
            follow(ast.iter_child_nodes(node), False)
            return
        self._used(source, node, certain=certain)
        follow(ast.iter_child_nodes(node), certain)

    def _branch(self, source: Source, part: Part, node: ast.If | ast.IfExp, *, certain: bool) -> None:
        self._statements(source, part, [node.test], certain=certain)
        holds = self._values[source.name].truth(node.test)
        body = node.body if isinstance(node.body, list) else [node.body]
        other = node.orelse if isinstance(node.orelse, list) else [node.orelse]
        if holds is not False:
            self._statements(source, part, body, certain=certain and holds is True)
        if holds is not True:
            self._statements(source, part, other, certain=certain and holds is False)

    def _used(self, source: Source, node: ast.AST, *, certain: bool) -> None:
        """Go on into what a node imports or names."""
        for dotted in imported(node, source):
            self._import(dotted, certain=certain)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self._enter(source.name, node.id, certain=certain)
            meant = source.names.get(node.id, "")
        elif isinstance(node, ast.Attribute):
            meant = meaning(node, source.names) or ""
            # A method, by its name alone: of which object is not known.
            for module in self.sources if node.attr in self._methods else ():
                self._enter(module, node.attr, certain=certain)
        else:
            return
        module, _, name = (self._handed_on(meant) or "").rpartition(".")
        if module in self.sources:
            self._enter(module, name, certain=certain)

    def _enter(self, module: str, name: str, *, certain: bool) -> None:
        """Come to a function or a class by its name; of a class's methods it is known of few that they are called."""
        for part, node in self._defined.get((module, name), ()):
            self._come_to(self.sources[module], part, node, certain=certain)
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, _FUNCTIONS):
                        self._come_to(self.sources[module], part, method, certain=certain and method.name in _CALLED)

    def _come_to(self, source: Source, part: Part, method: ast.AST, *, certain: bool) -> None:
        if id(method) not in self._done or (certain and not self._done[id(method)]):
            self._done[id(method)] = certain
            self._waiting.append((source, part, getattr(method, "body", []), certain))

    def beside(self, dotted: str) -> Path | None:
        """The file of a module of the user's own; None where there is none."""
        return next((path for folder in self._folders if (path := beside(folder, dotted)) is not None), None)

    def _import(self, dotted: str, *, certain: bool) -> None:
        """Read a module of the user's own, and the packages that it lies in, once."""
        parts = dotted.split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            if name in self.sources:
                continue
            path = self.beside(name)
            if path is not None:
                self._add(read_source(path, name), certain=certain)


def _excuses(handler: ast.ExceptHandler) -> bool:
    """Whether an error of an import is foreseen here."""
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in _EXCUSED for kind in kinds)

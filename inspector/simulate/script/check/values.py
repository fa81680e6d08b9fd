"""What an expression is before anything runs: constants, arguments' defaults with the command line's, one card."""

from __future__ import annotations

import ast
import os
from typing import TYPE_CHECKING, Any

from inspector.simulate.script.check.names import meaning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspector.simulate.script.check.sources import Source


class Unknown:
    """Not to be known before the script runs."""


UNKNOWN = Unknown()

_CALLED: Mapping[str, object] = {
    "torch.cuda.device_count": 1,
    "torch.cuda.is_available": True,
    "torch.backends.mps.is_available": False,
    "torch.backends.mps.is_built": False,
    "torch.distributed.is_initialized": False,
    "torch.xpu.is_available": False,
}
_NAMED: Mapping[str, object] = {"typing.TYPE_CHECKING": False}
_COMPARED = {
    ast.Eq: lambda a, b: a == b, ast.NotEq: lambda a, b: a != b, ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b, ast.Lt: lambda a, b: a < b, ast.LtE: lambda a, b: a <= b,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
    ast.Is: lambda a, b: a is b, ast.IsNot: lambda a, b: a is not b,
}  # fmt: skip


class Values:
    """What is known of the values in one module: ``options`` of its parser by their names, ``flags`` as they are typed.

    Args:
        source: the module, its names learnt.
        argv: the script's own arguments.
        environment: the variables it will find, beside those of this process.
        main: whether it is the script itself, whose ``__name__`` is ``__main__``.
    """

    def __init__(
        self,
        source: Source,
        argv: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        *,
        main: bool = True,
    ) -> None:
        self._names = source.names
        self._argv = tuple(argv)
        self._environment = {**os.environ, **(environment or {})}
        self._constants: dict[str, list[ast.expr | None]] = {}
        self.options: dict[str, object] = {}
        self.flags: dict[str, str] = {}
        self._main = main
        self._asked: set[str] = set()
        nodes = [node for part in source.parts for node in ast.walk(part.tree)]
        for node in nodes:
            self._learn(node)
            if isinstance(node, ast.ClassDef):
                self._learn_fields(node)
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
                self._learn_option(node)

    def _learn(self, node: ast.AST) -> None:
        """Note every name that is given a value, and the value where it is one."""
        given: ast.expr | None = None
        bound: Sequence[ast.expr] = ()
        if isinstance(node, ast.Assign):
            bound, given = node.targets, node.value
        elif isinstance(node, ast.AnnAssign):
            bound, given = ([node.target], node.value) if node.value is not None else ([], None)
        elif isinstance(node, (ast.AugAssign, ast.For, ast.NamedExpr)):
            bound = [node.target]
        elif isinstance(node, ast.arg):
            bound = [ast.Name(node.arg)]
        for target in bound:
            plain = isinstance(target, ast.Name) and len(bound) == 1
            for each in ast.walk(target):
                if isinstance(each, ast.Name):
                    self._constants.setdefault(each.id, []).append(given if plain else None)

    def _learn_fields(self, node: ast.ClassDef) -> None:
        """Fields of a dataclass are options, as ``HfArgumentParser`` makes them."""
        if not any("dataclass" in ast.unparse(each) for each in node.decorator_list):
            return
        for field in node.body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                given = field.value
                if isinstance(given, ast.Call):  # field(default=...)
                    given = next((word.value for word in given.keywords if word.arg == "default"), None)
                default = given.value if isinstance(given, ast.Constant) else UNKNOWN
                self.options[field.target.id] = self._typed(field.target.id, default)

    def _learn_option(self, node: ast.Call) -> None:
        flags = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        if not flags:
            return
        words = {word.arg: word.value for word in node.keywords}
        long = next((flag for flag in flags if flag.startswith("--")), flags[0])
        dest = words.get("dest")
        name = str(dest.value) if isinstance(dest, ast.Constant) else long.lstrip("-").replace("-", "_")
        if long.startswith("-"):
            self.flags[name] = long
        action = words.get("action")
        kind = action.value if isinstance(action, ast.Constant) else ""
        if kind in {"store_true", "store_false"}:
            self.options[name] = (kind == "store_true") == bool(set(flags) & set(self._argv))
        else:
            default = self.of(words["default"]) if "default" in words else None
            self.options[name] = self._typed(name, default if flags[0].startswith("-") else UNKNOWN, flags)

    def _typed(self, name: str, default: object, flags: Sequence[str] = ()) -> object:
        """The value that the command line gives an option, a text; else its default."""
        for flag in flags or (f"--{name}", f"--{name.replace('_', '-')}"):
            for at, word in enumerate(self._argv):
                option, equals, value = word.partition("=")
                if option == flag:
                    return value if equals else self._argv[at + 1] if at + 1 < len(self._argv) else UNKNOWN
        return default

    def of(self, node: ast.AST | None) -> Any:
        """The value of an expression, ``UNKNOWN`` where it is not known before the script runs."""
        if isinstance(node, ast.Constant):
            return node.value
        made = {
            ast.Name: self._of_name, ast.Attribute: self._of_attribute, ast.Call: self._of_call,
            ast.Compare: self._of_condition, ast.BoolOp: self._of_condition, ast.UnaryOp: self._of_unary,
            ast.Subscript: self._of_item, ast.JoinedStr: self._of_text, ast.IfExp: self._of_choice,
            ast.List: self._of_list, ast.Tuple: self._of_list,
        }.get(type(node))  # fmt: skip
        return made(node) if made is not None else UNKNOWN  # type: ignore[operator]

    def _of_condition(self, node: ast.expr) -> object:
        known = self.truth(node)
        return UNKNOWN if known is None else known

    def _of_unary(self, node: ast.UnaryOp) -> object:
        if isinstance(node.op, ast.Not):
            return self._of_condition(node)
        value = self.of(node.operand)
        return -value if isinstance(node.op, ast.USub) and isinstance(value, (int, float)) else UNKNOWN

    def _of_attribute(self, node: ast.Attribute) -> object:
        meant = meaning(node, self._names)
        if meant is not None:
            return _NAMED.get(meant, UNKNOWN)
        # Whatever holds the parsed arguments is called: what counts is an option of that name.
        return self.options.get(node.attr, UNKNOWN)

    def _of_item(self, node: ast.Subscript) -> object:
        return self._variable([node.slice]) if meaning(node.value, self._names) == "os.environ" else UNKNOWN

    def _of_text(self, node: ast.JoinedStr) -> object:
        parts = [self.of(each.value if isinstance(each, ast.FormattedValue) else each) for each in node.values]
        return UNKNOWN if any(part is UNKNOWN for part in parts) else "".join(map(str, parts))

    def _of_list(self, node: ast.List | ast.Tuple) -> object:
        """Several values, known as far as all of them are."""
        values = [self.of(each) for each in node.elts]
        return UNKNOWN if any(value is UNKNOWN for value in values) else values

    def _of_choice(self, node: ast.IfExp) -> object:
        test = self.truth(node.test)
        return UNKNOWN if test is None else self.of(node.body if test else node.orelse)

    def truth(self, node: ast.AST) -> bool | None:
        """Whether a condition holds; None where that is not known."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            known = self.truth(node.operand)
            return None if known is None else not known
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(each) for each in node.values]
            decides = isinstance(node.op, ast.Or)
            if decides in parts:
                return decides
            return None if None in parts else not decides
        if isinstance(node, ast.Compare):
            if len(node.ops) > 1:
                return None
            left, right = self.of(node.left), self.of(node.comparators[0])
            if left is UNKNOWN or right is UNKNOWN:
                return None
            try:
                return bool(_COMPARED[type(node.ops[0])](left, right))
            except TypeError:  # a text from the command line beside a number
                return None
        value = self.of(node)
        return None if value is UNKNOWN else bool(value)

    def _of_name(self, node: ast.Name) -> object:
        if node.id == "__name__":
            return "__main__" if self._main else "not the script"
        if (meant := self._names.get(node.id, "")) in _NAMED:
            return _NAMED[meant]
        given = self._constants.get(node.id, [])
        # Assigned once, and to nothing that leads back to it.
        if len(given) != 1 or node.id in self._asked:
            return UNKNOWN
        self._asked.add(node.id)
        try:
            return self.of(given[0])
        finally:
            self._asked.discard(node.id)

    def _of_call(self, node: ast.Call) -> object:
        meant = meaning(node.func, self._names) or ""
        if meant in _CALLED and not node.args:
            return _CALLED[meant]
        if meant in {"os.environ.get", "os.getenv"}:
            return self._variable(node.args)
        if isinstance(node.func, ast.Name) and node.func.id in {"int", "str", "bool"} and len(node.args) == 1:
            value = self.of(node.args[0])
            try:
                return value if value is UNKNOWN else {"int": int, "str": str, "bool": bool}[node.func.id](value)
            except (TypeError, ValueError):
                return UNKNOWN
        return UNKNOWN

    def _variable(self, args: Sequence[ast.AST]) -> object:
        name = self.of(args[0]) if args else UNKNOWN
        if not isinstance(name, str):
            return UNKNOWN
        if name in self._environment:
            return self._environment[name]
        return self.of(args[1]) if len(args) > 1 else UNKNOWN

"""The command of a server in a piece of shell: its variables put in, what stands before and behind it left out."""

from __future__ import annotations

import ast
import operator
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_ASSIGNED = re.compile(
    r"\s*(?:export\s+|declare\s+)?([A-Za-z_]\w{0,60})=(\"[^\"\n]*\"|'[^'\n]*'|\$\(\([^\n]*\)\)|[^\s;&|()`]*)\s*(?:#.*)?"
)
_USED = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?-([^{}\n]*))?\}|([A-Za-z_]\w*))")
_NO_START = re.compile(r"^\s*(?:sudo\s+)?(?:docker|podman|nerdctl)\s+(?:pull|stop|rm|remove|kill|logs|login|image)\b")
_SUMS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv}


def the_command(text: str, names_a_server: Callable[[str], bool]) -> str:
    """The one command of a script that starts a server, as one line; the text itself where there is one alone.

    Args:
        text: some lines of shell.
        names_a_server: whether a text names an engine.
    """
    whole = re.sub(r"`[^`\n]*`", "x", re.sub(r"\\[ \t]*\n", " ", text))
    values: dict[str, str] = {}
    commands = []
    for one in _commands(whole):
        if assigned := _ASSIGNED.fullmatch(one):
            values[assigned[1]] = _USED.sub(lambda found: _put_in(found, values), _value(assigned[2]))
        else:
            commands.append(one)
    starts = [one for one in commands if names_a_server(one) and not _NO_START.match(one)]
    chosen = starts[0] if starts and (len(commands) > 1 or values) else whole
    return _USED.sub(lambda found: _put_in(found, values), chosen)


def put_in(words: list[str]) -> list[str]:
    """Words with the variables that stand before them, Kubernetes' ``$(NAME)`` and compose's ``${NAME:-default}`` too.

    A word that is one variable is what its value is split into.
    """
    values = {
        name: value for name, mark, value in (word.partition("=") for word in words) if mark and _NAME.match(name)
    }
    found: list[str] = []
    for word in words:
        plain = re.sub(r"\$\(([A-Za-z_]\w*)\)", r"${\1}", word)
        filled = _USED.sub(lambda match: _put_in(match, values), plain)
        found += filled.split() if _USED.fullmatch(plain) and filled != plain else [filled if filled != plain else word]
    return found


_NAME = re.compile(r"[A-Za-z_]\w*$")


def _commands(text: str) -> list[str]:
    """A script's commands; a line that is an option, one word, or within quotes belongs to the one above it."""
    found: list[str] = []
    for line in text.splitlines():
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        of_above = plain.startswith(("-", "'", '"')) or not re.search(r"[\s=;]", plain)
        if found and (of_above or _within_quotes(found[-1])):
            found[-1] += f" {line}"
        else:
            found.append(line)
    return [part for line in found for part in _apart(line) if part.strip()]


def _within_quotes(text: str) -> bool:
    return len(re.findall(r"(?<!\\)'", re.sub(r'"[^"]*"', "", text))) % 2 == 1 or (
        len(re.findall(r'(?<!\\)"', re.sub(r"'[^']*'", "", text))) % 2 == 1
    )


def _apart(line: str) -> list[str]:
    """A line's commands, which ``;``, ``&&`` and ``||`` part outside quotes."""
    parts, quote, start = [], "", 0
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == ";" or line.startswith(("&&", "||"), place):
            parts.append(line[start:place])
            start = place + (1 if letter == ";" else 2)
    return [*parts, line[start:]]


def _put_in(found: re.Match[str], values: dict[str, str]) -> str:
    name = found[1] or found[3]
    return values.get(name, found[2] if found[2] is not None else found[0])


def _value(said: str) -> str:
    if said.startswith("$((") and (total := _sum(said[3:-2])) is not None:
        return str(total)
    return said[1:-1] if said[:1] in {'"', "'"} and said[-1:] == said[:1] else said


def _sum(text: str) -> int | None:
    """What the shell makes of whole numbers, None for anything else."""
    try:
        tree = ast.parse(text.strip().replace("/", "//"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _number_of(tree, 0)


def _number_of(node: ast.expr, deep: int) -> int | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and abs(node.value) < 10**12:
        return node.value
    if not isinstance(node, ast.BinOp) or type(node.op) not in _SUMS or deep > 20:
        return None
    left, right = _number_of(node.left, deep + 1), _number_of(node.right, deep + 1)
    if left is None or right is None or (right == 0 and isinstance(node.op, ast.FloorDiv)):
        return None
    found = _SUMS[type(node.op)](left, right)
    return int(found) if abs(found) < 10**15 else None

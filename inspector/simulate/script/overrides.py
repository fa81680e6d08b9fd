"""One thing changed about a script, and all else as it is: words of its text, its arguments, its environment.

The text is changed where its author would change it, so that whatever stands between a setting and what reads it
(a parser, a dataclass, a library's own defaults) runs as it does; every line keeps its number.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Edit:
    """Words of the script's text, or of a module's that it imports, replaced by others.

    Attributes:
        cell: of a notebook; 0 for a file.
        line: where the words begin, from 1.
        column: where in that line, in bytes of UTF-8 as Python's syntax trees count.
        end_line: where they end; the same place as the beginning where something is put in.
        end_column: where in that line.
        text: what stands there instead, in one line.
        file: of the module, its whole path; "" for the script itself.
    """

    cell: int
    line: int
    column: int
    end_line: int
    end_column: int
    text: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """What is changed for one run.

    Attributes:
        edits: of the script's text.
        argv: arguments put behind the script's own, where the last of a name counts.
        environment: variables of the process.
    """

    edits: tuple[Edit, ...] = ()
    argv: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    def and_also(self, other: Override) -> Override:
        """Both; where both change the same words, the other's count."""
        mine = tuple(each for each in self.edits if not any(_overlap(each, one) for one in other.edits))
        return Override((*mine, *other.edits), (*self.argv, *other.argv), (*self.environment, *other.environment))

    def in_file(self, file: str) -> Override:
        """The same, its edits being those of a module's file."""
        return replace(self, edits=tuple(replace(each, file=file) for each in self.edits))

    def to_plain(self) -> list[dict[str, Any]]:
        """The edits as JSON takes them."""
        return [asdict(each) for each in self.edits]


def edits_of(plain: Iterable[Mapping[str, Any]]) -> tuple[Edit, ...]:
    """Edits as `Override.to_plain` wrote them."""
    return tuple(Edit(**each) for each in plain)


def decoded(data: bytes) -> str:
    """The text of a file of Python, in the encoding that its first lines name."""
    import io
    import tokenize

    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data.decode(encoding)


def apply_edits(text: str, edits: Sequence[Edit], cell: int = 0, file: str = "") -> str:
    """The text of a script, of one cell of a notebook, or of a module's file, with its edits made.

    Lines are counted as Python's parser does. Raises ValueError when an edit lies outside of the text.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    raw = [line.encode("utf-8") for line in lines]
    # From the end, so that no edit moves the place of another; what is put in at one place keeps its order.
    mine = (each for each in edits if (each.file, each.cell) == (file, cell))
    for edit in sorted(mine, key=lambda each: (each.line, each.column))[::-1]:
        if not 1 <= edit.line <= edit.end_line <= len(raw):
            raise ValueError(f"no line {edit.line} to change")
        head, tail = raw[edit.line - 1][: edit.column], raw[edit.end_line - 1][edit.end_column :]
        raw[edit.line - 1] = head + edit.text.encode("utf-8") + tail
        # What went on over several lines ends on its first: those below keep their numbers.
        for number in range(edit.line, edit.end_line):
            raw[number] = b""
    return b"\n".join(raw).decode("utf-8")


def replacing(node: ast.expr, text: str, cell: int = 0) -> Edit:
    """Another text in place of an expression."""
    assert node.end_lineno is not None and node.end_col_offset is not None  # noqa: PT018 -- of what was parsed
    return Edit(cell, node.lineno, node.col_offset, node.end_lineno, node.end_col_offset, text)


def keyword(call: ast.Call, name: str, text: str, cell: int = 0) -> Edit:
    """A keyword of a call with another value, or put in where there was none."""
    for word in call.keywords:
        if word.arg == name:
            return replacing(word.value, text, cell)
    if call.keywords:
        # Before the first: behind the last there may stand a comma, and a comment.
        begin = call.keywords[0]
        return Edit(cell, begin.lineno, begin.col_offset, begin.lineno, begin.col_offset, f"{name}={text}, ")
    end = call.args[-1] if call.args else call
    assert end.end_lineno is not None and end.end_col_offset is not None  # noqa: PT018 -- of what was parsed
    # Behind the last argument, or between the brackets.
    line, column = end.end_lineno, end.end_col_offset - (end is call)
    return Edit(cell, line, column, line, column, f", {name}={text}" if call.args else f"{name}={text}")


def _overlap(one: Edit, other: Edit) -> bool:
    if (one.file, one.cell) != (other.file, other.cell):
        return False
    begin, end = (one.line, one.column), (one.end_line, one.end_column)
    first, last = (other.line, other.column), (other.end_line, other.end_column)
    # Two that put something in at one place stand side by side, unless they say the same name.
    if begin == end == first == last:
        return one.text.strip(", ").partition("=")[0] == other.text.strip(", ").partition("=")[0]
    return begin < last and first < end

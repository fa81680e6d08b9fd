"""How Inspector looks in a terminal: one console, one table style, the same colours for the same things."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from inspector.memory_kinds import MemoryKind
from inspector.render.theme import KIND_COLOURS, text_on
from inspector.safe_text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import ConsoleOptions, JustifyMethod, RenderableType

NARROW = 72
"""Below this many columns, tables leave out what is nice to have."""

PIPE_WIDTH = 100
"""Columns when the output is no terminal and COLUMNS says nothing: wide enough for every table of ours."""


def console(stream: TextIO | None = None, *, width: int | None = None) -> Console:
    """A console on a stream (standard output by default). Rich itself honours NO_COLOR and TERM=dumb."""
    stream = stream or sys.stdout
    if width is None and not stream.isatty() and not os.environ.get("COLUMNS"):
        # Rich would ask the terminal of any standard stream (Console.size): a file would be as wide as some window.
        width = PIPE_WIDTH
    # Names come from files: brackets in them are no markup, colons no emoji, digits no reason for a colour.
    return Console(file=stream, width=width, highlight=False, soft_wrap=False, emoji=False, markup=False)


def table(*columns: str | tuple[str, JustifyMethod], title: str = "") -> Table:
    """An empty table; a column is its heading, or heading and justification (``right`` for numbers)."""
    made = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in columns:
        heading, justify = column if isinstance(column, tuple) else (column, "left")
        # Rich's own way is to cut with an ellipsis: a name may go on in a second line, a number must stay in one piece.
        made.add_column(heading, justify=justify, header_style="bold", overflow="fold", no_wrap=justify == "right")
    return made


def heading(title: str, *facts: str) -> Text:
    """The first lines of a listing: a bold title, then facts, dim."""
    text = Text(clean(title), style="bold")
    for fact in facts:
        # Said off, because what is appended inherits the title's bold.
        text.append(f"\n{clean(fact)}", style="not bold dim")
    return text


def notes(lines: Iterable[str]) -> Text:
    """What was assumed: one dim line each, last on the page."""
    return Text("\n".join(clean(line) for line in lines), style="dim")


def of_kind(name: str) -> Text:
    """A kind of memory on its colour, which is the same in every chart; any other name as it is."""
    try:
        colour = KIND_COLOURS[MemoryKind(name)]
    except ValueError:
        return Text(clean(name))
    return Text(name, style=f"{text_on(colour)} on {colour}")


class Responsive:
    """A renderable made for the width it gets, so that a narrow terminal loses a column and never a digit."""

    def __init__(self, make: Callable[[int], RenderableType]) -> None:
        self.make = make

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield self.make(options.max_width)


def page(*parts: RenderableType) -> Group:
    """Parts under each other with an empty line between."""
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [part, ""]
    return Group(*spaced[:-1])

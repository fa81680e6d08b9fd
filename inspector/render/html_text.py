"""What a terminal shows, as HTML: the same words, tables as real tables, colours that can be read on white."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from inspector.render import theme
from inspector.render.terminal import PIPE_WIDTH, Responsive
from inspector.safe_text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.style import Style
    from rich.table import Column

COLOURS = {
    "green": "#00704F", "yellow": "#8A5A00", "red": "#B84A00", "blue": theme.BASE, "magenta": "#A0467A",
    "cyan": "#006D86",
}  # fmt: skip
"""The terminal's colours in the theme's hues, dark enough on white: a contrast of 4.5 to 1 or more (WCAG 2, AA)."""


def blocks(shown: RenderableType) -> Iterator[Markup]:
    """Every part of a page as HTML, in order. Raises TypeError for a part that pages are not made of."""
    if isinstance(shown, Responsive):
        # A page has no columns to count; in a pipe nothing is left out for want of them.
        yield from blocks(shown.make(PIPE_WIDTH))
    elif isinstance(shown, Group):
        for part in shown.renderables:
            # The empty lines between parts are a terminal's; HTML has margins.
            if part != "":
                yield from blocks(part)
    elif isinstance(shown, Table):
        yield _table(shown)
    elif isinstance(shown, (Text, str)):
        if shown:
            yield Markup("<p>{}</p>").format(_words(shown))
    else:
        raise TypeError(f"a page has no {type(shown).__name__}")


def _table(shown: Table) -> Markup:
    caption = Markup("<caption>{}</caption>").format(_words(shown.title)) if shown.title else Markup("")
    head = Markup("").join(_heading(column) for column in shown.columns)
    lines = zip(*(column.cells for column in shown.columns), strict=True)
    body = Markup("\n").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                _cell(cell, column, first=not place)
                for place, (cell, column) in enumerate(zip(line, shown.columns, strict=True))
            )
        )
        for line in lines
    )
    # Headings are hidden where they are empty: none are better than empty ones (axe: empty-table-header).
    rows = Markup("<thead><tr>{}</tr></thead>").format(head) if shown.show_header else Markup("")
    return Markup(
        # In reach of the keyboard, because a table wider than its place must scroll without a mouse (WCAG 2.1.1).
        '<div class="panel" tabindex="0" role="region" aria-label="Table"><table>{}{}\n<tbody>{}</tbody></table></div>'
    ).format(caption, rows, body)


def _heading(column: Column) -> Markup:
    return Markup('<th scope="col"{}>{}</th>').format(_side(column), _words(column.header))


def _cell(cell: RenderableType, column: Column, *, first: bool) -> Markup:
    words = _words(cell)
    # A cell left empty, as under a name that is not repeated, heads no row.
    form = Markup('<th scope="row"{}>{}</th>') if first and words else Markup("<td{}>{}</td>")
    return form.format(_side(column), words)


def _side(column: Column) -> Markup:
    return Markup(' class="number"') if column.justify == "right" else Markup("")


def _words(said: RenderableType) -> Markup:
    """Text with its weights and colours; lines are kept."""
    if isinstance(said, str):
        return _lines(said)
    if not isinstance(said, Text):
        raise TypeError(f"a cell has no {type(said).__name__}")
    console = _plain_console()
    if not said.spans:  # rich leaves out the style of the whole then
        return _styled(said.plain, console.get_style(said.style))
    return Markup("").join(_styled(each.text, each.style) for each in said.render(console))


def _styled(text: str, style: Style | None) -> Markup:
    words = _lines(text)
    if style is None:
        return words
    if style.color and style.color.name in COLOURS:
        words = Markup('<span style="color:{}">{}</span>').format(COLOURS[style.color.name], words)
    if style.dim:
        words = Markup('<span class="dim">{}</span>').format(words)
    if style.bold:
        words = Markup("<b>{}</b>").format(words)
    if style.italic:
        words = Markup("<i>{}</i>").format(words)
    return words


def _lines(text: str) -> Markup:
    return Markup("<br>").join(escape(clean(line)) for line in text.split("\n"))


# Asked for its styles by name, which only a console knows; it prints nothing.
@cache
def _plain_console() -> Console:
    return Console(color_system=None, highlight=False, emoji=False, markup=False)

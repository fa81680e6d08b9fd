"""What every page to read shares: theme, scripts inside, and a policy that allows nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from inspector.lesson.texts import texts
from inspector.render.assets import PLOTLY, TEMPLATES, THEME, environment, policy
from inspector.render.reel import IN_MIB, drawn, script_data
from inspector.render.simulate import said_of
from inspector.render.theme import KIND_COLOURS, KIND_HATCHES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspector.lesson.film import Film
    from inspector.render.charts.base import Chart

# Each after what it calls.
SCRIPTS = (PLOTLY, TEMPLATES / "figures.js", TEMPLATES / "pages" / "sheet.js")
STYLES = (THEME, TEMPLATES / "pages" / "sheet.css")


_STRIPES = "transparent 0 3px, rgb(255 255 255 / 75%) 3px 5px"
_HATCHES = {
    "/": f"repeating-linear-gradient(135deg, {_STRIPES}) ",
    "\\": f"repeating-linear-gradient(45deg, {_STRIPES}) ",
    "-": f"repeating-linear-gradient(0deg, {_STRIPES}) ",
    "x": f"repeating-linear-gradient(45deg, {_STRIPES}), repeating-linear-gradient(135deg, {_STRIPES}) ",
    ".": f"repeating-linear-gradient(90deg, {_STRIPES}) ",
}
LOOKS = {kind: _HATCHES.get(KIND_HATCHES.get(kind, ""), "") + colour for kind, colour in KIND_COLOURS.items()}
"""What CSS calls the background of each kind: its colour, and over it the hatch of the finer ones."""


FILM_SCRIPTS = (TEMPLATES / "pages" / "film.js", TEMPLATES / "slides" / "film.js")
FILM_STYLES = (TEMPLATES / "slides" / "film.css", TEMPLATES / "pages" / "film.css")
"""What a page with a film has besides: the very parts of the deck, and what they ask of its frame."""


def sheet_html(
    template: str,
    *,
    title: str,
    command: str,
    charts: Sequence[Chart],
    films: Mapping[str, Film] | None = None,
    **context: object,
) -> str:
    """The whole page of a template in ``templates/pages``; the same bytes for the same numbers.

    Args:
        template: its name without ``.html.j2``.
        title: the page's heading and the window's title.
        command: the command line that writes the same page.
        charts: drawn where the template says, each beside its numbers as text.
        films: one by its name, ``step`` or ``answer``, where the page has any.
        context: what else the template reads.
    """
    say = texts()
    own = FILM_SCRIPTS if films else ()
    scripts = [
        *(path.read_text(encoding="utf-8") for path in SCRIPTS),
        # As one: what the first declares, the second uses.
        *(["\n".join(path.read_text(encoding="utf-8") for path in own)] if own else []),
    ]
    page: str = (
        environment()
        .get_template(f"pages/{template}.html.j2")
        .render(
            **context,
            pairs=lambda shares: [(share.name, share.nbytes) for share in shares],
            said=said_of,
            colours=LOOKS,
            title=title,
            command=command,
            charts={chart.name: chart for chart in charts},
            say=say,
            film=drawn(films, say) if films else None,
            data={
                "charts": {chart.name: json.loads(chart.figure.to_json()) for chart in charts},
                **({"film": script_data(films, say, IN_MIB)} if films else {}),
            },
            policy=policy(scripts),
            scripts=scripts,
            styles="\n".join(path.read_text(encoding="utf-8") for path in (*STYLES, *(FILM_STYLES if films else ()))),
        )
    )
    return page

"""One self-contained file: slides from templates, vendored scripts inside, and a policy that allows nothing else."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.lesson.lesson import spoken
from inspector.render.charts import CHART_NAMES, chart
from inspector.render.deck.slides import context
from inspector.render.deck.stories import STORIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    import jinja2

    from inspector.lesson import Lesson
    from inspector.render.charts import Chart

TEMPLATES = Path(__file__).parent.parent / "templates"
VENDOR = Path(__file__).parent.parent.parent / "data" / "vendor"
SCRIPTS = (
    VENDOR / "reveal" / "reveal.js",
    VENDOR / "plotly" / "plotly-basic.min.js",
    TEMPLATES / "deck.js",
)
THEME = TEMPLATES / "theme.css"
"""Colours, light and dark, of every page. Ends without a new line: the style sheets are joined by one."""
STYLES = (VENDOR / "reveal" / "reveal.css", THEME, TEMPLATES / "deck.css")


def deck_html(lesson: Lesson, *, story: str = "lora-qlora", command: str = "inspector report") -> str:
    """The whole page.

    Args:
        lesson: the numbers.
        story: a key of `STORIES`.
        command: the command line that writes the same page, printed on the last slide.
    """
    wanted = {slide for group in STORIES[story] for slide in group}
    if lesson.training is None:
        wanted.discard("training")
    charts = {name: chart(name, lesson) for name in CHART_NAMES if name in wanted}
    scripts = [path.read_text(encoding="utf-8") for path in SCRIPTS]
    page: str = (
        environment()
        .get_template("deck.html.j2")
        .render(
            **context(lesson),
            charts=charts,
            story=STORIES[story],
            title=_title(lesson, story),
            command=command,
            policy=policy(scripts),
            scripts=scripts,
            styles="\n".join(path.read_text(encoding="utf-8") for path in STYLES),
            data=_data(lesson, charts),
        )
    )
    return page


def policy(scripts: Iterable[str]) -> str:
    """The content-security policy: our own scripts by their hash, inline styles, pictures in the page; no network."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _title(lesson: Lesson, story: str) -> str:
    if story == "compare":
        return "Base models side by side: " + ", ".join(spoken(row.model) for row in lesson.comparison.rows)
    subject = {"sizes": "what its weights take", "finetune": "what training it takes"}
    return f"{lesson.name}: {subject.get(story, 'the memory of LoRA and QLoRA')}"


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _data(lesson: Lesson, charts: dict[str, Chart]) -> dict[str, Any]:
    """What the page's script reads: the figures, and the shapes the sliders compute from."""
    return {
        "charts": {name: json.loads(made.figure.to_json()) for name, made in charts.items()},
        "parameters": lesson.skeleton.num_parameters,
        "targets": [{"name": target.name, "shapes": target.shapes} for target in lesson.targets],
    }


@functools.lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """Jinja with everything escaped and nothing left undefined."""
    import jinja2

    from inspector.safe_text import clean
    from inspector.units import GB, MB, MiB, count, percent, short_count

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value,
    )
    made.filters.update(
        count=count,
        short=short_count,
        mb=lambda nbytes, digits=1: f"{nbytes / MB:,.{digits}f}",
        size=lambda nbytes: f"{nbytes / GB:,.1f} GB" if nbytes >= GB else f"{nbytes / MB:,.0f} MB",
        share=percent,
        mib=lambda nbytes, digits=1: f"{nbytes / MiB:,.{digits}f}",
        px=lambda value: f"{value:.1f}".removesuffix(".0"),
    )
    return made

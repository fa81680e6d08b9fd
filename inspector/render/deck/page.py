"""One self-contained file: slides from templates, vendored scripts inside, and a policy that allows nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inspector.lesson.one_model import spoken
from inspector.lesson.texts import texts
from inspector.render import theme
from inspector.render.assets import PLOTLY, TEMPLATES, THEME, VENDOR, environment, policy
from inspector.render.deck.slides import told

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts
    from inspector.render.deck.slide import Slide

DECK = TEMPLATES / "deck"
# Ours after Reveal's: of two rules as strong, the later one holds.
STYLES = (VENDOR / "reveal" / "reveal.css", THEME, *(DECK / f"{name}.css" for name in ("stage", "slides", "reading")))
PRINTED = DECK / "print.css"
SPOKEN = ("right", "next")
"""Sentences of the frame that its scripts say."""


def deck_html(
    lesson: Lesson, *, story: str = "lora-qlora", command: str = "inspector report", language: str = "en"
) -> str:
    """The whole page.

    Args:
        lesson: the numbers.
        story: a key of `STORIES`.
        command: the command line that writes the same page, kept in the last slide's drawer.
        language: ``en`` or ``de``.
    """
    say = texts(language)
    slides = told(lesson, say, story=story, command=command)
    scripts = page_scripts(slides)
    page: str = (
        environment()
        .get_template("deck.html.j2")
        .render(
            lesson=lesson,
            say=say,
            theme=theme,
            slides=slides,
            title=deck_title(lesson, say, story),
            policy=policy(scripts),
            scripts=scripts,
            styles=page_styles(slides, PRINTED),
            data=page_data(slides, say),
        )
    )
    return page


def deck_title(lesson: Lesson, say: Texts, story: str) -> str:
    """What the page as a whole is called."""
    if story == "compare":
        return say("frame.titles.compare", models=", ".join(spoken(row.model) for row in lesson.comparison.rows))
    return say(f"frame.titles.{story}", model=lesson.name)


def page_scripts(slides: Sequence[Slide]) -> list[str]:
    """Reveal, plotly, and our own as one: the frame, what its slides need, and the start."""
    own = [DECK / "frame.js", DECK / "quiz.js", *_of(slides, "js"), DECK / "lecture.js"]
    mine = "\n".join(path.read_text(encoding="utf-8") for path in own)
    return [*(path.read_text(encoding="utf-8") for path in (VENDOR / "reveal" / "reveal.js", PLOTLY)), mine]


def page_styles(slides: Sequence[Slide], last: Path) -> str:
    """The style sheets: Reveal's, ours, those of the slides, and one that comes last."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (*STYLES, *_of(slides, "css"), last))


def _of(slides: Sequence[Slide], ending: str) -> list[Path]:
    """The files of that ending beside the slides' templates, where there are any."""
    paths = [TEMPLATES / "slides" / f"{slide.name}.{ending}" for slide in slides]
    return [path for path in paths if path.is_file()]


def page_data(slides: Sequence[Slide], say: Texts, *, handout: bool = False) -> dict[str, Any]:
    """What the page's scripts read: the figures, and what each slide gives its own."""
    return {
        "language": say.language,
        "handout": handout,
        "texts": {name: say(f"frame.{name}") for name in SPOKEN},
        # Through plotly's own encoder, which knows what its figures are made of.
        "charts": {chart.name: json.loads(chart.figure.to_json()) for slide in slides for chart in slide.charts},
        "slides": {slide.name: slide.data for slide in slides if slide.data},
    }

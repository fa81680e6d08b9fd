"""The handout: A4 upright, two slides a page with what is said and the arithmetic beside them, exercises, answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lesson.exercises import exercises
from inspector.lesson.texts import texts
from inspector.render import theme
from inspector.render.assets import environment, policy
from inspector.render.deck.page import DECK, deck_title, page_data, page_scripts, page_styles
from inspector.render.deck.slides import told

if TYPE_CHECKING:
    from inspector.lesson import Lesson


def handout_html(
    lesson: Lesson, *, story: str = "lora-qlora", command: str = "inspector report", language: str = "en"
) -> str:
    """The whole page; arguments as those of `deck_html`. Questions come first, unanswered, all answers last."""
    say = texts(language)
    slides = told(lesson, say, story=story, command=command)
    scripts = page_scripts(slides)
    page: str = (
        environment()
        .get_template("handout.html.j2")
        .render(
            lesson=lesson,
            say=say,
            theme=theme,
            slides=slides,
            exercises=exercises(lesson, say),
            title=deck_title(lesson, say, story),
            policy=policy(scripts),
            scripts=scripts,
            styles=page_styles(slides, DECK / "handout.css"),
            data=page_data(slides, say, handout=True),
        )
    )
    return page

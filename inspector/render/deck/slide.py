"""What a slide is: a finding, a picture, one number to remember, the numbers behind it, and what a teacher says.

A slide is added in six places, and in these alone:

1. ``render/deck/slides/NAME.py`` (``-`` becomes ``_``): ``make(lesson, say) -> Slide | None``. None leaves the slide
   out, for a model or a lesson that has no such numbers. Its name goes into `slides.MAKERS`.
2. ``templates/slides/NAME.html.j2``: the picture alone. It sees ``slide`` (with ``slide.given``), ``lesson``, ``say``,
   ``theme``; macros are in ``macros.html.j2`` (``plot``, ``boxes``, ``stacks``). Title, bottom line, drawer, notes and
   quiz come from ``slide.html.j2``. The stage is 1168 x 496 px, text 24 px or more, colours from `render.theme`.
3. ``templates/slides/NAME.js``, where the picture answers the hand:
   ``Deck.slide("NAME", ({ section, data, deck }) => ({ step(n) { ... }, shown() { ... } }))``. ``data`` is
   ``slide.data``; ``deck.state`` holds what slides share (``r``, ``targets``, ...) and keeps it in the address;
   ``section.dataset.step`` is the frame, 0 to ``slide.steps``, moved by Right and Left. In a page to read (a phone, no
   room) ``deck.roomy`` is false, ``step`` is not called, and the picture is at its last frame.
4. ``lesson/texts/en.toml`` and ``de.toml``: the section ``[NAME]`` with ``title``, ``say``, ``ask``, ``if_asked``, ...
5. ``stories.py``: where it stands in the story.
6. A title is a rule with guards: `finding` takes the first of several that has room, so that it is true and short for
   every model. Each number on the stage must be in ``numbers`` (the drawer), rounded the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.lesson.quoted import Quote
    from inspector.lesson.texts import Texts
    from inspector.render.charts.base import Chart

LONGEST_TITLE = 54
"""Characters of a title that fit one line of 36 px on the stage."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What a teacher says, asks, answers, and the arithmetic, one line a step."""

    say: str
    ask: str
    if_asked: tuple[tuple[str, str], ...]
    arithmetic: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Numbers:
    """A table of the drawer; the first column is the heading of its row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Option:
    """An answer, the number shown beside it in the end, and the slip that a wrong one comes from."""

    text: str
    number: str = ""
    right: bool = False
    slip: str = ""


@dataclass(frozen=True, slots=True)
class Quiz:
    """A question asked before its slide is seen, three or four answers, and one line why."""

    question: str
    options: tuple[Option, ...]
    why: str


@dataclass(frozen=True)
class Slide:
    """One slide. ``source`` has letters: W weights, L LoRA, D dry run, M measured, P published.

    ``remember`` is the one number with what it is; ``steps`` counts the frames after the first. A slide that is a
    question alone has ``only_quiz``: its answer is its picture.
    """

    name: str
    title: str
    notes: Notes
    numbers: tuple[Numbers, ...]
    source: str = ""
    remember: tuple[str, str] = ("", "")
    command: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    charts: tuple[Chart, ...] = ()
    quiz: Quiz | None = None
    steps: int = 0
    only_quiz: bool = False

    @property
    def chart(self) -> Chart:
        """Its one chart."""
        return self.charts[0]

    @property
    def template(self) -> str:
        """Where its picture is drawn."""
        return f"slides/{self.name}.html.j2"

    @property
    def frames(self) -> int:
        """How often Right is pressed before the next slide: those of the question first."""
        return (0 if self.quiz is None else 2 if self.only_quiz else 3) + self.steps


def finding(*titles: str) -> str:
    """The first of several titles that fits one line, so the most telling comes first; the last is always short."""
    return next((title for title in titles if len(title) <= LONGEST_TITLE), titles[-1][:LONGEST_TITLE])


def placed(quote: Quote, say: Texts) -> str:
    """Where a quoted finding stands: its address, and the table or figure in it."""
    if quote.part is None:
        return quote.where
    sort, number = quote.part
    return f"{quote.where}, {say(f'quoted.{sort}', number=number)}"


def notes(say: Texts, name: str, arithmetic: tuple[str, ...] = (), **values: object) -> Notes:
    """The notes of a slide from its texts ``say``, ``ask`` and ``if_asked``."""
    return Notes(
        say(f"{name}.say", **values),
        say(f"{name}.ask", **values),
        say.pairs(f"{name}.if_asked", **values),
        arithmetic,
    )

"""18: what brings training onto a small card, each change simulated, and what each costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lesson.exercises import way_name
from inspector.render.deck.bars import Piece, stacked
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.render.deck.slides.methods import verdict
from inspector.render.theme import GREY
from inspector.units import GB, count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts
    from inspector.lesson.training import Way

WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
MOST = 8
"""Bars that have room above each other."""
PRICES = ("nothing", "next to nothing")


def make(lesson: Lesson, say: Texts) -> Slide | None:
    """A bar for the run as it is and for each change, against the card; None where nothing was looked for or found."""
    found = lesson.training.ways if lesson.training else None
    if found is None or lesson.training is None:
        return None
    first, helping = found.ways[0], [way for way in found.ways[1:] if way.verdict != "does not fit"]
    if not helping:
        return None
    shown = [first, *sorted(helping, key=_price)[: MOST - 1]]
    method = say(f"methods.names.{found.method}")
    end = round(max(*(way.process_bytes for way in shown), found.usable_bytes) * 1.9)
    bars = [
        (way_name(way, method, say), [Piece("process", way.process_bytes, colour=GREY)],
         f"{say.number(way.process_bytes / GB, 1)} {mark(way, say)}")
        for way in shown
    ]  # fmt: skip
    # What is freely there, for the least: tight ones may fail on a longer sample.
    safe = [way for way in sorted(helping, key=_price) if way.verdict == "fits"] or helping
    values = {
        "number": say(f"numbers.{WORDS[min(len(helping), 9)]}").capitalize(), "card": found.card, "method": method,
        "usable": say.gb(found.usable_bytes), "misses": say.gb(first.process_bytes - found.usable_bytes, 2),
        "now": say.gb(first.process_bytes, 2), "cost": cost(safe[0], say), "way": way_name(safe[0], method, say),
    }  # fmt: skip
    alt = "; ".join(f"{name} {total}" for name, _, total in bars)
    rows = [
        (way_name(way, method, say), say.written(count(way.process_bytes)),
         f"{say.gb(way.process_bytes)}, {verdict(way.verdict, say)}", cost(way, say), way.flag)
        for way in found.ways
    ]  # fmt: skip
    gives = (
        say("ways.gives", **values),
        say.written(count(found.usable_bytes)),
        values["usable"],
        str(len(helping)),
        "",
    )
    titles = say("ways.title_one" if len(helping) == 1 else "ways.title", **values), say("ways.title_short", **values)
    return Slide(
        "ways",
        finding(*titles),
        notes(say, "ways", say.lines("ways.arithmetic", **values), **values),
        (Numbers(say("ways.table", **values), say.lines("ways.columns"), (*rows, gives)),),
        "D",
        (say.gb(safe[0].process_bytes), say("ways.remember", **values)),
        f"inspector simulate finetune {lesson.model} --method {found.method} --gpu {found.card}",
        {
            "stacks": stacked(bars, say, end=end, alt=f"{say('ways.alt', **values)}: {alt}",
                lines=[(found.usable_bytes, say("ways.line", **values))], track=828,
                beside=[cost(way, say) for way in shown],
            ),
            "press": say("ways.press"),
        },
        {"ways": [{"flag": way.flag, "cost": cost(way, say), "name": way_name(way, method, say)} for way in shown]},
    )  # fmt: skip


def _price(way: Way) -> tuple[int, int]:
    """What costs nothing first, then what saves most."""
    return (PRICES.index(way.cost) if way.cost in PRICES else len(PRICES), way.process_bytes)


def cost(way: Way, say: Texts) -> str:
    """What it costs, in the deck's language where its texts have it."""
    key = f"ways.costs.{way.cost.replace(' ', '_').replace(',', '').replace('-', '_')}"
    return (say(key) if say.has(key) else way.cost) if way.cost else ""


def mark(way: Way, say: Texts) -> str:
    """The verdict's mark alone."""
    return verdict(way.verdict, say).partition(" ")[0]

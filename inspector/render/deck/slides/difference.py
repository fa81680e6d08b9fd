"""14: what quantization and LoRA are in code: the module as it is printed, the word that changed hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.deck.slide import Numbers, Slide, finding, notes

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts


def make(lesson: Lesson, say: Texts) -> Slide | None:
    """The same module four ways, its class to be guessed; None where bitsandbytes replaces none that is adapted."""
    found = lesson.difference
    if found is None:
        return None
    short = []
    for printed in found.versions:
        # The adapter has 16 lines: its first tells what became of the module, and all of them are in the drawer.
        line = printed.lines[0][0].rstrip("(")
        name, colon, module = line.partition(": ")
        word, bracket, rest = module.partition("(")
        row = {"call": printed.call, "name": name + colon, "word": word, "rest": bracket + rest}
        short.append({**row, "changed": printed.lines[0][1]})
    share = say("difference.share", adapted=found.adapted, linear=found.linear)
    rows = tuple(
        (printed.call if number == 0 else "", f"{'+ ' if changed else ''}{line}")
        for printed in found.versions
        for number, (line, changed) in enumerate(printed.lines)
    )
    counts = (
        (say("difference.linear"), str(found.linear)), (say("difference.changed"), str(found.changed)),
        (say("difference.adapted"), share),
    )  # fmt: skip
    values = {"path": found.path, "changed": found.changed, "linear": found.linear, "adapted": found.adapted}
    arithmetic = say.lines("difference.arithmetic", **values)
    if lesson.stored:
        arithmetic += (say("difference.stored", title=lesson.stored.title),)
    return Slide(
        "difference",
        finding(say("difference.title")),
        notes(say, "difference", arithmetic, **values),
        (
            Numbers(say("difference.counts"), say.lines("difference.count_columns"), counts),
            Numbers(found.path, say.lines("difference.columns"), rows),
        ),
        "W",
        (share, say("difference.remember")),
        f"inspector layers {lesson.model}",
        {"printed": short},
        steps=len(short) - 1,
    )

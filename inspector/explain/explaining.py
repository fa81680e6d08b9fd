"""From a pasted text to an `ExplainReport`. Imports torch only where settings ask for a dry run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Unpack

from inspector.errors import CannotSimulateError, ContradictionError, InspectorError
from inspector.explain.figures import read_figures
from inspector.explain.frames import library_frame, own_frame, read_frames
from inspector.explain.helping import helps
from inspector.explain.kinds import SIZED
from inspector.explain.log import decoded, places, plain
from inspector.explain.operators import called_modules, operator_of
from inspector.explain.options import GENERATION, SEVERAL_CARDS
from inspector.explain.report import Explained, ExplainReport
from inspector.explain.tensor import named
from inspector.explain.tokens import Batch
from inspector.explain.verdict import verdict_of

if TYPE_CHECKING:
    from inspector.explain.log import Place
    from inspector.explain.options import ExplainOptions
    from inspector.reporting import Report
    from inspector.skeleton import Skeleton

HEAD = 200_000
"""Characters in which a model's name is looked for: command lines and loading stand at the beginning of a log."""


def explain_error(
    text: str | bytes, model: str | None = None, *, source: str = "", **options: Unpack[ExplainOptions]
) -> ExplainReport:
    """What an out-of-memory error says, why there was no memory, which tensor it was, and what helps.

    >>> import inspector
    >>> inspector.explain_error("CUDA out of memory. Tried to allocate 112.00 MiB").errors[0].figures.tried.nbytes
    117440512

    Args:
        text: a log, a traceback or the message alone; bytes are decoded as UTF-8, or UTF-16 with its mark.
        model: the model it happened with, as everywhere; left out, a bundled id that stands in the text.
        source: where the text is from, for the report.
        options: settings of a fine-tuning or a generation. With any of them the run is simulated on the card of the
            message (or ``gpu``, ``vram``), with the changes that make it fit; ``batch_size`` and ``seq_len`` are also
            what tensors are compared with.

    Raises:
        InspectorError: no such error is in the text, the model is not known, or the settings contradict each other.
    """
    words = plain(decoded(text) if isinstance(text, bytes) else text)
    found, where = places(words)
    if not where:
        raise InspectorError(
            "no out-of-memory error is in this text", hint="paste all of it, from Traceback or 'out of memory' on"
        )
    said: dict[str, Any] = {name: value for name, value in options.items() if value not in (None, "", ())}
    reference = model or ("" if said.get("recipe") else _model_in(words))
    skeleton = _skeleton(reference)
    batch = Batch(said.get("batch_size") or 0, said.get("seq_len") or said.get("prompt_len") or 0)
    guessed = bool(reference) and not model
    errors = tuple(_explained(place, skeleton, batch, guessed=guessed) for place in where)
    simulated, notes = _simulated(reference, said, errors) if said else (None, ())
    if skeleton is not None:
        notes = (*skeleton.notes, *notes)
    return ExplainReport(source, found, errors, skeleton.model_id if skeleton else "", not guessed, simulated, notes)


def _explained(place: Place, skeleton: Skeleton | None, batch: Batch, *, guessed: bool) -> Explained:
    kind = place.kind
    figures = read_figures(place.text, kind)
    frames = read_frames(place.before)
    operator = operator_of(frames, place.before)
    name = None
    if figures.tried is not None and kind.where in {"card", "host"}:
        called = called_modules(frames)
        exact = kind.name not in SIZED
        name = named(figures.tried, skeleton, operator, called, batch, exact=exact, guessed=guessed)
    verdict = verdict_of(figures) if kind.name in SIZED or kind.name == "async" else None
    cause = verdict.cause if verdict else None
    return Explained(
        kind, place.line, place.rank, figures, verdict, operator, own_frame(frames), library_frame(frames), name,
        helps(kind, cause, name, operator),
    )  # fmt: skip


def _skeleton(reference: str) -> Skeleton | None:
    if not reference:
        return None
    from inspector.sources.resolve import resolve

    return resolve(reference)


def _model_in(text: str) -> str:
    """The one bundled model whose id stands in a text, in full or as the hub's cache names its folder; else empty."""
    from inspector.sources.bundled import model_ids

    head = text[:HEAD].lower()
    found = set()
    for name in map(str.lower, model_ids()):
        for said in (name, name.replace("/", "--", 1)):
            # Not in a longer name: an id may begin as another does.
            if said in head and re.search(rf"(?:(?<![\w-])|(?<=models--)){re.escape(said)}(?![\w-]|\.\w)", head):
                found.add(name)
    return found.pop() if len(found) == 1 else ""


def _simulated(
    reference: str, said: dict[str, Any], errors: tuple[Explained, ...]
) -> tuple[Report | None, tuple[str, ...]]:
    """The dry run of what was said, on the card of the message where no other was named; or why there is none."""
    if not reference and not said.get("recipe"):
        raise InspectorError(
            "settings were given, and no model", hint="name the model too: inspector explain FILE MODEL"
        )
    notes: tuple[str, ...] = ()
    if not said.get("gpu") and not said.get("vram"):
        size = next((error.figures.capacity for error in errors if error.figures.capacity), None)
        if size is not None:
            said = {**said, "vram": size.text}
            notes = (f"simulated on a card of {size.text}, as the message has it; --gpu names another",)
    try:
        if words := sorted(GENERATION & said.keys()):
            return _generated(reference, said, words), notes
        from inspector.fit.ways import finetune_anywhere

        # Changes are tried on one card; over several the run is simulated as it is, each rank's card.
        advise = None if SEVERAL_CARDS & said.keys() else True
        return finetune_anywhere(reference or None, advise=advise, **said), notes
    except CannotSimulateError as error:
        # The message is explained all the same.
        return None, (f"not simulated: {error}",)


def _generated(reference: str, said: dict[str, Any], words: list[str]) -> Report:
    from inspector.fit.longest_prompt import generate_with_longest_prompt
    from inspector.simulate.setup.options import GenerateOptions

    if others := sorted(said.keys() - GenerateOptions.__annotations__.keys()):
        raise ContradictionError(f"{words[0]} is a setting of generation, {others[0]} of training")
    try:
        return generate_with_longest_prompt(reference, solve=True, **said)
    except InspectorError:
        # No prompt fills so large a card, or the input has one size; what else is wrong is raised again here.
        return generate_with_longest_prompt(reference, solve=False, **said)

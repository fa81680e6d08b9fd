"""A fine-tuning on one card or several, of one step or of thousands: what `inspector simulate finetune` answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from inspector.errors import InspectorError
from inspector.fit.advise import finetune_with_advice
from inspector.simulate.finetuning import question
from inspector.simulate.setup.cards_asked import apart
from inspector.simulate.setup.parallel import changed
from inspector.simulate.setup.readers.filling import for_training
from inspector.simulate.several_cards import finetune_on_cards

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.finetuning import StepReport
    from inspector.simulate.long_run.running import LongRunReport
    from inspector.simulate.setup.options import FinetuneOptions
    from inspector.simulate.setup.readers.several import Several
    from inspector.simulate.several_cards import SeveralCardsReport

OF_A_RUN = ("lengths", "group_by_length", "seed", "pad_batches_to")
"""What can be said of a run of many lengths alone."""


def finetune_anywhere(
    reference: str | Mapping[str, Any] | None = None, **options: Unpack[FinetuneOptions]
) -> StepReport | SeveralCardsReport | LongRunReport:
    """As `inspector.fit.advise.finetune_with_advice` on one card; on several, or of many lengths, their report.

    Args:
        reference: as there.
        options: as there, those of `inspector.simulate.setup.cards_asked.CardsAsked`, and with ``lengths`` those of
            `inspector.simulate.long_run.running.long_run`.

    Raises:
        InspectorError: as there, and for what cards and files contradict each other in.
    """
    cards, rest = apart(options)
    of_a_run = {name: rest.pop(name) for name in OF_A_RUN if name in rest}
    said = cards.together(rest)
    reference = reference or said.model
    if lengths := of_a_run.pop("lengths", ""):
        if said.parallel is not None:
            raise InspectorError("--lengths is for one card", hint="leave out --gpus")
        return _long_run(reference, said, lengths, of_a_run, rest)
    if any(value for value in of_a_run.values()):
        named = ", ".join(f"--{name.replace('_', '-')}" for name, value in of_a_run.items() if value)
        raise InspectorError(f"{named} without --lengths", hint="say how long the samples are: --lengths alpaca")
    if said.parallel is None:
        report = finetune_with_advice(reference, from_files=said.settings, **rest)
        # First of what the answer rests on: what the files say, and no dry run has.
        left_out = tuple(f"not simulated: {line}" for line in said.not_understood)
        return replace(report, assumptions=(*left_out, *report.assumptions)) if left_out else report
    _none_of_one_step(rest, "--gpus", "is for one card")
    asked = question(reference, from_files=said.settings, **rest)
    parallel = said.parallel
    if said.deepspeed is not None and parallel.strategy.startswith("zero"):
        words = for_training(said.deepspeed, asked.config, asked.resolved.setup, parallel.world_size)
        parallel = changed(parallel, deepspeed=words)
    return finetune_on_cards(
        asked, parallel, rank=cards.rank or "all", set_at=said.set_at, not_understood=said.not_understood
    )


def _long_run(
    reference: str | Mapping[str, Any] | None,
    said: Several,
    lengths: str,
    of_a_run: Mapping[str, Any],
    rest: dict[str, Any],
) -> LongRunReport:
    """The run of many lengths that was asked for. Raises InspectorError."""
    from inspector.simulate.long_run.running import long_run

    _none_of_one_step(rest, "--lengths", "is for a single step")
    chosen = {name: value for name, value in of_a_run.items() if value is not None}
    report = long_run(reference, lengths=lengths, from_files=said.settings, **chosen, **rest)
    left_out = tuple(f"not simulated: {line}" for line in said.not_understood)
    return replace(report, assumptions=(*left_out, *report.assumptions)) if left_out else report


def _none_of_one_step(rest: dict[str, Any], other: str, why: str) -> None:
    """Raise InspectorError for what one card's single step alone can be asked."""
    for name in ("advise", "solve", "snapshot"):
        if rest.pop(name, None):
            raise InspectorError(f"--{name} {why}", hint=f"leave out --{name}, or {other}")

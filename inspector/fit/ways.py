"""A fine-tuning on one card or on several, whichever was asked for: what `inspector simulate finetune` answers."""

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
    from inspector.simulate.setup.options import FinetuneOptions
    from inspector.simulate.several_cards import SeveralCardsReport


def finetune_anywhere(
    reference: str | Mapping[str, Any] | None = None, **options: Unpack[FinetuneOptions]
) -> StepReport | SeveralCardsReport:
    """As `inspector.fit.advise.finetune_with_advice` on one card; on several, their report.

    Args:
        reference: as there.
        options: as there, and those of `inspector.simulate.setup.cards_asked.CardsAsked`.

    Raises:
        InspectorError: as there, and for what cards and files contradict each other in.
    """
    cards, rest = apart(options)
    said = cards.together(rest)
    reference = reference or said.model
    if said.parallel is None:
        report = finetune_with_advice(reference, from_files=said.settings, **rest)
        # First of what the answer rests on: what the files say, and no dry run has.
        left_out = tuple(f"not simulated: {line}" for line in said.not_understood)
        return replace(report, assumptions=(*left_out, *report.assumptions)) if left_out else report
    for name in ("advise", "solve", "snapshot"):
        if rest.pop(name, None):
            raise InspectorError(f"--{name} is for one card", hint=f"leave out --{name}, or --gpus")
    asked = question(reference, from_files=said.settings, **rest)
    parallel = said.parallel
    if said.deepspeed is not None and parallel.strategy.startswith("zero"):
        words = for_training(said.deepspeed, asked.config, asked.resolved.setup, parallel.world_size)
        parallel = changed(parallel, deepspeed=words)
    return finetune_on_cards(
        asked, parallel, rank=cards.rank or "all", set_at=said.set_at, not_understood=said.not_understood
    )

"""The figures of a run's report that limits can be of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.simulate.generation import GenerateReport
from inspector.simulate.setup.training import LoraSetup
from inspector.simulate.several_cards import SeveralCardsReport
from inspector.simulate.split_generation import SplitReport

if TYPE_CHECKING:
    from inspector.lora.spec import LoraSpec
    from inspector.simulate.finetuning import StepReport
    from inspector.simulate.on_card import Peaks
    from inspector.simulate.script.report import ScriptReport
    from inspector.simulate.setup.training import TrainSetup
    from inspector.skeleton import Skeleton

    Answer = StepReport | SeveralCardsReport | GenerateReport | SplitReport | ScriptReport


def peaks_of(answer: Answer) -> Peaks:
    """What it takes on its card, of several cards on the fullest. Raises InspectorError where none is filled."""
    if isinstance(answer, SeveralCardsReport):
        return answer.heaviest.peaks
    if isinstance(answer, SplitReport):
        known = [card.peaks for card in answer.cards if card.peaks is not None]
        if not known:
            raise InspectorError(f"transformers refuses the map: {answer.refused}", hint="name more cards")
        return min(known, key=lambda peaks: peaks.margin)
    return answer.peaks


def figures_of(answer: Answer) -> dict[str, int]:
    """Figures by their names, in bytes; of trained parameters see `trainable`."""
    peaks = peaks_of(answer)
    found = {"peak": peaks.process, "allocated": peaks.allocated, "reserved": peaks.reserved, "margin": peaks.margin}
    if isinstance(answer, GenerateReport):
        return {**found, "weights": answer.weights_bytes, "cache": answer.cache_bytes}
    if isinstance(answer, SplitReport):
        cards = answer.cards
        return {**found, "weights": sum(card.weights_bytes for card in cards),
                "cache": sum(card.cache_bytes for card in cards)}  # fmt: skip
    steady = None if isinstance(answer, SeveralCardsReport) else answer.steady_allocated_bytes
    return found if steady is None else {**found, "steady": steady}


def trainable(answer: StepReport | SeveralCardsReport) -> tuple[int, int]:
    """Parameters that train, and all, as ``print_trainable_parameters()`` prints both.

    Raises InspectorError for adapters of other methods than LoRA, which PEFT alone could count.
    """
    from inspector.lora.adapter import adapter
    from inspector.sources.resolve import resolve

    skeleton, setup = resolve(answer.model), answer.setup
    if setup.adapters is None:
        return skeleton.num_parameters, skeleton.num_parameters
    spec = _spec(setup, skeleton)
    tensors = adapter(skeleton, spec).tensors
    new = sum(tensor.numel for tensor in tensors if tensor.new)
    return sum(tensor.numel for tensor in tensors if tensor.trainable), skeleton.num_parameters + new


def _spec(setup: TrainSetup, skeleton: Skeleton) -> LoraSpec:
    from inspector.lora.sets import target_sets

    if not isinstance(setup.adapters, LoraSetup):
        raise InspectorError("trainable is counted of LoRA and of full fine-tuning alone", hint="leave that limit out")
    spec = setup.adapters.counted
    if spec.target_modules or spec.target_parameters:
        return spec
    # PEFT's own choice, and every linear layer where it has none, as the dry run does.
    sets = {found.name: found for found in target_sets(skeleton)}
    chosen = sets.get("default") or sets["all-linear"]
    return replace(spec, target_modules=chosen.target_modules, target_parameters=chosen.target_parameters)

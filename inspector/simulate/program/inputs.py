"""What a model's forward is given when it trains: tensors by name, from its signature and its config, as shapes alone.

Two questions make a batch. What does the model look at (token ids, an image, sound): that is its ``main_input_name``,
sized by what its processor makes, which the config knows. What is it told (labels): that is what its class puts on top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.architecture.facts import language_config
from inspector.errors import CannotSimulateError
from inspector.simulate.program.labels import TOLD, told
from inspector.simulate.program.looks import (
    check_forward,
    contrasts,
    is_encoder_decoder,
    looked_at,
    main_input,
    needed,
    reads_tokens,
    taken,
)
from inspector.skeleton.tasks import head_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.simulate.program.looks import Input
    from inspector.simulate.setup.training import BatchSetup


def trains_next_tokens(model: PreTrainedModel) -> bool:
    """Whether the loss is that of the next token of the input itself: of a language model, not of a task's labels."""
    if is_encoder_decoder(model) or contrasts(model):
        return False
    return reads_tokens(model) and head_of(type(model).__name__) not in TOLD


def training_inputs(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    """What the forward takes for one micro-batch, by its own names.

    Raises CannotSimulateError for an input that no config sizes, a label that is no tensor, and packed sequences of
    what is no language model.
    """
    if batch.packed and not trains_next_tokens(model):
        raise CannotSimulateError(
            f"{type(model).__name__} takes no packed sequences", hint="only language models do: leave out --packed"
        )
    check_forward(model)
    seen, labels = looked_at(model, batch), told(model, batch)
    if not trains_next_tokens(model):
        labels = {name: value for name, value in labels.items() if name in taken(model)}
    # What it looks at, its labels, masks: in the order in which a collator makes them.
    first = main_input(model)
    found = {first: seen.pop(first), **labels, **seen}
    return found | needed(model, found, batch)


def described(inputs: dict[str, Input]) -> str:
    """A batch in words: ``input_features 8 x 80 x 3,000, labels 8 x 448``."""
    return ", ".join(
        f"{name} {' x '.join(f'{size:,}' for size in given.shape)}" for name, given in inputs.items() if given.shape
    )


def settle(model: PreTrainedModel) -> tuple[str, ...]:
    """Say what everybody says before training for a task, where a config leaves it open; and what was said.

    A token that pads, which classifiers look for in a batch; the one that a decoder starts with, of the same kind; no
    layer dropped and no frame masked at random, as which one is chance.
    """
    if trains_next_tokens(model):
        return ()
    config = model.config
    text = language_config(config)
    for part in (config,) if text is config else (config, text):
        if getattr(part, "pad_token_id", None) is None:
            end = getattr(part, "eos_token_id", None)
            # The usual line of scripts: ``pad_token = eos_token``.
            part.pad_token_id = (end[0] if isinstance(end, list) else end) or 0
        # What the check for padding compares with, of configs that leave them out (Funnel, ViLT).
        for missing in ("bos_token_id", "eos_token_id"):
            if not hasattr(part, missing):
                setattr(part, missing, None)
        if is_encoder_decoder(model) and getattr(part, "decoder_start_token_id", None) is None:
            part.decoder_start_token_id = part.pad_token_id
    return _nothing_by_chance(model)


def _nothing_by_chance(model: PreTrainedModel) -> tuple[str, ...]:
    """No layer dropped and no frame masked; what was turned off, in words."""
    said: list[str] = []
    config = model.config
    # In the config or in the modules: some read the one and some the other.
    dropping: list[Any] = [part for part in (config, *model.modules()) if getattr(part, "layerdrop", None)]
    if dropping:
        said.append("no layer is dropped (layerdrop): which one would be is chance")
    for part in dropping:
        part.layerdrop = 0.0
    # Where a config does not have the switch, its model takes it for on (Data2VecAudio).
    hearing = [part for part in (config, getattr(config, "encoder", None)) if part is not None]
    masking = [part for part in hearing if getattr(part, "apply_spec_augment", hasattr(part, "mask_time_prob"))]
    if masking:
        said.append("no frame is masked (SpecAugment): which one would be is chance")
    for part in masking:
        part.apply_spec_augment = False
    return tuple(said)

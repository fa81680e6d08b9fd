"""How an encoder-decoder begins to generate: the encoder reads the source once, the decoder starts from one token.

Each step is transformers' own (generation/utils.py, ``generate``), in its order: the encoder, the decoder's first ids,
then the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.memory_kinds import MemoryKind
from inspector.simulate.program.looks import Input, is_encoder_decoder, looked_at, main_input
from inspector.simulate.setup.training import BatchSetup

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.simulate.setup.generation import GenerateSetup
    from inspector.simulate.tracing.tracer import Tracer

STARTS_FROM = 1
"""Tokens that a decoder is given: ``decoder_start_token_id``."""


def source(model: PreTrainedModel, setup: GenerateSetup) -> dict[str, Input]:
    """What the encoder is given: a batch of token ids with their mask, or what the model's processor makes.

    Raises CannotSimulateError where the size of what the processor makes is not known.
    """
    return looked_at(model, BatchSetup(size=setup.batch_size, seq_len=setup.prompt_len, padding_mask=True))


def takes_any_length(model: PreTrainedModel, setup: GenerateSetup) -> bool:
    """Whether what the encoder is given grows with the prompt: a picture and a window of sound have one size."""
    if not is_encoder_decoder(model):
        return True
    one, two = (
        looked_at(model, BatchSetup(size=1, seq_len=length)) for length in (setup.prompt_len, setup.prompt_len + 1)
    )
    return one != two


def given(model: PreTrainedModel, inputs: dict[str, Input], tracer: Tracer) -> dict[str, Any]:
    """The tensors of a source on the device, sound and pictures in the model's dtype."""
    made = {}
    for name, one in inputs.items():
        dtype = model.dtype if name == main_input(model) and one.dtype.is_floating_point else one.dtype
        made[name] = torch.empty(one.shape, dtype=dtype, device="meta")
        tracer.label(made[name], MemoryKind.INPUTS, "")
    return made


def encoded(model: PreTrainedModel, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Run the encoder. Returns the ids that the decoder starts from, and what every step is called with."""
    tensor, name, kwargs = model._prepare_model_inputs(None, None, dict(inputs))
    kwargs = model._maybe_prepare_encoder_kwargs_for_generation(tensor, kwargs, name, model.generation_config)
    # Which token it is changes no shape, and files that no config.json tells of may say it.
    start = torch.empty((), dtype=torch.int64, device="meta")
    begun: tuple[Any, dict[str, Any]] = model._prepare_decoder_input_ids_for_generation(
        tensor.shape[0], name, kwargs, start, tensor.device
    )
    return begun

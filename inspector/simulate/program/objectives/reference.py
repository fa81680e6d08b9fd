"""The model that an objective compares with: a second one on the card, the first with its adapters off, or none."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.memory_kinds import MemoryKind
from inspector.simulate.device.bitsandbytes import quantization_constants
from inspector.simulate.program.load import load_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.setup.load import LoadSetup
    from inspector.simulate.setup.words import Reference
    from inspector.simulate.tracing.tracer import Tracer

PATH = "reference"
"""What the modules of a second model are called below, in reports."""


def load_beside(config: Mapping[str, Any], setup: LoadSetup, tracer: Tracer) -> Any:
    """A second model, loaded as the first was, that only answers.

    Source: trl/trainer/dpo_trainer.py, 1.16, ``__init__``: ``create_model_from_path`` with the policy's dtype,
    attention and quantization; its forwards run without gradients.
    """
    model = load_model(config, setup, tracer)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(False)
        for tensor in (parameter, *quantization_constants(parameter)):
            tracer.label(tensor, MemoryKind.REFERENCE, _owner(name))
    for name, buffer in model.named_buffers():
        tracer.label(buffer, MemoryKind.REFERENCE, _owner(name))
    return model.eval()


def _owner(name: str) -> str:
    return f"{PATH}.{name.rpartition('.')[0]}"


def called_beside(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """A second model's modules by the paths that reports call them."""
    return [(f"{PATH}.{name}" if name else PATH, module) for name, module in model.named_modules()]


@contextmanager
def answering(model: PreTrainedModel, beside: PreTrainedModel | None, reference: Reference) -> Iterator[Any]:
    """The model that answers as the reference, without gradients. Source: trl/trainer/utils.py, ``use_adapter``."""
    with torch.no_grad():
        if reference == "adapters":
            with model.disable_adapter():
                yield model
        else:
            yield beside

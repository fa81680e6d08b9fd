"""The model that an objective compares with: a second one on the card, the first with its adapters off, or none."""

from __future__ import annotations

import re
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


def load_beside(
    config: Mapping[str, Any], setup: LoadSetup, tracer: Tracer, *, path: str = PATH,
    kind: MemoryKind = MemoryKind.REFERENCE,
) -> Any:  # fmt: skip
    """A further model, loaded as the first was, that only answers; reports call its modules below a ``path``.

    Source: trl/trainer/dpo_trainer.py, 1.16, ``__init__``: ``create_model_from_path`` with the policy's dtype,
    attention and quantization; its forwards run without gradients.
    """
    model = load_model(config, setup, tracer, stays_on_host=tracer.on_host)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(False)
        for tensor in (parameter, *quantization_constants(parameter)):
            tracer.label(tensor, kind, named_beside(path, name.rpartition(".")[0]))
    for name, buffer in model.named_buffers():
        tracer.label(buffer, kind, named_beside(path, name.rpartition(".")[0]))
    return model.eval()


def named_beside(path: str, name: str) -> str:
    """A module of a further model; layers of one with a config of its own are none of the layers that train."""
    name = name if path == PATH else re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", name)
    return f"{path}.{name}" if name else path


def called_beside(model: nn.Module, path: str = PATH) -> list[tuple[str, nn.Module]]:
    """A further model's modules by the paths that reports call them."""
    return [(named_beside(path, name), module) for name, module in model.named_modules()]


def mix_in(model: nn.Module, beside: nn.Module) -> None:
    """Source: trl/trainer/callbacks.py, 1.16, ``SyncRefModelCallback``, as a step ends, by its default."""
    mixed = 0.6
    for own, other in zip(model.parameters(), beside.parameters(), strict=True):
        other.data.mul_(1.0 - mixed).add_(own.data, alpha=mixed)


@contextmanager
def answering(model: PreTrainedModel, beside: PreTrainedModel | None, reference: Reference) -> Iterator[Any]:
    """The model that answers as the reference, without gradients. Source: trl/trainer/utils.py, ``use_adapter``."""
    with torch.no_grad():
        if reference == "adapters":
            # DDP's own wrapper has no such name: it is of the model inside, as TRL unwraps it.
            with (model if hasattr(model, "disable_adapter") else model.module).disable_adapter():
                yield model
        else:
            yield beside

"""From the method that a ``quantization_config`` names to how such a checkpoint is put in place and loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.architecture.meta_model import config_mistakes
from inspector.errors import CannotSimulateError
from inspector.simulate.program.stored.bitsandbytes import bitsandbytes
from inspector.simulate.program.stored.compressed import compressed, dequantized_compressed
from inspector.simulate.program.stored.fp8 import dequantized_fp8, fp8
from inspector.simulate.program.stored.gptqmodel import awq, gptq
from inspector.simulate.program.stored.hqq import hqq
from inspector.simulate.program.stored.mxfp4 import dequantized_mxfp4, mxfp4
from inspector.simulate.program.stored.torchao import torchao

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

    from inspector.precision.published import Published
    from inspector.simulate.program.stored.loader import Loader
    from inspector.simulate.tracing.tracer import Tracer

_FORMATS: dict[str, Callable[..., Loader]] = {
    "gptq": gptq, "awq": awq, "bitsandbytes": bitsandbytes, "fp8": fp8, "mxfp4": mxfp4,
    "compressed-tensors": compressed, "hqq": hqq, "torchao": torchao,
}  # fmt: skip
_DEQUANTIZED: dict[str, Callable[..., Loader]] = {
    "fp8": dequantized_fp8, "mxfp4": dequantized_mxfp4, "compressed-tensors": dequantized_compressed,
}  # fmt: skip


def stored_loader(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:
    """The format's layers in the model, and how they are loaded. Raises CannotSimulateError."""
    if published.method not in _FORMATS:
        raise CannotSimulateError(f"{published.title} has no dry run")
    # What a library refuses in the config is the config's mistake.
    with config_mistakes(model.config.model_type, model.config.to_dict()):
        loader = _FORMATS[published.method](model, published, tracer, training=training)
    # What PEFT and transformers look at (quantizers/base.py, ``preprocess_model``).
    model.is_quantized = True
    model.quantization_method = published.method
    return loader


def dequantized_loader(model: PreTrainedModel, published: Published, tracer: Tracer) -> Loader:
    """The plain model that ``dequantize=True`` makes of the checkpoint as it is loaded. Raises CannotSimulateError."""
    if published.method not in _DEQUANTIZED:
        raise CannotSimulateError(f"{published.title} is not dequantized on loading")
    if published.says_dequantize:
        tracer.notes.append("quantization_config says dequantize, and transformers does so unasked")
    with config_mistakes(model.config.model_type, model.config.to_dict()):
        return _DEQUANTIZED[published.method](model, published, tracer)

"""Load the model a script would have on its GPU, with the libraries' own code, under a `Tracer`.

Shapes come first and untraced (the libraries build models on the meta device themselves); then the tensors are "loaded"
one by one, traced, in the order the libraries load them. What is done to a model before it trains is in `adapters`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.error_origin import is_of_the_model
from inspector.architecture.facts import language_config
from inspector.architecture.quantized_base import put_layers
from inspector.architecture.ties import tie_again
from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.precision.published import published_in
from inspector.simulate.device.bitsandbytes import quantization_constants
from inspector.simulate.device.flash_attention import FLASH_ATTENTION_2
from inspector.simulate.program.arrival import load_on_device, move, warm_up
from inspector.simulate.program.stored.bitsandbytes import quantized_by_bitsandbytes
from inspector.simulate.program.stored.formats import dequantized_loader, stored_loader
from inspector.simulate.program.stored.layers import is_packed
from inspector.simulate.program.stored.loader import Loader
from inspector.simulate.program.threads import ARRIVES
from inspector.simulate.setup.stored import check_known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.quantizers.base import HfQuantizer

    from inspector.precision.published import Published
    from inspector.simulate.setup.load import LoadSetup, Quantization
    from inspector.simulate.tracing.tracer import Tracer


def load_model(
    config: Mapping[str, Any],
    setup: LoadSetup,
    tracer: Tracer,
    *,
    training: bool = False,
    storage: str = "auto",
    stays_on_host: bool = False,
    spread: Callable[[PreTrainedModel, Loader | None], None] | None = None,
    before: Callable[[PreTrainedModel], None] | None = None,
) -> Any:
    """``from_pretrained`` on the device: the base model, quantized if asked or stored so, every tensor traced.

    ``training`` is whether adapters will train on it: kernels of packed weights are chosen by it. ``storage`` is the
    dtype that 4-bit weights are packed in (``bnb_4bit_quant_storage``), ``auto`` bitsandbytes' own. ``stays_on_host``:
    what is loaded on the CPU is not moved. ``spread`` loads it instead, over several cards
    (`inspector.simulate.program.dispatch`). ``before`` is shown the model with the layers that files are to fill.
    Raises InspectorError for a quantized checkpoint that is not known, or that transformers would refuse.
    """
    from inspector.architecture import build_config, build_model

    # A config object is taken as it is: parsed anew, it could lose what a script has set on it.
    parsed: Any = config if hasattr(config, "to_dict") else build_config(config)
    if not setup.use_cache:
        parsed.use_cache = False
    published = published_in(parsed)
    dtype = load_dtype(parsed, setup)
    if published is not None and published.method == "awq" and dtype == "bfloat16":
        dtype = "float16"  # quantizers/quantizer_awq.py, ``update_dtype``
        tracer.notes.append("AWQ is loaded in float16: transformers casts bfloat16, which its kernels had not")
    quantization = setup.quantization
    computed = dtype if quantization is None or quantization.compute_dtype == "auto" else quantization.compute_dtype
    if "bfloat16" in {dtype, computed} and not tracer.kernels.bf16:
        tracer.notes.append("the card has no bfloat16 units: PyTorch emulates it, slowly; use --dtype float16")
    model = build_model(parsed, dtype, said=None if parsed is config else config)
    _attend(model, setup.attention)
    loader = _loader(model, published, setup, computed, tracer, training=training, storage=storage)
    tracer.ignore((*model.parameters(), *model.buffers()))
    if before is not None:
        before(model)
    if spread is not None:
        spread(model, loader)
        return model
    # What is quantized goes to the card as it is loaded: such a model is never loaded on the CPU and moved.
    if loader is None and setup.via_cpu:
        if not stays_on_host:
            with tracer:
                move(model)
        return model
    loader = loader or Loader()
    if loader.warms_up and setup.warm_up:
        warm_up(model, tracer, loader.element_size)
    with tracer:
        load_on_device(model, loader.arriving, is_packed)
        loader.finish()
    return model


def _attend(model: PreTrainedModel, attention: str) -> None:
    """Raises CannotSimulateError for an attention that the model has not."""
    if attention == "flash_attention_2":
        model.set_attn_implementation(FLASH_ATTENTION_2)
    elif attention != "auto":
        try:
            model.set_attn_implementation(attention)
        except ValueError as error:
            if not is_of_the_model(error):
                raise
            raise CannotSimulateError(
                f"{type(model).__name__} does not support {attention} attention", hint="use --attn eager"
            ) from error


def _loader(
    model: PreTrainedModel,
    published: Published | None,
    setup: LoadSetup,
    computed: str,
    tracer: Tracer,
    *,
    training: bool,
    storage: str,
) -> Loader | None:
    """How weights arrive that are quantized: in the checkpoint, or by bitsandbytes on the way; None for plain ones.

    Raises InspectorError for what transformers refuses.
    """
    asked = setup.quantization
    if published is None:
        return None if asked is None else _on_loading(model, asked, computed, storage, tracer)
    check_known(published)
    if asked is None:
        return dequantized_loader(model, published, tracer)
    if asked.scheme != published.method:
        raise CannotSimulateError(
            f"the checkpoint is quantized already ({published.title}): transformers refuses {asked.scheme} on top of it"
        )
    return stored_loader(model, published, tracer, training=training)


def keeps_fp8(setup: LoadSetup) -> bool:
    """Whether the model may have FP8 layers."""
    return setup.quantization is not None and setup.quantization.scheme == "fp8"


def load_dtype(config: PretrainedConfig, setup: LoadSetup) -> str:
    """The dtype the base model is loaded in, by torch's name: the setup's, else the config's, else float32."""
    if setup.dtype != "auto":
        return setup.dtype
    text = language_config(config)
    named = getattr(config, "dtype", None) or getattr(text, "dtype", None)
    if named is None and (published := published_in(config)) is not None:
        return published.usual_dtype
    return str(named).removeprefix("torch.") if named is not None else "float32"


def make_quantizer(scheme: str, computed: str, *, double_quant: bool, storage: str = "auto") -> Any:
    """Transformers' own quantizer for one of bitsandbytes' schemes: ``nf4``, ``fp4`` or ``int8``.

    ``computed`` is the dtype that 4-bit products are computed in, by torch's name, ``storage`` that they are packed in.
    """
    from transformers import BitsAndBytesConfig
    from transformers.quantizers import AutoHfQuantizer

    if scheme == "int8":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    else:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=scheme,
            bnb_4bit_compute_dtype=getattr(torch, computed),
            bnb_4bit_use_double_quant=double_quant,
            bnb_4bit_quant_storage=None if storage == "auto" else getattr(torch, storage),
        )
    return AutoHfQuantizer.from_config(quantization, pre_quantized=False)


def _on_loading(model: PreTrainedModel, setup: Quantization, computed: str, storage: str, tracer: Tracer) -> Loader:
    """Bitsandbytes' layers put in place by transformers' quantizer, and its own quantization of what arrives."""
    quantizer = make_quantizer(setup.scheme, computed, double_quant=setup.double_quant, storage=storage)
    put_layers(model, quantizer)
    tie_again(model)
    return Loader(
        arriving=lambda name, old: _quantized(model, quantizer, name, old, tracer),
        element_size=lambda name, _: quantizer.param_element_size(model, name, _),
        finish=lambda: quantizer.postprocess_model(model) and None,
        quantizer=quantizer,
    )


def _quantized(model: PreTrainedModel, quantizer: HfQuantizer, name: str, old: torch.Tensor, tracer: Tracer) -> Any:
    """One parameter on the device; a quantized layer's weight goes through bitsandbytes' own quantization."""
    wanted = quantizer.param_needs_quantization(model, name)
    with torch.utils._python_dispatch._disable_current_modes():
        arrived = torch.empty(old.shape, dtype=model.dtype if wanted else old.dtype, device=old.device)
    tracer.follow(arrived, ARRIVES)
    # The weight came whole and unquantized: the peak of loading is here.
    return quantized_by_bitsandbytes(old, arrived) if wanted else torch.nn.Parameter(arrived, requires_grad=False)


def label_model(model: nn.Module, tracer: Tracer, *, adapted: bool = False) -> None:
    """Say what every tensor of the loaded model is: base weight, quantization constant, adapter or buffer.

    An adapter is what ``get_peft_model`` made, trained or frozen, and what it left trainable of the base model,
    whatever it is called.
    """
    for name, parameter in model.named_parameters():
        owner = name.rpartition(".")[0]
        adapter = tracer.kind_of(parameter) is MemoryKind.ADAPTERS or (adapted and parameter.requires_grad)
        tracer.label(parameter, MemoryKind.ADAPTERS if adapter else MemoryKind.BASE_WEIGHTS, owner)
        for constant in quantization_constants(parameter):
            tracer.label(constant, MemoryKind.QUANTIZATION_CONSTANTS, owner)
    for name, buffer in model.named_buffers():
        adapter = tracer.kind_of(buffer) is MemoryKind.ADAPTERS
        tracer.label(buffer, MemoryKind.ADAPTERS if adapter else MemoryKind.BUFFERS, name.rpartition(".")[0])
    for path, module in model.named_modules():
        # A weight in parts: its values are the base's, the rest are constants.
        for name, part in module.named_buffers(recurse=False) if is_packed(module) else ():
            weight = name in {*module.values, "bias"}
            tracer.label(part, MemoryKind.BASE_WEIGHTS if weight else MemoryKind.QUANTIZATION_CONSTANTS, path)


def head_path(model: PreTrainedModel) -> str:
    """Path of the output head in the model as it trains (under PEFT's wrappers), or "" when it has none."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings()
    return next((name for name, module in model.named_modules() if module is head), "") if head is not None else ""

"""Load the model a script would have on its GPU, with the libraries' own code, under a `Tracer`.

Shapes come first and untraced (the libraries build models on the meta device themselves); then the tensors are "loaded"
one by one, traced, in the order the libraries load them. What is done to a model before it trains is in `adapters`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.error_origin import is_of_the_model
from inspector.architecture.facts import language_config
from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.device.attention import FLASH_ATTENTION_2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.quantizers.base import HfQuantizer

    from inspector.simulate.setup.load import LoadSetup, Quantization
    from inspector.simulate.tracing.tracer import Tracer


def load_model(config: Mapping[str, Any], setup: LoadSetup, tracer: Tracer) -> Any:
    """``from_pretrained`` on the device: the base model, quantized if asked, every tensor traced."""
    from inspector.architecture import build_config, build_model

    # A config object is taken as it is: parsed anew, it could lose what a script has set on it.
    parsed: Any = config if hasattr(config, "to_dict") else build_config(config)
    if not setup.use_cache:
        parsed.use_cache = False
    dtype = load_dtype(parsed, setup)
    quantization = setup.quantization
    computed = dtype if quantization is None or quantization.compute_dtype == "auto" else quantization.compute_dtype
    if "bfloat16" in {dtype, computed} and not tracer.kernels.bf16:
        tracer.notes.append("the card has no bfloat16 units: PyTorch emulates it, slowly; use --dtype float16")
    model = build_model(parsed, dtype, said=None if parsed is config else config)
    if setup.attention == "flash_attention_2":
        model.set_attn_implementation(FLASH_ATTENTION_2)
    elif setup.attention != "auto":
        try:
            model.set_attn_implementation(setup.attention)
        except ValueError as error:
            if not is_of_the_model(error):
                raise
            raise CannotSimulateError(
                f"{type(model).__name__} does not support {setup.attention} attention", hint="use --attn eager"
            ) from error
    quantizer = _quantizer(model, quantization, computed) if quantization is not None else None
    tracer.ignore((*model.parameters(), *model.buffers()))
    # bitsandbytes quantizes on the card: such a model is never loaded on the CPU and moved.
    if quantizer is None and setup.via_cpu:
        with tracer:
            _move(model)
        return model
    _warm_up(model, quantizer, tracer)
    with tracer:
        _load_on_device(model, quantizer)
    if quantizer is not None:
        quantizer.postprocess_model(model)
    return model


def load_dtype(config: PretrainedConfig, setup: LoadSetup) -> str:
    """The dtype the base model is loaded in, by torch's name: the setup's, else the config's, else float32."""
    if setup.dtype != "auto":
        return setup.dtype
    text = language_config(config)
    named = getattr(config, "dtype", None) or getattr(text, "dtype", None)
    return str(named).removeprefix("torch.") if named is not None else "float32"


def _move(model: nn.Module) -> None:
    """``model.to(device)`` after loading on the CPU: children first, as ``nn.Module._apply`` goes."""
    moved: dict[int, Any] = {}

    def fresh(tensor: torch.Tensor) -> Any:
        # Tied weights are one tensor, and stay one on the device.
        if id(tensor) not in moved:
            new = torch.empty_like(tensor)
            if isinstance(tensor, torch.nn.Parameter):
                new = torch.nn.Parameter(new, requires_grad=tensor.requires_grad and new.is_floating_point())
            moved[id(tensor)] = new
        return moved[id(tensor)]

    def apply(module: nn.Module) -> None:
        # In torch's order, which decides what blocks share a segment.
        for child in module.children():
            apply(child)
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is not None:
                    store[name] = fresh(tensor)

    apply(model)


def make_quantizer(scheme: str, computed: str, *, double_quant: bool) -> Any:
    """Transformers' own quantizer for one of bitsandbytes' schemes: ``nf4``, ``fp4`` or ``int8``.

    ``computed`` is the dtype that 4-bit products are computed in, by torch's name.
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
        )
    return AutoHfQuantizer.from_config(quantization, pre_quantized=False)


def _quantizer(model: PreTrainedModel, setup: Quantization, computed: str) -> Any:
    """The quantizer, after it has put bitsandbytes' layers in place."""
    quantizer = make_quantizer(setup.scheme, computed, double_quant=setup.double_quant)
    quantizer.preprocess_model(model=model, device_map={"": 0})
    model.tie_weights()
    return quantizer


def _warm_up(model: nn.Module, quantizer: HfQuantizer, tracer: Tracer) -> None:
    """Transformers allocates all the weights' bytes at once and lets go, so that the segment is there to be filled.

    Source: transformers/modeling_utils.py, ``caching_allocator_warmup`` and ``get_total_byte_count``.
    """
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    total = sum(
        tensor.numel() * (quantizer.param_element_size(model, name, tensor) if quantizer else tensor.element_size())
        for name, tensor in model.state_dict().items()
        if name not in tied
    )
    # It is asked for as float16, so an odd byte is dropped.
    tracer.transient([int(total // 2) * 2], "transformers::caching_allocator_warmup")


def _load_on_device(model: PreTrainedModel, quantizer: HfQuantizer) -> None:
    """``from_pretrained`` with ``device_map``: each tensor goes to the device, and is quantized there, in name order.

    Source: transformers/core_model_loading.py, ``convert_and_load_state_dict_in_model`` (sorted by ``dot_natural_key``;
    no threads while quantizing) and integrations/bitsandbytes.py, ``Bnb4bitQuantize.convert``.
    """
    from transformers.core_model_loading import dot_natural_key

    seen: dict[int, Any] = {}
    for name in sorted((name for name, _ in model.named_parameters(remove_duplicate=False)), key=dot_natural_key):
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        old = module._parameters[leaf]
        if id(old) in seen:
            module._parameters[leaf] = seen[id(old)]
            continue
        module._parameters[leaf] = seen[id(old)] = _loaded(model, quantizer, name, old)
    # What no checkpoint holds is made when the weights are there (``_finalize_model_loading``).
    for module in model.modules():
        for name, tensor in module._buffers.items():
            if tensor is not None:
                module._buffers[name] = torch.empty_like(tensor)


def _loaded(model: PreTrainedModel, quantizer: HfQuantizer, name: str, old: torch.Tensor) -> Any:
    """One parameter on the device; a quantized layer's weight goes through bitsandbytes' own quantization."""
    if quantizer is None:
        return torch.nn.Parameter(torch.empty_like(old), requires_grad=old.requires_grad)
    if not quantizer.param_needs_quantization(model, name):
        return torch.nn.Parameter(torch.empty_like(old), requires_grad=False)
    # The weight comes whole and unquantized first: the peak of loading is here.
    value = torch.empty(old.shape, dtype=model.dtype, device=old.device)
    kwargs = dict(old.__dict__)
    import bitsandbytes

    if isinstance(old, bitsandbytes.nn.Params4bit):
        return bitsandbytes.nn.Params4bit(value, requires_grad=False, **kwargs)._quantize(value.device)
    kwargs.pop("SCB", None)
    kwargs.pop("CB", None)
    return bitsandbytes.nn.Int8Params(value, requires_grad=False, **kwargs)._quantize(value.device)


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


def quantization_constants(parameter: torch.Tensor) -> Iterator[Any]:
    """The tensors bitsandbytes keeps beside a quantized weight; neither parameters nor buffers."""
    state = getattr(parameter, "quant_state", None)
    # Double quantization quantizes the constants again: the state of those hangs on the first.
    while state is not None:
        for name in ("absmax", "code", "offset"):
            if isinstance(tensor := getattr(state, name, None), torch.Tensor):
                yield tensor
        state = getattr(state, "state2", None)
    if isinstance(scales := getattr(parameter, "SCB", None), torch.Tensor):
        yield scales


def head_path(model: PreTrainedModel) -> str:
    """Path of the output head in the model as it trains (under PEFT's wrappers), or "" when it has none."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings()
    return next((name for name, module in model.named_modules() if module is head), "") if head is not None else ""

"""Build the model a training script would have on its GPU, with the libraries' own code, under a `Tracer`.

Every function here does what one line of a script does: ``from_pretrained``, ``prepare_model_for_kbit_training``,
``get_peft_model``, ``gradient_checkpointing_enable``. Shapes come first and untraced (the libraries build models on the
meta device themselves); then the tensors are "loaded" one by one, traced, in the order the libraries load them.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.errors import InspectorError
from inspector.kinds import MemoryKind
from inspector.simulate.attention import use_flash_attention_2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.simulate.setup import TrainSetup
    from inspector.simulate.trace import Tracer


def load_model(config: Mapping[str, Any], setup: TrainSetup, tracer: Tracer) -> Any:
    """``from_pretrained`` on the device: the base model, quantized if asked, every tensor traced."""
    from inspector.build import build_config, build_model

    parsed: Any = config if hasattr(config, "to_dict") else build_config(config)
    if not setup.use_cache:
        parsed.use_cache = False
    dtype = load_dtype(parsed, setup)
    model = build_model(parsed, dtype)
    if setup.attention == "flash_attention_2":
        use_flash_attention_2(model)
    elif setup.attention != "auto":
        try:
            model.set_attn_implementation(setup.attention)
        except ValueError as error:
            raise InspectorError(
                f"{type(model).__name__} does not support {setup.attention} attention", hint="use --attn eager"
            ) from error
    if setup.scheme == "none":
        tracer.ignore((*model.parameters(), *model.buffers()))
        with tracer:
            _move(model)
        return model
    quantizer = _quantizer(model, setup, dtype)
    tracer.ignore((*model.parameters(), *model.buffers()))
    _warm_up(model, quantizer, tracer)
    with tracer:
        _load_quantized(model, quantizer)
    quantizer.postprocess_model(model)
    return model


def load_dtype(config: Any, setup: TrainSetup) -> str:
    """The dtype the base model is loaded in, by torch's name: the setup's, else the config's, else float32."""
    if setup.dtype != "auto":
        return setup.dtype
    text = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
    named = getattr(config, "dtype", None) or getattr(text, "dtype", None)
    return str(named).removeprefix("torch.") if named is not None else "float32"


def _move(model: Any) -> None:
    """``model.to(device)`` after loading on the CPU: children first, as ``nn.Module._apply`` goes."""
    moved: dict[int, Any] = {}

    def fresh(tensor: Any) -> Any:
        if id(tensor) not in moved:
            new = torch.empty_like(tensor)
            if isinstance(tensor, torch.nn.Parameter):
                new = torch.nn.Parameter(new, requires_grad=tensor.requires_grad and new.is_floating_point())
            moved[id(tensor)] = new
        return moved[id(tensor)]

    def apply(module: Any) -> None:
        for child in module.children():
            apply(child)
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is not None:
                    store[name] = fresh(tensor)

    apply(model)


def _quantizer(model: Any, setup: TrainSetup, dtype: str) -> Any:
    """Transformers' own quantizer, after it has put bitsandbytes' layers in place."""
    import bitsandbytes.functional
    from transformers import BitsAndBytesConfig
    from transformers.quantizers import AutoHfQuantizer

    compute = getattr(torch, dtype if setup.compute_dtype == "auto" else setup.compute_dtype)
    if setup.scheme == "int8":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    else:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=setup.scheme,
            bnb_4bit_compute_dtype=compute,
            bnb_4bit_use_double_quant=setup.double_quant,
        )
    # bitsandbytes keeps the code of the double quantization for the process: a second dry run would find it there.
    bitsandbytes.functional.name2qmap.clear()
    quantizer = AutoHfQuantizer.from_config(quantization, pre_quantized=False)
    quantizer.preprocess_model(model=model, device_map={"": 0})
    model.tie_weights()
    return quantizer


def _warm_up(model: Any, quantizer: Any, tracer: Tracer) -> None:
    """Transformers allocates all the weights' bytes at once and lets go, so that the segment is there to be filled.

    Source: transformers/modeling_utils.py, ``caching_allocator_warmup`` and ``get_total_byte_count``.
    """
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    total = sum(
        tensor.numel() * quantizer.param_element_size(model, name, tensor)
        for name, tensor in model.state_dict().items()
        if name not in tied
    )
    tracer.transient([int(total // 2) * 2], "transformers::caching_allocator_warmup")


def _load_quantized(model: Any, quantizer: Any) -> None:
    """``from_pretrained`` with ``device_map``: each tensor is put on the device and quantized there, in name order.

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
    for module in model.modules():
        for name, tensor in module._buffers.items():
            if tensor is not None:
                module._buffers[name] = torch.empty_like(tensor)


def _loaded(model: Any, quantizer: Any, name: str, old: Any) -> Any:
    """One parameter on the device; a quantized layer's weight goes through bitsandbytes' own quantization."""
    if not quantizer.param_needs_quantization(model, name):
        return torch.nn.Parameter(torch.empty_like(old), requires_grad=False)
    value = torch.empty(old.shape, dtype=model.dtype, device=old.device)
    kwargs = dict(old.__dict__)
    import bitsandbytes

    if isinstance(old, bitsandbytes.nn.Params4bit):
        return bitsandbytes.nn.Params4bit(value, requires_grad=False, **kwargs)._quantize(value.device)
    kwargs.pop("SCB", None)
    kwargs.pop("CB", None)
    return bitsandbytes.nn.Int8Params(value, requires_grad=False, **kwargs)._quantize(value.device)


def prepare_for_kbit(model: Any, setup: TrainSetup, tracer: Tracer) -> Any:
    """``peft.prepare_model_for_kbit_training``: norms, embeddings and head to float32, checkpointing on."""
    from peft import prepare_model_for_kbit_training

    with tracer:
        model = prepare_model_for_kbit_training(
            model,
            use_gradient_checkpointing=setup.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": setup.reentrant},
        )
    if setup.clear_cache:
        tracer.empty_cache()
    return model


def add_adapters(model: Any, setup: TrainSetup, tracer: Tracer) -> Any:
    """``peft.get_peft_model`` with the setup's LoRA config; every linear layer where PEFT names no targets."""
    try:
        return _wrapped(model, setup, tracer, _targets(setup))
    except ValueError as error:
        if not setup.target_modules and any(text in str(error) for text in _NO_DEFAULT):
            tracer.notes.append("PEFT names no targets for this architecture: every linear layer it can adapt is taken")
            return _wrapped(model, setup, tracer, "all-linear", _not_adaptable(model))
        raise _peft_refuses(error, setup) from error


_NO_DEFAULT = ("specify `target_modules`", "No `target_modules` passed", "Please specify", "incompatible with Mamba")
"""What PEFT says when it names no targets for an architecture, or none that it accepts."""

_MAMBA_KERNELS = ("out_proj", "conv1d")
"""Layers whose weights Mamba's fused kernels read themselves (peft/tuners/tuners_utils.py)."""


def _not_adaptable(model: Any) -> list[str]:
    """Layers that ``all-linear`` names and PEFT cannot adapt: routers that return more than a product, Mamba's own."""
    mamba = "mamba" in model.config.model_type or model.config.model_type == "falcon_h1"
    return [
        name
        for name, module in model.named_modules()
        if (isinstance(module, torch.nn.Linear) and type(module).forward is not torch.nn.Linear.forward and not _bnb(module))
        or (mamba and name.rpartition(".")[2] in _MAMBA_KERNELS)
    ]


def _bnb(module: Any) -> bool:
    return type(module).__module__.startswith("bitsandbytes")


def _wrapped(model: Any, setup: TrainSetup, tracer: Tracer, targets: Any, excluded: list[str] | None = None) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=setup.r,
        lora_alpha=setup.alpha,
        lora_dropout=setup.dropout,
        target_modules=targets,
        exclude_modules=excluded or None,
        use_dora=setup.use_dora,
        use_rslora=setup.use_rslora,
        modules_to_save=list(setup.modules_to_save) or None,
        bias="none",
        task_type="CAUSAL_LM" if hasattr(model, "prepare_inputs_for_generation") else None,
        init_lora_weights=False,
    )
    with _no_init(), _deep_copies(), tracer:
        return get_peft_model(model, config, autocast_adapter_dtype=setup.adapter_dtype == "float32")


def cast_like_trl(model: Any, tracer: Tracer) -> None:
    """Norms to float32, embeddings and head to bfloat16, after the adapters were added to a 4-bit model.

    Source: trl/trainer/utils.py, ``peft_module_casting_to_bf16``, which SFTTrainer calls under ``bf16=True``.
    """
    with tracer:
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.LayerNorm) or "norm" in name:
                module.to(torch.float32)
            elif any(part in name for part in ("lm_head", "embed_tokens", "wte", "wpe")):
                weight = getattr(module, "weight", None)
                if weight is not None and weight.dtype == torch.float32:
                    module.to(torch.bfloat16)


def _targets(setup: TrainSetup) -> Any:
    if not setup.target_modules:
        return None
    return "all-linear" if setup.target_modules == ("all-linear",) else list(setup.target_modules)


def _peft_refuses(error: ValueError, setup: TrainSetup) -> InspectorError:
    said = " ".join(str(error).split())
    if "not found in the base model" in said or "No modules were targeted" in said:
        return InspectorError(
            f"target_modules {', '.join(setup.target_modules)} match nothing in this model",
            hint="`inspector layers` lists its modules; all-linear takes every linear layer",
        )
    if "specify `target_modules`" in said:
        return InspectorError(
            "PEFT has no default targets for this architecture", hint="use --target-modules all-linear"
        )
    return InspectorError(f"PEFT refuses this setup: {said[:200]}")


@contextmanager
def _deep_copies() -> Iterator[None]:
    """DoRA copies a 4-bit layer for a moment. bitsandbytes' copy starts on the CPU, which meta tensors cannot leave."""
    import copy

    from bitsandbytes.nn import Params4bit

    def deepcopy(self: Any, memo: Any) -> Any:
        kept = ("blocksize", "compress_statistics", "quant_type", "quant_storage", "module", "bnb_quantized")
        state = copy.deepcopy(self.quant_state, memo)
        fields = {name: getattr(self, name) for name in kept}
        return Params4bit(self.data.clone(), requires_grad=self.requires_grad, quant_state=state, **fields)

    before = Params4bit.__deepcopy__
    Params4bit.__deepcopy__ = deepcopy
    try:
        yield
    finally:
        Params4bit.__deepcopy__ = before


@contextmanager
def _no_init() -> Iterator[None]:
    """Adapters are made on the CPU and moved; their values do not matter, so do not compute them."""
    from torch.nn import init

    names = ("kaiming_uniform_", "uniform_", "normal_", "zeros_", "ones_", "xavier_uniform_", "trunc_normal_")
    before = {name: getattr(init, name) for name in names}
    for name in names:
        setattr(init, name, lambda tensor, *_args, **_kwargs: tensor)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(init, name, function)


def use_checkpointing(model: Any, setup: TrainSetup, tracer: Tracer) -> bool:
    """``gradient_checkpointing_enable``, where the model can; says whether it is on."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not getattr(base, "supports_gradient_checkpointing", True):
        tracer.notes.append(f"{type(base).__name__} does not support gradient checkpointing: simulated without it")
        return False
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": setup.reentrant})
    if setup.method != "full":
        model.enable_input_require_grads()
    return True


def label_model(model: Any, tracer: Tracer) -> None:
    """Say what every tensor of the loaded model is: base weight, quantization constant, adapter or buffer."""
    for name, parameter in model.named_parameters():
        owner = name.rpartition(".")[0]
        adapter = "lora_" in name or "modules_to_save" in name
        tracer.label(parameter, MemoryKind.ADAPTERS if adapter else MemoryKind.BASE_WEIGHTS, owner)
        for constant in quantization_constants(parameter):
            tracer.label(constant, MemoryKind.QUANTIZATION_CONSTANTS, owner)
    for name, buffer in model.named_buffers():
        tracer.label(buffer, MemoryKind.BUFFERS, name.rpartition(".")[0])


def quantization_constants(parameter: Any) -> Iterator[Any]:
    """The tensors bitsandbytes keeps beside a quantized weight; neither parameters nor buffers."""
    state = getattr(parameter, "quant_state", None)
    while state is not None:
        for name in ("absmax", "code", "offset"):
            if isinstance(tensor := getattr(state, name, None), torch.Tensor):
                yield tensor
        state = getattr(state, "state2", None)
    if isinstance(scales := getattr(parameter, "SCB", None), torch.Tensor):
        yield scales


@contextmanager
def without_grouped_mm() -> Iterator[None]:
    """Cards before Ampere have no grouped product: transformers goes through the experts one by one.

    Source: transformers/integrations/moe.py, ``_can_use_grouped_mm``.
    """
    from transformers.integrations import moe

    before = moe._can_use_grouped_mm
    moe._can_use_grouped_mm = lambda *_args: False
    try:
        yield
    finally:
        moe._can_use_grouped_mm = before


def head_path(model: Any) -> str:
    """Path of the output head in the model as it trains (under PEFT's wrappers), or "" when it has none."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings()
    return next((name for name, module in model.named_modules() if module is head), "") if head is not None else ""


@contextmanager
def quiet() -> Iterator[None]:
    """Advice that libraries print about training is not for a dry run."""
    from logging import ERROR, getLogger

    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    getLogger("bitsandbytes").setLevel(ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)

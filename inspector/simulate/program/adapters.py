"""Make a loaded model trainable: what PEFT, TRL and transformers do to it before the first step, traced."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.error_origin import is_of_the_model
from inspector.architecture.libraries import need
from inspector.architecture.peft_warnings import heard
from inspector.errors import CannotSimulateError, InspectorError, in_one_line
from inspector.memory_kinds import MemoryKind
from inspector.patched import patched
from inspector.simulate.program.heads import heads_trained
from inspector.simulate.program.lora_config import (
    check_saved,
    check_tokens,
    has_no_default,
    lora_config,
    peft_refuses,
    worth_saying,
)
from inspector.simulate.program.stored.adapted import packed_names
from inspector.simulate.program.stored.layers import is_packed
from inspector.simulate.setup.training import LoraSetup, PeftSetup
from inspector.simulate.tracing.unwritten import Unwritten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.setup.load import KbitPrepare
    from inspector.simulate.setup.training import Checkpointing
    from inspector.simulate.tracing.tracer import Tracer


def prepare_for_kbit(model: nn.Module, setup: KbitPrepare, checkpointing: Checkpointing | None, tracer: Tracer) -> Any:
    """``peft.prepare_model_for_kbit_training``: norms, embeddings and head to float32, checkpointing on."""
    need("peft")
    from peft import prepare_model_for_kbit_training

    with tracer:
        model = prepare_model_for_kbit_training(
            model,
            use_gradient_checkpointing=checkpointing is not None,
            gradient_checkpointing_kwargs={"use_reentrant": checkpointing is not None and checkpointing.reentrant},
        )
    if setup.clear_cache:
        tracer.empty_cache()
    return model


def add_adapters(model: nn.Module, setup: LoraSetup | PeftSetup, tracer: Tracer) -> Any:
    """``peft.get_peft_model`` with the setup's config; LoRA on every linear layer where PEFT names no targets."""
    if isinstance(setup, LoraSetup):
        check_saved(model, setup.modules_to_save)
        check_tokens(model, setup.trainable_token_indices)
    asked = type(model), setup
    if isinstance(setup, LoraSetup) and asked in _without_targets:
        return _every_linear(model, setup, tracer)
    try:
        config = lora_config(model, setup) if isinstance(setup, LoraSetup) else _other_method(setup)
        return _wrapped(model, config, setup.dtype, tracer)
    except (TypeError, ValueError) as error:
        if isinstance(setup, LoraSetup) and has_no_default(setup, error):
            _without_targets.add(asked)
            return _every_linear(model, setup, tracer)
        if not is_of_the_model(error):
            raise
        raise peft_refuses(error, setup) from error
    except RuntimeError as error:
        if "only Tensors of floating point" not in str(error):
            raise
        raise CannotSimulateError(
            "PEFT trains a task's head whole, and bitsandbytes has quantized layers of it, which do not train",
            hint="use --method lora; a script would leave the head out with llm_int8_skip_modules",
        ) from error


_without_targets: set[tuple[type, LoraSetup | PeftSetup]] = set()
"""Classes of models, and setups that name no targets, of which PEFT has refused one: each trace would ask it again."""


def _every_linear(model: Any, setup: LoraSetup, tracer: Tracer) -> Any:
    """Adapters on every linear layer, or on every packed one.

    Only after PEFT has refused: where it names targets of its own, a script gets those and not every linear.
    """
    if names := packed_names(model):
        said = "PEFT names no targets for this architecture, and its all-linear takes no packed layers"
        tracer.notes.append(f"{said}: {', '.join(names)} are taken")
        return _wrapped(model, lora_config(model, replace(setup, target_modules=names)), setup.dtype, tracer)
    tracer.notes.append("PEFT names no targets for this architecture: every linear layer it can adapt is taken")
    left_out = [*_not_adaptable(model), *heads_trained(model)]
    return _wrapped(model, lora_config(model, setup, everything_but=left_out), setup.dtype, tracer)


_MAMBA_KERNELS = ("out_proj", "conv1d")
"""Layers whose weights Mamba's fused kernels read themselves (peft/tuners/tuners_utils.py)."""


_FORMATS = ("bitsandbytes.", "transformers.integrations.")
"""Where layers of quantized weights are from that are linear layers themselves."""


def _not_adaptable(model: PreTrainedModel) -> list[str]:
    """Layers that ``all-linear`` names and PEFT cannot adapt: routers that return more than a product, Mamba's own."""
    mamba = "mamba" in model.config.model_type or model.config.model_type == "falcon_h1"
    return [
        name
        for name, module in model.named_modules()
        if (
            isinstance(module, torch.nn.Linear)
            and type(module).forward is not torch.nn.Linear.forward
            and not _of_a_format(module)
        )
        or (mamba and name.rpartition(".")[2] in _MAMBA_KERNELS)
    ]


def _of_a_format(module: nn.Module) -> bool:
    """Whether its forward is its own for the way its weight is stored: it returns a product, which PEFT adapts."""
    if type(module).__name__ == "FP8GroupedLinear":  # the plain one returns a product a group, and PEFT fails on it
        return False
    return is_packed(module) or type(module).__module__.startswith(_FORMATS)


def _wrapped(model: nn.Module, config: Any, dtype: str, tracer: Tracer) -> Any:
    need("peft")
    from peft import get_peft_model

    with tracer.making(MemoryKind.ADAPTERS), tracer, without_values(), heard() as warned:
        wrapped = get_peft_model(model, config, autocast_adapter_dtype=dtype != "auto")
        _move_what_joined(wrapped)
        if dtype == "bfloat16":
            _cast_trainable(wrapped)
    tracer.notes.extend(worth_saying(warned))
    return wrapped


def _move_what_joined(model: nn.Module) -> None:
    """To the card, what PEFT moves everywhere but on meta: further adapters of a layer that has one there already.

    Source: peft/tuners/tuners_utils.py, ``_move_adapter_to_device_of_base_layer``. X-LoRA's experts are such.
    """
    for module in model.modules():
        # A copy, as one is put in; and not by `named_parameters`, which takes longer than the rest of this.
        for name, parameter in [*module._parameters.items()]:
            if parameter is not None and parameter.device.type == "cpu":
                setattr(module, name, torch.nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad))


_OF_TASKS = {"POLY", "MULTITASK_PROMPT_TUNING"}
"""Methods whose forward wants ``task_ids`` (peft/tuners/poly/layer.py, multitask_prompt_tuning/model.py)."""


def _other_method(setup: PeftSetup) -> Any:
    """The config of any PEFT method, from its own fields."""
    need("peft")
    from peft import get_peft_config
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    said = dict(setup.fields)
    if (method := str(said.get("peft_type")).upper()) in _OF_TASKS:
        raise CannotSimulateError(f"{method} asks which task each sample is of (task_ids), and token ids do not say it")
    types = {
        field.name: str(field.type)
        for cls in [PEFT_TYPE_TO_CONFIG_MAPPING.get(said.get("peft_type"))]
        if cls is not None
        for field in fields(cls)
    }
    try:
        return get_peft_config({name: _thawed(value, types.get(name, "")) for name, value in said.items()})
    # Raised by PEFT, which may miss a library too, or by calling its config with these names.
    except (ImportError, KeyError, TypeError, ValueError) as error:
        raise InspectorError(f"PEFT refuses this config: {in_one_line(error)}") from error


def _thawed(value: object, wanted: str) -> object:
    """A field as PEFT takes it: settings are frozen all through, and a mapping in them is pairs."""
    if not isinstance(value, tuple):
        return value
    # By the type of PEFT's own field, as a list of pairs looks alike; a config within LoRA's is a mapping, too.
    if "config" in wanted.lower():
        return {str(name): _thawed(inner, "") for name, inner in value}
    return dict(value) if "dict" in wanted.lower() else list(value)


def _cast_trainable(model: nn.Module) -> None:
    """Adapters to bfloat16, DoRA's magnitudes excepted. Source: trl/trainer/sft_trainer.py, 1.16, after wrapping."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "lora_magnitude_vector" not in name:
            parameter.data = parameter.data.to(torch.bfloat16)


def cast_like_trl(model: nn.Module, tracer: Tracer) -> None:
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


@contextmanager
def without_values() -> Iterator[None]:
    """While adapters are made: their values do not matter, and DoRA's copy of a 4-bit layer stays on meta.

    Adapters are made on the CPU and moved; what would be written into them there is not computed. bitsandbytes' copy
    of a weight starts on the CPU, which meta tensors cannot leave (bitsandbytes/nn/modules.py, ``__deepcopy__``).
    """
    if "bitsandbytes" not in sys.modules:  # a step at 16 bits has no such layer
        with Unwritten():
            yield
        return
    import copy

    from bitsandbytes.nn import Params4bit

    def deepcopy(weight: Params4bit, memo: dict[int, Any]) -> Any:
        # What ``Params4bit.__new__`` takes (bitsandbytes/nn/modules.py), but for the quantization's state.
        kept = ("blocksize", "compress_statistics", "quant_type", "quant_storage", "module", "bnb_quantized")
        state = copy.deepcopy(weight.quant_state, memo)
        fields = {name: getattr(weight, name) for name in kept}
        return Params4bit(weight.data.clone(), requires_grad=weight.requires_grad, quant_state=state, **fields)

    with patched({"bitsandbytes.nn.Params4bit.__deepcopy__": deepcopy}), Unwritten():
        yield


def use_checkpointing(model: PreTrainedModel, setup: Checkpointing, tracer: Tracer, *, adapted: bool) -> bool:
    """``gradient_checkpointing_enable``, where the model can; says whether it is on."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not getattr(base, "supports_gradient_checkpointing", True):
        tracer.notes.append(f"{type(base).__name__} does not support gradient checkpointing: simulated without it")
        return False
    # PEFT's wrapper hands the call on to the base model, which was asked above whether it can.
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": setup.reentrant})
    if adapted:
        # Frozen embeddings give layers no input with a gradient, and reentrant checkpointing records none of it.
        model.enable_input_require_grads()
    return True

"""torchtune's recipes: YAML whose components are called by their names; none of them is imported.

Source: torchtune bd2a0fc: models/*/_model_builders.py (defaults of ``lora_*``), modules/loss/, rlhf/loss/dpo.py,
training/activations.py, recipes/. Everything is in ``dtype``, adapters and optimizer state too; nothing is autocast.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.simulate.setup.readers.known_keys import version_of
from inspector.simulate.setup.readers.reading import Reading
from inspector.simulate.setup.readers.torchtune_models import model_of

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.config_file import ConfigFile
    from inspector.simulate.setup.readers.reading import TrainerSays

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "bfloat16": "bfloat16", "float16": "float16",
           "float32": "float32"}  # fmt: skip
_PLAIN = {"output_proj": "output_proj (o_proj)"}
_MLP = ("w1 (gate_proj)", "w2 (down_proj)", "w3 (up_proj)")
_OPTIMIZERS = {
    "torch.optim.adamw": "adamw_torch", "torch.optim.adam": "adamw_torch", "torch.optim.sgd": "sgd",
    "bitsandbytes.optim.pagedadamw": "paged_adamw_32bit", "bitsandbytes.optim.pagedadamw8bit": "paged_adamw_8bit",
    "bitsandbytes.optim.adamw8bit": "adamw_bnb_8bit", "bitsandbytes.optim.adamw": "adamw_torch",
    "bitsandbytes.optim.pagedadamw32bit": "paged_adamw_32bit", "torch.optim.adagrad": "adagrad",
    "torchao.prototype.low_bit_optim.cpuoffloadoptimizer": "cpu_offload_adamw",
    "torchao.prototype.low_bit_optim.adamw8bit": "adamw_torch_8bit",
    "torchao.prototype.low_bit_optim.adamw4bit": "adamw_torch_4bit",
    "torchao.optim.adamw8bit": "adamw_torch_8bit", "torchao.optim.adamw4bit": "adamw_torch_4bit",
    "torch.optim.adafactor": "adafactor",
}  # fmt: skip
_SEVERAL = frozenset({
    "fsdp_cpu_offload", "custom_sharded_layers", "tensor_parallel_dim", "data_parallel_shard_dim", "fsdp",
    "data_parallel_replicate_dim", "fsdp_reshard_after_forward", "context_parallel_dim", "tensor_parallel_plan",
    "fsdp_sharding_strategy", "memory_efficient_fsdp_wrap",
})  # fmt: skip
"""Keys that only its distributed recipes read."""


def is_torchtune(file: ConfigFile) -> bool:
    """Whether a file is torchtune's: a component of it, or components where it keeps them."""
    parts = (file.data.get(key) for key in ("model", "tokenizer", "checkpointer", "optimizer", "loss", "dataset"))
    return any(isinstance(part, dict) and "_component_" in part for part in parts)


def read_torchtune(file: ConfigFile) -> TrainerSays:
    """The file resolved. Raises InspectorError for what is no recipe of it."""
    reading = Reading(file, "torchtune", version_of("torchtune"))
    component = reading.text("model", "_component_") or reading.text("policy_model", "_component_")
    reading.part("tokenizer")
    reading.part("checkpointer")
    reading.part("dataset")
    name = component.rpartition(".")[2].lower()
    if not name:
        raise InspectorError(f"{file.at('model')}: the recipe names no model", hint="model: _component_")
    folder = reading.text("checkpointer", "checkpoint_dir") or reading.text("tokenizer", "path")
    key = "model._component_" if reading.said("model", "_component_") else "policy_model._component_"
    reading.put("model", model_of(component, folder), key)
    dtype = reading.put("load_dtype", reading.one_of("dtype", words=_DTYPES, default="bf16"), "dtype")
    reading.follows("mixed_precision", "none", "parameters, activations and optimizer states are all in dtype")
    reading.note("mixed_precision", "none: parameters, activations and optimizer states are all in dtype")
    _adapters(reading, name, dtype)
    reading.put("per_device_batch", reading.whole("batch_size", default=2), "batch_size")
    accum = reading.whole("gradient_accumulation_steps", default=1)
    reading.put("gradient_accumulation", accum, "gradient_accumulation_steps")
    length = reading.whole("tokenizer", "max_seq_len")
    reading.put("seq_len", length, "tokenizer.max_seq_len", why="none: the longest of the batch")
    packed = reading.said("dataset", "packed") is not None and reading.on("dataset", "packed")
    if packed and length is None:
        raise reading.refuse("PackedDataset requires a max_seq_len to be set on the tokenizer.", "dataset", "packed")
    reading.put("packing", packed, "dataset.packed")
    on = reading.on("enable_activation_checkpointing")
    reading.put("gradient_checkpointing.enabled", on, "enable_activation_checkpointing")
    reading.follows("gradient_checkpointing.reentrant", False if on else None, "training/activations.py")
    reading.follows("attention", "sdpa", "modules/attention_utils.py; packed: flex attention where there is some")
    _optimizer(reading)
    _objective(reading)
    _cards(reading)
    for other, why in (
        ("enable_activation_offloading", "activations kept on the host are not simulated"),
        ("optimizer_in_bwd", "the optimizer steps inside the backward pass: no gradient stays"),
        ("compile", "torch.compile saves other activations: not simulated"), ("ac_mode", "which layers are recomputed"),
        ("quantizer", "quantization-aware training"), ("teacher_model", "a second model on the card"),
        ("reward_and_value_model", "more models on the card"), ("grpo_samples", "generation inside the step"),
    ):  # fmt: skip
        reading.unread(other, why=why)
    return reading.done()


def _adapters(reading: Reading, name: str, dtype: str) -> None:
    lora = name.startswith(("lora_", "qlora_", "qat_lora_"))
    quantized = name.startswith("qlora_") or reading.on("model", "quantize_base")
    if not lora:
        reading.put("method", "full", "model._component_")
        reading.follows("lora", None, "no LoRA in the component")
        reading.follows("quantization", None, "only with LoRA")
        return
    reading.put("method", "qlora" if quantized else "lora", "model.quantize_base", "model._component_")
    reading.put("lora.r", reading.whole("model", "lora_rank", default=8), "model.lora_rank")
    alpha = reading.number("model", "lora_alpha", default=16)
    reading.put("lora.alpha", int(alpha) if alpha.is_integer() else alpha, "model.lora_alpha")
    reading.put("lora.dropout", reading.number("model", "lora_dropout", default=0.0), "model.lora_dropout")
    names = reading.names("model", "lora_attn_modules") or []
    targets = [_PLAIN.get(one, one) for one in names]
    if reading.on("model", "apply_lora_to_mlp"):
        targets += _MLP
    # Where embedding and head are one (Gemma, small Qwen2), there is no such key.
    if reading.on("model", "apply_lora_to_output"):
        targets.append("output (lm_head)")
    reading.put("lora.targets", targets, "model.lora_attn_modules", "model.apply_lora_to_mlp")
    if reading.on("model", "use_dora"):
        reading.put("lora.dora", True, "model.use_dora")
    reading.follows("adapter_dtype", dtype, "everything is in dtype")
    if not quantized:
        reading.put("quantization", None, "model.quantize_base")
        return
    why = "torchao's NF4Tensor: blocks of 64, their scales in int8 by 256"
    reading.put("quantization.scheme", "nf4-torchao", "model.quantize_base", "model._component_")
    reading.follows("quantization.double_quant", True, why)
    reading.follows("quantization.compute_dtype", dtype, why)


def _optimizer(reading: Reading) -> None:
    component = reading.text("optimizer", "_component_")
    name = _OPTIMIZERS.get(component.lower(), component.rpartition(".")[2].lower() or "adamw_torch")
    if name == "adamw_torch" and component.startswith("torch.") and reading.on("optimizer", "fused"):
        name = "adamw_torch_fused"
    reading.put("optimizer", name, "optimizer._component_")
    if component and component.lower() not in _OPTIMIZERS:
        reading.unread("optimizer", "_component_", why="that optimizer is not simulated")
    reading.put("max_grad_norm", reading.number("clip_grad_norm", default=0.0), "clip_grad_norm")


def _objective(reading: Reading) -> None:
    loss = reading.text("loss", "_component_").rpartition(".")[2]
    kind = loss.lower()
    objective = next((one for one in ("dpo", "rso", "simpo", "ppo", "grpo") if one in kind), "sft")
    objective = "dpo" if objective == "rso" else objective
    if reading.said("teacher_model") is not None:
        objective = "distill"
    reading.put("objective", objective, "loss._component_")
    adapters = reading.value("method") != "full"
    if objective in {"dpo", "simpo"}:
        reading.put("beta", reading.number("loss", "beta", default=0.1), "loss.beta", why="rlhf/loss/dpo.py")
    ref = ("none" if adapters else "copy") if objective in {"dpo", "ppo", "grpo"} else None
    reading.follows("reference_model", ref, "adapters are switched off" if adapters else "a second checkpointer")
    chunked = kind in {"linearcrossentropyloss", "cewithchunkedoutputloss"} or "chunked" in kind
    reading.put("loss", "chunked" if chunked else "full", "loss._component_")
    if chunked:
        chunks = reading.whole("loss", "num_output_chunks", default=8)
        reading.note("loss", f"cross entropy in {chunks} chunks")


def _cards(reading: Reading) -> None:
    """Its single-device and distributed recipes are two programs: told by keys of the second, or the file's name."""
    said = sorted(key for key in _SEVERAL if reading.said(key) is not None)
    named = re.search(r"distributed|single", reading.file.name.lower())
    several = bool(said) or (named is not None and named[0] == "distributed")
    tensors = reading.whole("tensor_parallel_dim", default=1) or 1
    if not several:
        reading.follows("parallel.kind", "single", "a single-device recipe: no key of a distributed one")
        reading.follows("parallel.offload", "none", "one card")
        reading.follows("num_processes", 1, "one card")
        return
    reading.put("parallel.kind", "fsdp2", *said, why="its distributed recipes take FSDP2")
    offload = "params" if reading.on("fsdp_cpu_offload") else "none"
    reading.put("parallel.offload", offload, "fsdp_cpu_offload")
    reading.follows("num_processes", None, "torchrun decides")
    if tensors > 1:
        reading.unread("tensor_parallel_dim", why="say --parallel tp:2+fsdp2")

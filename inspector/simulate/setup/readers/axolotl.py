"""axolotl's YAML, as ``validate_config`` and ``normalize_config`` resolve it.

Source: axolotl 067b021 (July 2026): utils/schemas/, utils/config/__init__.py, loaders/model.py and adapter.py,
train.py (``setup_reference_model``), core/builders/rl.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.setup.readers.axolotl_fsdp import (
    efficient_loading,
    fsdp_version,
    refuse_what_fsdp_does,
    sharded_by_fsdp,
)
from inspector.simulate.setup.readers.axolotl_objective import objective
from inspector.simulate.setup.readers.axolotl_unread import unread
from inspector.simulate.setup.readers.known_keys import version_of
from inspector.simulate.setup.readers.models_named import mirror_of
from inspector.simulate.setup.readers.reading import Reading
from inspector.simulate.setup.readers.training_arguments import DTYPES, launcher, saves, under_zero3

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.config_file import ConfigFile
    from inspector.simulate.setup.readers.reading import TrainerSays

_FLAGS = {
    "xformers_attention": "xformers", "sage_attention": "sage", "flex_attention": "flex_attention",
    "flash_attention": "flash_attention_2", "sdp_attention": "sdpa", "eager_attention": "eager",
}  # fmt: skip
"""``LEGACY_ATTN_FLAG_TO_IMPL``, in its order."""
_OBJECTIVES = ("dpo", "gdpo", "grpo", "ipo", "orpo", "kto", "simpo", "ebft")


def is_axolotl(file: ConfigFile) -> bool:
    """Whether a file is axolotl's: nobody else calls the model its base."""
    return "base_model" in file.data and not isinstance(file.data["base_model"], dict)


def read_axolotl(file: ConfigFile) -> TrainerSays:
    """The file resolved. Raises InspectorError for what axolotl refuses."""
    reading = Reading(file, "axolotl", version_of("axolotl"))
    model = reading.put("model", reading.text("base_model"), "base_model")
    if original := mirror_of(model):
        reading.follows("model_is", original, "a mirror of that model")
    word, dtype = _precision(reading)
    rl = reading.text("rl").lower()
    if rl and rl not in _OBJECTIVES:
        raise reading.refuse(f"rl is one of {', '.join(_OBJECTIVES)}, not {rl!r}", "rl")
    adapter = _adapters(reading, rl)
    _quantization(reading, adapter, dtype)
    reading.put("load_dtype", dtype, *(("bf16",) if word == "bf16" else ("fp16", "bf16")), why="resolve_dtype")
    _batch(reading)
    _checkpointing(reading, rl)
    reading.put("attention", *_attention(reading), why="no flag: transformers' own sdpa")
    optim = reading.text("optimizer", default="adamw_torch_fused")
    reading.put("optimizer", optim, "optimizer", why="schemas/training.py")
    reading.put("max_grad_norm", reading.number("max_grad_norm", default=1.0), "max_grad_norm")
    refuse_what_fsdp_does(reading, rl, optim)
    objective(reading, rl, adapter)
    unread(reading)
    files = sharded_by_fsdp(reading) or launcher(
        reading, "axolotl", why="the launcher decides: no deepspeed and no fsdp"
    )
    if reading.value("quantization.scheme"):
        sharded = bool(files) and (
            under_zero3(files)
            or (reading.said("fsdp_config") is not None and (adapter == "qlora" or efficient_loading(reading)))
        )
        reading.follows("kbit_preparation", not sharded, "not with FSDP and QLoRA, nor ZeRO-3: loaders/model.py")
    return reading.done(*files)


def _precision(reading: Reading) -> tuple[str, str]:
    """Mixed precision, and the dtype of the weights that follows from it (``resolve_dtype``)."""
    brain, half = reading.said("bf16"), reading.said("fp16")
    full = str(brain).lower() if brain is not None else "auto"
    # ``auto`` is bfloat16 where the card has it, and so it is told; T4 and V100 take float16.
    on = not reading.on("fp16") if full == "auto" else full == "full" or reading.on("bf16")
    word = "bf16" if on else "fp16" if half is not None and reading.on("fp16") else "none"
    key = ("bf16", "fp16") if word == "bf16" else ("fp16", "bf16")
    reading.put("mixed_precision", word, *key, why="bf16: auto")
    if full == "auto" and word == "bf16":
        reading.note("mixed_precision", "auto: bf16 where the card has it, else fp16")
    if reading.on("bfloat16"):
        return word, "bfloat16"
    if word == "none" and (reading.on("load_in_8bit") or reading.on("float16")):
        return word, "float16"
    return word, DTYPES[word]


def _adapters(reading: Reading, rl: str) -> str:
    adapter = reading.text("adapter").lower()
    eight, four = reading.on("load_in_8bit"), reading.on("load_in_4bit")
    if adapter not in {"", "lora", "qlora", "llama-adapter"}:
        reading.unread("adapter", why="another method than LoRA")
    if adapter == "qlora" and eight:
        raise reading.refuse("Can't load qlora in 8bit", "load_in_8bit")
    if adapter == "qlora" and not four and not reading.text("lora_model_dir") and not reading.on("gptq"):
        raise reading.refuse("Require cfg.load_in_4bit to be True for qlora", "adapter")
    if not adapter:
        reading.put("method", "full", "adapter")
        reading.follows("lora", None, "no adapter")
        if four or eight:
            key = "load_in_4bit" if four else "load_in_8bit"
            reading.unread(key, why="without an adapter nothing is quantized")
        return ""
    _lora(reading, adapter)
    _kernels(reading, adapter, rl)
    return adapter


def _lora(reading: Reading, adapter: str) -> None:
    reading.put("method", "qlora" if adapter == "qlora" else "lora", "adapter")
    for name, key in (("r", "lora_r"), ("alpha", "lora_alpha")):
        if (value := reading.whole(key)) is None:
            raise InspectorError(f"{reading.file.name}: adapter: {adapter} needs a {key}")
        reading.put(f"lora.{name}", value, key)
    reading.put("lora.dropout", reading.number("lora_dropout", default=0.0), "lora_dropout")
    _targets(reading)
    for name, key in (("dora", "peft_use_dora"), ("rslora", "peft_use_rslora")):
        if reading.on(key):
            reading.put(f"lora.{name}", True, key)
    if whole := reading.names("lora_modules_to_save"):
        reading.put("lora.modules_to_save", whole, "lora_modules_to_save")


def _kernels(reading: Reading, adapter: str, rl: str) -> None:
    keys = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "lora_embedding_kernel")
    said = [key for key in keys if reading.said(key) is not None]
    own = not rl and not (adapter == "lora" and reading.on("load_in_8bit")) and not reading.on("trust_remote_code")
    # With FSDP on several cards they stay off, but where version 2 stands at the top: the rule is asked before the
    # version that ``fsdp_config`` names is known. A merge that is aware of NVFP4 wants PEFT's own forward.
    first = reading.said("fsdp_config") is not None and str(reading.said("fsdp_version")) != "2"
    own = own and not first and not reading.on("nvfp4_merge_aware")
    # DeepSeek V4's own kernels take the MLP's key for themselves.
    fused = [key for key in said if reading.on(key) and not (key == keys[0] and reading.on("use_dsv4_kernels"))]
    if first and fused and fsdp_version(reading) == "1":
        raise reading.refuse("lora_mlp_kernel, lora_qkv_kernel and lora_o_kernel are not for FSDP1", "fsdp_config")
    reading.put("lora_kernels", bool(fused) if said else own, *said, why="on where nothing forbids them")


def _targets(reading: Reading) -> None:
    named = reading.said("lora_target_modules")
    every = reading.on("lora_target_linear")
    if isinstance(named, str):
        named = "all-linear" if named == "all-linear" else f"regex:{named}"
        reading.put("lora.targets", "all-linear" if every else named, "lora_target_modules")
        return
    names = reading.names("lora_target_modules") or []
    if not every:
        reading.put("lora.targets", names or None, "lora_target_modules", why="none: PEFT refuses")
        return
    # Every linear layer's last name but the head's; names beside it are joined to them.
    extra = [name for name in names if name in {"lm_head", "embed_tokens", "output"}]
    value: Any = ["all-linear", *extra] if extra else names or "all-linear"
    reading.put("lora.targets", value, *(("lora_target_modules",) if names else ("lora_target_linear",)))


def _quantization(reading: Reading, adapter: str, dtype: str) -> None:
    four, eight = reading.on("load_in_4bit"), reading.on("load_in_8bit")
    kwargs = reading.part("bnb_config_kwargs")
    if adapter == "qlora" and four:
        base = "bnb_config_kwargs"
        why = "loaders/model.py"
        scheme = str(kwargs.get("bnb_4bit_quant_type", "nf4"))
        reading.put("quantization.scheme", scheme, f"{base}.bnb_4bit_quant_type", "load_in_4bit", why=why)
        double = reading.on(base, "bnb_4bit_use_double_quant", default=True)
        reading.put("quantization.double_quant", double, f"{base}.bnb_4bit_use_double_quant", why=why)
        compute = str(kwargs.get("bnb_4bit_compute_dtype", dtype)).removeprefix("torch.")
        reading.put("quantization.compute_dtype", compute, f"{base}.bnb_4bit_compute_dtype", why=why)
        storage = str(kwargs.get("bnb_4bit_quant_storage", "bfloat16")).removeprefix("torch.")
        reading.put("quantization.quant_storage", storage, f"{base}.bnb_4bit_quant_storage", why=why)
        return
    if adapter == "lora" and eight:
        reading.put("quantization.scheme", "int8", "load_in_8bit")
        return
    reading.follows("quantization", None, "_set_quantization_config")
    if adapter == "lora" and four:
        reading.note("quantization", "load_in_4bit with adapter: lora loads 16 bit (4 bit is adapter: qlora)")


def _batch(reading: Reading) -> None:
    size = reading.whole("micro_batch_size", default=1) or 1
    reading.put("per_device_batch", size, "micro_batch_size")
    accum, whole = reading.whole("gradient_accumulation_steps"), reading.whole("batch_size")
    if accum is not None and whole is not None:
        raise reading.refuse("please set only one of gradient_accumulation_steps or batch_size", "batch_size")
    reading.put("gradient_accumulation", accum or 1, "gradient_accumulation_steps", why="schemas/training.py")
    if whole is not None:
        reading.note(
            "gradient_accumulation", "batch_size changes nothing: the schema sets the steps to 1 before it is read"
        )
    reading.put("seq_len", reading.whole("sequence_len", default=512), "sequence_len")
    packed = reading.on("sample_packing")
    reading.put("packing", packed, "sample_packing")
    padded = reading.on("pad_to_sequence_len", default=packed or reading.on("reward_model"))
    reading.put("pad_to_max_length", padded, "pad_to_sequence_len", why="true with sample_packing or reward_model")
    evaluated = reading.number("val_set_size", default=0.0) > 0 or bool(reading.said("test_datasets"))
    value = reading.whole("eval_batch_size", default=size)
    if evaluated:
        reading.put("eval_batch", value, "eval_batch_size", why="micro_batch_size")
        own = reading.on("eval_sample_packing", default=packed)
        reading.put("eval_packing", own, "eval_sample_packing", why="sample_packing")
    saves(reading)


def _checkpointing(reading: Reading, rl: str) -> None:
    said = reading.said("gradient_checkpointing")
    offloads = str(said).lower() in {"offload", "offload_disk"}
    enabled = True if offloads else reading.on("gradient_checkpointing")
    reading.put("gradient_checkpointing.enabled", enabled, "gradient_checkpointing", why="schemas/config.py")
    kwargs = "gradient_checkpointing_kwargs"
    given = reading.said(kwargs) is not None
    reading.part(kwargs)
    # Set for SFT where no kwargs are given; with rl, TRL's and transformers' own, which is not reentrant.
    silent = not rl and not given and reading.said("unfrozen_parameters") is None
    kind = reading.on(kwargs, "use_reentrant", default=silent) if enabled else None
    why = "with rl: TRL's own" if rl else "normalize_config"
    reading.put("gradient_checkpointing.reentrant", kind, f"{kwargs}.use_reentrant", why=why)
    if offloads:
        reading.unread("gradient_checkpointing", why="activations kept on the host are not simulated")


def _attention(reading: Reading) -> tuple[str, str]:
    name = reading.text("attn_implementation")
    flags = [flag for flag in _FLAGS if reading.said(flag) is not None and reading.on(flag)]
    if name and flags:
        raise reading.refuse(f"attn_implementation={name!r} cannot be combined with {flags[0]}", "attn_implementation")
    if name:
        return name, "attn_implementation"
    return (_FLAGS[flags[0]], flags[0]) if flags else ("sdpa", "attn_implementation")

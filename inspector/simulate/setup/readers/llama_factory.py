"""LLaMA-Factory's YAML or JSON, as ``get_train_args``, ``load_model`` and ``init_adapter`` resolve it.

Source: LLaMA-Factory ff6d4d1 (August 2026): hparams/, model/adapter.py, model/patcher.py, model/model_utils/,
train/trainer_utils.py. Its argument classes are subclasses of transformers'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.simulate.setup.readers.known_keys import version_of
from inspector.simulate.setup.readers.models_named import checkpoint_dtype, mirror_of
from inspector.simulate.setup.readers.reading import Reading
from inspector.simulate.setup.readers.training_arguments import (
    GONE,
    OLD,
    also_unread,
    batch,
    launcher,
    optimizer,
    precision,
    under_zero3,
)

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.config_file import ConfigFile
    from inspector.simulate.setup.readers.reading import TrainerSays

OWN = frozenset({
    "finetuning_type", "stage", "cutoff_len", "template", "dataset_dir", "quantization_bit", "flash_attn", "pref_loss",
    "enable_liger_kernel", "pure_bf16", "lora_target", "plot_loss", "neat_packing", "mask_history",
})  # fmt: skip
_STAGES = {"pt": "sft", "sft": "sft", "rm": "reward", "ppo": "ppo", "dpo": "dpo", "kto": "kto"}
_ATTENTION = {"auto": "sdpa", "sdpa": "sdpa", "fa2": "flash_attention_2", "fa3": "flash_attention_3",
              "disabled": "eager", "off": "sdpa"}  # fmt: skip


_OTHER_WORK = frozenset({"template", "infer_backend", "export_dir", "export_size", "export_device"})
_VERSION_1 = frozenset({"model_class", "dist_config", "kernel_config", "train_dataset", "sample_backend"})


def is_llama_factory(file: ConfigFile) -> bool:
    """Whether a file is LLaMA-Factory's: two of its own words at least."""
    return len(OWN & set(file.data)) >= 2


def trains_nothing(file: ConfigFile) -> str:
    """What another file of LLaMA-Factory's is for, or one of its next version's; empty where it is neither."""
    keys = set(file.data)
    if "model_name_or_path" in keys and "stage" not in keys and {"template"} < keys & _OTHER_WORK:
        word = min(keys & _OTHER_WORK - {"template"})
        return f"{file.at(word)}: LLaMA-Factory chats with, serves or exports a model by this file: it trains nothing"
    if "model" in keys and "micro_batch_size" in keys and len(keys & _VERSION_1) > 1:
        return f"{file.name} is of LLaMA-Factory's version 1 (USE_V1), whose words are not read: say options instead"
    return ""


def read_llama_factory(file: ConfigFile, transformers: int | None = None) -> TrainerSays:
    """The file resolved; ``transformers`` 4 or 5, where it is known. Raises InspectorError for what it refuses."""
    reading = Reading(file, "llama-factory", version_of("llama-factory"))
    model = reading.put("model", reading.text("model_name_or_path"), "model_name_or_path")
    if original := mirror_of(model):
        reading.follows("model_is", original, "a mirror of that model")
    word = precision(reading)
    pure = reading.on("pure_bf16")
    if pure:
        word = reading.put("mixed_precision", "none", "pure_bf16")
    stage = reading.text("stage", default="sft").lower()
    if stage not in _STAGES:
        raise reading.refuse(f"stage is one of {', '.join(_STAGES)}, not {stage!r}", "stage")
    files = launcher(
        reading, "llama-factory", silent="single", why="one card: no deepspeed, no fsdp; on more its launcher takes DDP"
    )
    third = under_zero3(files)
    method = _method(reading)
    compute = "bfloat16" if word == "bf16" or pure else "float16" if word == "fp16" else ""
    bits = _quantization(reading, method, compute)
    _dtypes(reading, method, pure=pure, third=third and bits is None)
    if bits is not None:
        reading.follows("kbit_preparation", False, "its own prepare_model_for_training, which casts nothing")
    _lora(reading, method, bits)
    batch(reading)
    _length(reading, stage)
    off = reading.on("disable_gradient_checkpointing")
    reading.put("gradient_checkpointing.enabled", not off, "disable_gradient_checkpointing", why="on, model_args.py")
    kind = None if off else reading.on("use_reentrant_gc", default=True)
    reading.put("gradient_checkpointing.reentrant", kind, "use_reentrant_gc", why="use_reentrant_gc, model_args.py")
    attention = reading.one_of("flash_attn", words=_ATTENTION | {"true": "flash_attention_2", "false": "sdpa"},
                               default="auto")  # fmt: skip
    reading.put("attention", attention, "flash_attn", why="auto: transformers' own sdpa")
    _optimizer(reading, transformers or _transformers(reading))
    _objective(reading, stage, method)
    _unread(reading)
    return reading.done(*files)


def _transformers(reading: Reading) -> int:
    """Of which day the file is.

    Its own class keeps ``overwrite_output_dir``, and all of its own examples since 0.9.2 have that key, but beside
    ``report_to``, which older files have not.
    """
    said = {key for key, value in reading.file.data.items() if value is not None}
    if "report_to" in said:
        said -= {"overwrite_output_dir"}
    return 4 if GONE & said else 5


def _method(reading: Reading) -> str:
    method = reading.text("finetuning_type", default="lora").lower()
    if method not in {"lora", "full", "freeze", "oft"}:
        raise reading.refuse("finetuning_type is one of lora, oft, freeze, full", "finetuning_type")
    if method in {"freeze", "oft"}:
        reading.unread("finetuning_type", why=f"{method} is not simulated")
    return method


def _quantization(reading: Reading, method: str, compute: str) -> int | None:
    bits = reading.whole("quantization_bit")
    kind = reading.one_of(
        "quantization_method", default="bnb",
        words={"bnb": "bnb", "bitsandbytes": "bnb", "hqq": "hqq", "eetq": "eetq", "gptq": "gptq", "awq": "awq",
               "aqlm": "aqlm", "quanto": "quanto", "mxfp4": "mxfp4", "fp8": "fp8"},
    )  # fmt: skip
    scheme = reading.text("quantization_type", default="nf4")
    double = reading.on("double_quantization", default=True)
    if bits is None:
        reading.put("quantization", None, "quantization_bit", why="off without quantization_bit")
        return None
    if method not in {"lora", "oft"}:
        raise reading.refuse("Quantization is only compatible with the LoRA or OFT method.", "quantization_bit")
    if kind != "bnb":
        reading.unread("quantization_method", why=f"{kind} on loading is not simulated")
        reading.put("quantization.scheme", kind, "quantization_method")
    elif bits == 8:
        reading.put("quantization.scheme", "int8", "quantization_bit")
    elif bits == 4:
        reading.put("quantization.scheme", scheme, "quantization_type", why="nf4, model_args.py")
        reading.put("quantization.double_quant", double, "double_quantization", why="on, model_args.py")
        dtype = compute or "float32"
        reading.follows("quantization.compute_dtype", dtype, "that of the run")
        reading.follows("quantization.quant_storage", dtype, "the compute dtype, model_utils/quantization.py")
    else:
        raise reading.refuse("Bitsandbytes only accepts 4-bit or 8-bit quantization.", "quantization_bit")
    return bits


def _dtypes(reading: Reading, method: str, *, pure: bool, third: bool) -> None:
    known = checkpoint_dtype(reading.value("model"))
    stored = known or "bfloat16"
    if known is None:
        reading.note("load_dtype", "the checkpoint's own; it is not known here, and nearly all are bfloat16")
    if pure or reading.on("use_badam"):
        why, trained = "pure_bf16 and BAdam leave what trains in half precision", stored
    elif third:
        why, trained = "under ZeRO-3, unquantized, nothing is cast: DeepSpeed keeps float32 masters", stored
    else:
        why, trained = "what trains is cast to float32 (init_adapter)", "float32"
    if method in {"lora", "oft"}:
        reading.follows("load_dtype", stored, 'torch_dtype="auto": the checkpoint\'s own')
        reading.follows("adapter_dtype", trained, why)
    else:
        reading.follows("load_dtype", trained, why)


def _lora(reading: Reading, method: str, bits: int | None) -> None:
    rank = reading.whole("lora_rank", default=8) or 8
    alpha = reading.whole("lora_alpha")
    dropout = reading.number("lora_dropout", default=0.0)
    targets = reading.names("lora_target") or ["all"]
    whole = reading.names("additional_target")
    flags = {name: reading.on(key) for name, key in (("dora", "use_dora"), ("rslora", "use_rslora"))}
    if method != "lora":
        reading.put("method", "full" if method == "full" else method, "finetuning_type")
        reading.follows("lora", None, "no LoRA")
        return
    reading.put("method", "lora" if bits is None else "qlora", "quantization_bit", "finetuning_type")
    reading.put("lora.r", rank, "lora_rank", why="finetuning_args.py")
    reading.put("lora.alpha", alpha or 2 * rank, "lora_alpha", why="twice the rank")
    reading.put("lora.dropout", dropout, "lora_dropout")
    every = targets == ["all"]
    reading.put("lora.targets", "all-linear" if every else targets, "lora_target", why="all")
    for name, on in flags.items():
        if on:
            reading.put(f"lora.{name}", True, f"use_{name}")
    if whole:
        reading.put("lora.modules_to_save", whole, "additional_target")


def _length(reading: Reading, stage: str) -> None:
    reading.put("seq_len", reading.whole("cutoff_len", default=2048), "cutoff_len", why="data_args.py")
    neat = reading.on("neat_packing")
    packed = neat or reading.on("packing", default=stage == "pt")
    key = "neat_packing" if neat else "packing"
    reading.put("packing", packed, key, why="only for pt")
    if not packed:
        reading.note("seq_len", "a cut: a batch is padded to its longest, rounded up to 8")
    if packed and not neat:
        reading.note("packing", "without neat_packing samples of a row see each other: no mask between them")


def _optimizer(reading: Reading, transformers: int) -> None:
    optimizer(reading, transformers=transformers)
    for name in ("galore", "apollo"):
        layers = reading.on(f"{name}_layerwise")
        if reading.on(f"use_{name}"):
            reading.put("optimizer", f"{name}_adamw{'_layerwise' if layers else ''}", f"use_{name}")
            rank = reading.whole(f"{name}_rank", default=16)
            reading.note("optimizer", f"{name} adamw{', layer-wise' if layers else ''}, rank {rank}")
            reading.unread(f"use_{name}", why=f"a dry run projects all linear layers to rank 128, the file to {rank}")
    for name in ("badam", "adam_mini", "muon"):
        if reading.on(f"use_{name}"):
            reading.put("optimizer", name, f"use_{name}")


def _objective(reading: Reading, stage: str, method: str) -> None:
    loss = reading.text("pref_loss", default="sigmoid").lower()
    objective = loss if stage == "dpo" and loss in {"orpo", "simpo"} else _STAGES[stage]
    reading.put("objective", objective, *(("pref_loss",) if objective == loss else ("stage",)))
    if objective in {"dpo", "kto", "orpo", "simpo"}:
        reading.put("beta", reading.number("pref_beta", default=0.1), "pref_beta")
    own = reading.text("ref_model")
    copied = bool(own) or method != "lora"
    ref = ("copy" if copied else "none") if objective in {"dpo", "kto", "ppo"} else None
    if reading.on("use_asft_loss"):
        ref = "copy" if copied else "none"
    reading.put("reference_model", ref, "ref_model", why="create_ref_model: none for lora, a copy for full")
    logits = reading.on("compute_accuracy") or reading.on("predict_with_generate")
    liger = reading.on("enable_liger_kernel")
    fused = liger and stage in {"pt", "sft"}
    reading.put("loss", "liger" if fused else "full", *(("enable_liger_kernel",) if fused else ()))
    if fused and logits:
        reading.note("loss", "evaluation needs logits: fused in training alone")
    if objective in {"reward", "ppo"}:
        reading.follows("value_head", "AutoModelForCausalLMWithValueHead", "TRL's wrapper, which runs lm_head too")
        reading.note("loss", "full logits in float32 although only values are used: the value-head wrapper")


def _unread(reading: Reading) -> None:
    also_unread(reading)
    for key in GONE | OLD:
        reading.said(key)
    for key, why in (
        ("use_unsloth", "Unsloth's kernels and checkpointing are not simulated"),
        ("use_unsloth_gc", "Unsloth's checkpointing keeps activations on the host: not simulated"),
        ("shift_attn", "shifted sparse attention"), ("mixture_of_depths", "mixture of depths"),
        ("upcast_layernorm", "norms in float32"), ("upcast_lmhead_output", "logits to float32 by a hook"),
        ("resize_vocab", "say --pad-to-multiple-of 64"), ("adapter_name_or_path", "a saved adapter has its own rank"),
        ("use_llama_pro", "only added blocks train"), ("pissa_init", "PiSSA changes what is stored, not how much"),
        ("use_kt", "experts on the host"), ("fp8", "training in FP8 is not simulated"),
        ("use_dft_loss", "another loss"), ("use_eaft_loss", "another loss"), ("use_asft_loss", "another loss"),
        ("reward_model", "a reward model on the card"), ("pref_ftx", "an SFT loss beside"),
        ("freeze_trainable_layers", "which layers train"),
        ("use_megatron_bridge", "Megatron"), ("use_mca", "Megatron"),
        ("use_hyper_parallel", "HyperParallel"),
    ):  # fmt: skip
        reading.unread(key, why=why)
    for key in ("freeze_vision_tower", "freeze_multi_modal_projector"):
        if reading.said(key) is not None:
            reading.put("freeze_vision", reading.on(key, default=True), key)

"""TRL's YAML, and the recipes of alignment-handbook and open-r1, which are TRL's with keys of their own.

Source: TRL 0.8 to 1.16 (`trl_versions`): trainer/*_config.py, model_config.py, utils.py (``get_quantization_config``,
``get_peft_config``), dpo_trainer.py, grpo_trainer.py, sft_trainer.py. Which trainer runs is the script's to say, not
the file's: it is told from keys that only one of them has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.simulate.setup.readers import trl_versions as versions
from inspector.simulate.setup.readers.known_keys import keys_of
from inspector.simulate.setup.readers.models_named import mirror_of, own_targets
from inspector.simulate.setup.readers.reading import Reading
from inspector.simulate.setup.readers.training_arguments import (
    GONE,
    OLD,
    also_unread,
    batch,
    checkpointing,
    launcher,
    optimizer,
    precision,
    transformers_of,
    under_zero3,
)

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.config_file import ConfigFile
    from inspector.simulate.setup.readers.reading import TrainerSays
    from inspector.simulate.setup.readers.trl_versions import Version

_SFT_ALONE = {"packing", "max_seq_length", "dataset_text_field", "assistant_only_loss", "completion_only_loss",
              "neftune_noise_alpha", "eval_packing", "packing_strategy"}  # fmt: skip
_MARKS: tuple[tuple[str, frozenset[str]], ...] = (
    # First: its students generate by GRPO's words.
    ("distill", frozenset({"teacher_model_name_or_path", "lmbda", "seq_kd"})),
    ("rloo", frozenset({"normalize_advantages", "rloo_k", "reward_clip_range"})),
    ("grpo", frozenset({"num_generations", "max_completion_length", "reward_funcs", "reward_weights", "use_vllm",
                        "scale_rewards", "epsilon_high", "log_completions", "steps_per_generation"})),
    ("kto", frozenset({"desirable_weight", "undesirable_weight"})),
    ("simpo", frozenset({"simpo_gamma"})),
    ("cpo", frozenset({"cpo_alpha"})),
    ("orpo", frozenset({"orpo_alpha"})),
    ("reward", frozenset({"center_rewards_coefficient"})),
    ("ppo", frozenset({"vf_coef", "reward_model_path", "missing_eos_penalty", "num_ppo_epochs", "cliprange"})),
)  # fmt: skip
_DPO = frozenset({"beta", "precompute_ref_log_probs", "rpo_alpha", "max_prompt_length", "f_divergence_type",
                  "ref_model_init_kwargs", "generate_during_eval", "sync_ref_model", "use_weighting", "ld_alpha",
                  "reference_free", "force_use_ref_model", "discopop_tau", "label_smoothing"})  # fmt: skip
_MODEL = frozenset({
    "use_peft", "lora_r", "load_in_4bit", "load_in_8bit", "attn_implementation", "torch_dtype", "dtype",
    "lora_target_modules", "use_bnb_nested_quant", "dataset_name", "dataset_mixer", "dataset_mixture",
    "dataset_train_split", "model_revision", "max_length", "max_seq_length", "use_flash_attention_2", "beta",
})  # fmt: skip


def is_trl(file: ConfigFile) -> bool:
    """Whether a file is TRL's: a model by transformers' word, and one more of ``ModelConfig`` or a trainer."""
    own = _MODEL | (keys_of("trl") - keys_of("transformers"))
    return "model_name_or_path" in file.data and "block_size" not in file.data and bool(own & set(file.data))


def read_trl(file: ConfigFile, version: Version | None = None) -> TrainerSays:
    """The file resolved by a version's defaults; left out, the newest that has all its keys. Raises InspectorError."""
    keys = frozenset(key for key, value in file.data.items() if value is not None)
    found, why = (version, "as you say") if version else versions.version_for(keys)
    reading = Reading(file, "trl", f"{found[0]}.{found[1]} ({why})")
    for key in versions.OPEN_R1 | versions.HANDBOOK | set(versions.GONE_IN) | GONE | OLD:
        reading.said(key)
    transformers = transformers_of(reading, 5 if found >= (0, 29) else 4)
    model = reading.put("model", reading.text("model_name_or_path"), "model_name_or_path")
    if original := mirror_of(model):
        reading.follows("model_is", original, "a mirror, or checkpoints, of that model")
    precision(reading, silent=versions.half_silent(found))
    objective = _objective(reading, keys)
    files = launcher(reading, "trl", why="the launcher decides: accelerate's file, or torchrun")
    dtype = _dtype(reading, found)
    adapters = _adapters(reading, model)
    _quantization(reading, dtype, adapters=adapters)
    if adapters:
        quantized = reading.value("method") == "qlora"
        late = found >= (0, 26)
        cast = "bfloat16" if quantized and late else "float32"
        reading.follows("adapter_dtype", cast, "PEFT's float32; on a quantized model bfloat16 from 0.26 on")
        reading.follows("kbit_preparation", quantized and not late, "prepare_model_for_kbit_training until 0.25")
    batch(reading)
    answers = objective in {"grpo", "rloo"} or (objective == "distill" and not _of_rows(reading))
    _lengths(reading, objective, found, answers=answers)
    checkpointing(
        reading, silent=versions.checkpointing_silent(found), reentrant=versions.reentrant_silent(found, transformers),
        why="TRL's own, or that of transformers",
    )  # fmt: skip
    if adapters and under_zero3(files):
        reading.follows("gradient_checkpointing.reentrant", True, "ZeRO-3 with PEFT forces it")
    name = reading.text("attn_implementation", default="sdpa")
    reading.put("attention", name, "attn_implementation", why="transformers' own")
    if reading.on("use_flash_attention_2"):
        reading.put("attention", "flash_attention_2", "use_flash_attention_2")
    optimizer(reading, transformers=transformers)
    if objective == "ppo" and (scorer := reading.text("reward_model_path")):
        reading.put("reward_model", scorer, "reward_model_path")
    if objective == "distill":
        rows = _of_rows(reading)
        reading.put("distillation", "gkd" if rows else "distill", *rows)
        reading.put("teacher", reading.text("teacher_model_name_or_path") or None, "teacher_model_name_or_path")
    _loss(reading, objective, found)
    _reference(reading, objective, found, adapters=adapters)
    if answers:
        _generation(reading, objective, found)
    also_unread(reading)
    for key, said in (
        ("model_init_kwargs", "what the model is loaded with is not read"),
        ("lora_target_parameters", "say --target-parameters"),
        ("use_transformers_paged", "paged generation"), ("cache_implementation", "another key-value cache"),
        ("loss_weights", "several losses at once"), ("cast_lm_head_to_fp32", "the head in float32"),
        ("router_aux_loss_coef", "router logits are kept for the balance"),
    ):  # fmt: skip
        reading.unread(key, why=said)
    return reading.done(*files)


def _objective(reading: Reading, keys: frozenset[str]) -> str:
    for objective, marks in _MARKS:
        if found := sorted(marks & keys):
            return str(reading.put("objective", objective, found[0]))
    kind = reading.file.data.get("loss_type")
    kinds = {str(one) for one in (kind if isinstance(kind, list) else [kind])}
    preference = sorted(_DPO & keys)
    if kinds & {"simpo"}:
        return str(reading.put("objective", "cpo", "loss_type"))
    if preference or kinds & {"sigmoid", "apo_zero", "apo_down", "ipo", "hinge", "robust", "exo_pair", "nca_pair"}:
        # ORPO's keys are some of DPO's: only what the run is called tells them apart.
        named = " ".join(str(reading.file.data.get(key, "")) for key in ("output_dir", "hub_model_id", "run_name"))
        for word in ("orpo", "kto", "cpo"):
            if word in named.lower():
                return str(reading.follows("objective", word, "the script decides; the run is called so"))
        if {"apo_zero", "apo_down", "exo_pair", "nca_pair"} & kinds:
            reading.note("objective", f"dpo ({', '.join(sorted(kinds))})")
        return str(reading.put("objective", "dpo", *(preference[:1] or ["loss_type"])))
    return str(
        reading.put("objective", "sft", *sorted(_SFT_ALONE & keys)[:1], why="the script decides; no key of another")
    )


def _dtype(reading: Reading, version: Version) -> str:
    key = reading.first("dtype", "torch_dtype")
    said = reading.text(key, default=versions.dtype_silent(version)).removeprefix("torch.")
    return str(reading.put("load_dtype", said, key, why="auto is the checkpoint's own; float32 from 0.27 on"))


def _adapters(reading: Reading, model: str) -> bool:
    used = reading.on("use_peft")
    four = reading.on("load_in_4bit")
    rank, alpha = reading.whole("lora_r", default=16), reading.whole("lora_alpha", default=32)
    dropout = reading.number("lora_dropout", default=0.05)
    named = reading.said("lora_target_modules")
    names = reading.names("lora_target_modules")
    whole = reading.names("lora_modules_to_save")
    flags = {name: reading.on(f"use_{name}") for name in ("dora", "rslora")}
    if not used:
        reading.put("method", "full", "use_peft", why="no use_peft")
        reading.follows("lora", None, "no use_peft")
        return False
    reading.put("method", "qlora" if four or reading.on("load_in_8bit") else "lora", "load_in_4bit", "use_peft")
    reading.put("lora.r", rank, "lora_r")
    reading.put("lora.alpha", alpha, "lora_alpha")
    reading.put("lora.dropout", dropout, "lora_dropout")
    if names == ["all-linear"] or named == "all-linear":
        targets: Any = "all-linear"
    else:
        targets = names or own_targets(model) or "peft-default"
    reading.put("lora.targets", targets, "lora_target_modules", why="PEFT's own choice for this kind of model")
    for name, on in flags.items():
        if on:
            reading.put(f"lora.{name}", True, f"use_{name}")
    if whole:
        reading.put("lora.modules_to_save", whole, "lora_modules_to_save")
    return True


def _quantization(reading: Reading, dtype: str, *, adapters: bool) -> None:
    kind = reading.text("bnb_4bit_quant_type", default="nf4")
    double = reading.on("use_bnb_nested_quant")
    storage = reading.text("bnb_4bit_quant_storage", default="uint8").removeprefix("torch.")
    four, eight = reading.on("load_in_4bit"), reading.on("load_in_8bit")
    if four and eight:
        raise reading.refuse("You can't use 8 bit and 4 bit precision at the same time", "load_in_8bit")
    if four:
        reading.put("quantization.scheme", kind, "bnb_4bit_quant_type", "load_in_4bit", why="nf4")
        reading.put("quantization.double_quant", double, "use_bnb_nested_quant", why="off")
        compute = dtype if dtype != "auto" else "float32"
        reading.follows("quantization.compute_dtype", compute, "the dtype, get_quantization_config")
        reading.put("quantization.quant_storage", storage, "bnb_4bit_quant_storage", why="bitsandbytes' own bytes")
        if not adapters:
            reading.unread("load_in_4bit", why="quantized weights train no further without use_peft")
    elif eight:
        reading.put("quantization.scheme", "int8", "load_in_8bit")
    else:
        reading.put("quantization", None, "load_in_4bit")


def _of_rows(reading: Reading) -> list[str]:
    """Keys of GKDTrainer, which takes rows and a share of own answers; DistillationTrainer takes own answers alone."""
    return [key for key in ("lmbda", "seq_kd") if reading.said(key) is not None]


def _lengths(reading: Reading, objective: str, version: Version, *, answers: bool) -> None:
    key = reading.first("max_length", "max_seq_length")
    longest = reading.whole(key, default=versions.length_silent(objective, version))
    prompt = reading.whole("max_prompt_length", default=versions.prompt_silent(version))
    if answers:
        answer = reading.whole("max_completion_length", default=versions.completion_silent(version)) or 256
        reading.put("completion_length", answer, "max_completion_length")
        reading.put("prompt_length", prompt, "max_prompt_length", why="as long as they are, from 0.26 on")
        length = prompt + answer if prompt else None
        reading.follows("seq_len", length, "prompt and completion; null where prompts are as long as they are")
    else:
        reading.put("seq_len", longest, key)
    packed = reading.on("packing")
    reading.put("packing", packed, "packing")
    if reading.on("padding_free"):
        reading.put("padding_free", True, "padding_free")


def _loss(reading: Reading, objective: str, version: Version) -> None:
    key = reading.first("use_liger_kernel", "use_liger")
    liger, own = reading.on(key), reading.on("use_liger_loss")
    said = reading.said("loss_type")
    if objective == "reward":
        reading.follows("loss", "none", "scores, no logits of the vocabulary")
        reading.follows("model_class", "AutoModelForSequenceClassification", "RewardTrainer")
        reading.follows("num_labels", 1, "RewardTrainer")
        return
    # Until 0.27 the kernels in the model were one switch, and the fused loss of DPO, KTO and GRPO another.
    fused = (own or (liger and version >= (0, 28))) if objective != "sft" else liger
    if fused:
        reading.put("loss", "liger", key if liger else "use_liger_loss")
    elif objective == "sft" and (said == "chunked_nll" or (version >= (1, 6) and said in (None, "nll", "chunked_nll"))):
        reading.put("loss", "chunked", "loss_type", why="a block of rows at a time, from 1.6 on")
    else:
        reading.put("loss", "full", "loss_type")
    if liger and not fused:
        reading.note("loss", "Liger's kernels are in the model; the loss itself is whole")


def _reference(reading: Reading, objective: str, version: Version, *, adapters: bool) -> None:
    beta = versions.beta_silent(objective, version)
    if beta is not None:
        beta = reading.put("beta", reading.number("beta", default=beta), "beta")
    before = reading.on("precompute_ref_log_probs")
    wanted = objective in {"dpo", "kto"} or (objective in {"grpo", "rloo"} and bool(beta))
    if not wanted:
        reading.follows("reference_model", None, "none is needed")
        return
    ref = "none" if adapters or (before and version >= (1, 0)) else "copy"
    why = "adapters are switched off" if adapters else "computed before" if ref == "none" else "a copy is loaded"
    reading.follows("reference_model", ref, why)
    if reading.on("sync_ref_model"):
        reading.put("sync_ref_model", True, "sync_ref_model")
    reading.note("reference_model", why)


def _generation(reading: Reading, objective: str, version: Version) -> None:
    count = reading.whole("num_generations", default=2 if objective == "rloo" else 8)
    reading.put("num_generations", count, "num_generations")
    mode = reading.text("vllm_mode", default="server" if versions.server_silent(version) else "colocate")
    vllm = reading.on("use_vllm")
    reading.put("generation", f"vllm-{mode}" if vllm else "transformers", "vllm_mode", "use_vllm")
    share = versions.vllm_share_silent(version)
    if vllm and mode == "colocate":
        value = reading.number("vllm_gpu_memory_utilization", default=share or 0.3)
        reading.put("vllm_gpu_memory_utilization", value, "vllm_gpu_memory_utilization")
        reading.put("vllm_sleep", reading.on("vllm_enable_sleep_mode"), "vllm_enable_sleep_mode")
        key = reading.first("vllm_max_model_length", "vllm_max_model_len")
        if longest := reading.whole(key):
            reading.put("vllm_max_model_length", longest, key)
    if scorer := reading.text("reward_model_name_or_path"):
        reading.put("reward_model", scorer, "reward_model_name_or_path")

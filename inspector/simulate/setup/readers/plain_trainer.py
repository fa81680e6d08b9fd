"""A JSON or YAML of ``TrainingArguments``, and Firefly's, which is one with keys of its own.

Source: transformers/training_args.py; yangjianxin1/Firefly e22b406, component/argument.py and train.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.simulate.setup.readers.known_keys import keys_of, version_of
from inspector.simulate.setup.readers.models_named import mirror_of
from inspector.simulate.setup.readers.reading import Reading
from inspector.simulate.setup.readers.training_arguments import (
    DTYPES,
    GONE,
    OLD,
    also_unread,
    batch,
    checkpointing,
    launcher,
    optimizer,
    precision,
    transformers_of,
)

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.config_file import ConfigFile
    from inspector.simulate.setup.readers.reading import TrainerSays

_FIREFLY = frozenset({"train_file", "template_name", "train_mode", "task_type", "lora_rank", "tokenize_num_workers"})
_MOST_COMMON = frozenset({
    "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate", "num_train_epochs", "optim",
    "gradient_checkpointing", "lr_scheduler_type", "fp16", "bf16", "warmup_ratio", "logging_steps", "max_grad_norm",
})  # fmt: skip


def is_firefly(file: ConfigFile) -> bool:
    """Whether a file is Firefly's."""
    return "train_file" in file.data and "model_name_or_path" in file.data and len(_FIREFLY & set(file.data)) >= 2


def is_training_arguments(file: ConfigFile) -> bool:
    """Whether a file is of ``TrainingArguments``: an output and more of its keys, or several."""
    found = (keys_of("transformers") | GONE) & set(file.data)
    return len(found & _MOST_COMMON) >= (1 if "output_dir" in file.data else 2)


def read_training_arguments(file: ConfigFile, transformers: int | None = None) -> TrainerSays:
    """The file resolved: what the Trainer does; the model, its dtype and adapters are the script's."""
    reading = Reading(file, "transformers", version_of("transformers"))
    for key in GONE | OLD:
        reading.said(key)
    if reading.said("model_name_or_path") is not None:
        reading.put("model", reading.text("model_name_or_path"), "model_name_or_path")
    for key in ("max_seq_length", "max_length", "model_max_length", "block_size"):
        if reading.said(key) is not None and reading.value("seq_len") is None:
            reading.put("seq_len", reading.whole(key), key)
            reading.note("seq_len", f"{key} is the script's own key, taken at its word")
    precision(reading)
    batch(reading)
    day = transformers or transformers_of(reading)
    checkpointing(reading, silent=False, reentrant=day < 5, why="reentrant in transformers 4, not in 5")
    optimizer(reading, transformers=day)
    liger = reading.on("use_liger_kernel")
    reading.put("loss", "liger" if liger else "full", "use_liger_kernel")
    files = launcher(reading, "transformers", why="the launcher decides: no deepspeed and no fsdp")
    also_unread(reading)
    return reading.done(*files)


def read_firefly(file: ConfigFile, transformers: int | None = None) -> TrainerSays:
    """The file resolved as Firefly's train.py does. Raises InspectorError for what it refuses."""
    reading = Reading(file, "firefly", version_of("firefly"))
    for key in GONE | OLD:
        reading.said(key)
    model = reading.put("model", reading.text("model_name_or_path"), "model_name_or_path")
    if original := mirror_of(model):
        reading.follows("model_is", original, "a mirror of that model")
    words = {"full": "full", "lora": "lora", "qlora": "qlora"}
    mode = reading.put("method", reading.one_of("train_mode", words=words, default="qlora"), "train_mode",
                       why="train_mode qlora, component/argument.py")  # fmt: skip
    tasks = {"sft": "sft", "pretrain": "sft", "dpo": "dpo"}
    task = reading.text("task_type", default="sft")
    objective = reading.put("objective", reading.one_of("task_type", words=tasks, default="sft"), "task_type")
    word = precision(reading)
    if word == "none":
        raise reading.refuse("only one of fp16 and bf16 can be True, and one has to be", "fp16")
    dtype = DTYPES[word]
    reading.put("load_dtype", dtype, word)
    _firefly_lora(reading, mode)
    if mode == "qlora":
        for name, value in (("scheme", "nf4"), ("double_quant", True), ("compute_dtype", dtype)):
            reading.follows(f"quantization.{name}", value, "load_model, train.py")
        reading.follows("kbit_preparation", objective == "sft", "prepare_model_for_kbit_training, but for dpo")
    else:
        reading.follows("quantization", None, "only with train_mode qlora")
    batch(reading)
    reading.put("seq_len", reading.whole("max_seq_length", default=512), "max_seq_length")
    reading.follows("packing", task == "pretrain", "texts are joined and cut in pretraining alone")
    _firefly_loop(reading, objective, mode, transformers or 4)
    # Unsloth trains on one card; so does a file that says nothing of several, as a script started by python.
    unsloth = reading.on("use_unsloth")
    silent = "single" if unsloth else "unknown"
    files = launcher(reading, "firefly", silent=silent, why="one card: Unsloth" if unsloth else "torchrun decides")
    reading.whole("max_prompt_length")
    also_unread(reading)
    return reading.done(*files)


def _firefly_lora(reading: Reading, mode: str) -> None:
    rank = reading.whole("lora_rank", default=64)
    alpha, dropout = reading.whole("lora_alpha", default=16), reading.number("lora_dropout", default=0.05)
    if mode == "full":
        reading.follows("lora", None, "train_mode full")
    else:
        reading.put("lora.r", rank, "lora_rank")
        reading.put("lora.alpha", alpha, "lora_alpha")
        reading.put("lora.dropout", dropout, "lora_dropout")
        reading.follows("lora.targets", "all-linear", "find_all_linear_names")


def _firefly_loop(reading: Reading, objective: str, mode: str, transformers: int) -> None:
    checkpointing(reading, silent=False, reentrant=transformers < 5, why="transformers' own")
    reading.follows("attention", "sdpa", "transformers' own")
    if reading.on("use_unsloth"):
        if reading.value("gradient_checkpointing.enabled"):
            reading.follows("gradient_checkpointing.reentrant", "unsloth's own", "use_gradient_checkpointing=True")
        reading.follows("attention", "unsloth's", "FastLanguageModel")
        reading.unread("use_unsloth", why="Unsloth's kernels, attention and checkpointing are not simulated")
    optimizer(reading, transformers=transformers)
    reading.follows("loss", "full", "Trainer's own")
    beta = reading.number("beta", default=0.1)
    ref = None
    if objective == "dpo":
        reading.put("beta", beta, "beta")
        ref = "copy" if mode == "full" else "none"
    reading.follows("reference_model", ref, "a copy for full, adapters switched off else")

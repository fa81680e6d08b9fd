"""What a file of accelerate or DeepSpeed resolves to, in the words that all trainers' files resolve to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inspector.simulate.setup.readers.accelerate import CLUSTER_KEYS, is_accelerate, read_accelerate
from inspector.simulate.setup.readers.deepspeed import BUCKETS, ZERO, is_deepspeed, read_deepspeed
from inspector.simulate.setup.readers.fsdp_section import FsdpSection
from inspector.simulate.setup.readers.reading import NotRead, Reading, Told, TrainerSays

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.config_file import ConfigFile
    from inspector.simulate.setup.readers.says import FileSays

_OPTIMIZERS = {"adam": "adamw_torch", "adamw": "adamw_torch", "adagrad": "adagrad", "onebitadam": "onebitadam",
               "lion": "lion", "fusedadam": "adamw_torch"}  # fmt: skip


def is_launcher(file: ConfigFile) -> bool:
    """Whether a file is one of accelerate or of DeepSpeed."""
    return is_accelerate(file) or is_deepspeed(file)


def resolve_launcher(file: ConfigFile, *, partly: bool = False) -> TrainerSays:
    """The file resolved; ``partly`` where it is a section of a trainer's, which does not say how many processes.

    Raises InspectorError for what accelerate and DeepSpeed refuse.
    """
    return _accelerate(file, partly=partly) if is_accelerate(file) else _deepspeed(file)


def _accelerate(file: ConfigFile, *, partly: bool) -> TrainerSays:
    reading = Reading(file, "accelerate", "1.15")
    for key in CLUSTER_KEYS:
        reading.said(key)
    if partly:
        found = FsdpSection(file)
        words, fields = found.read(1, "none")
        says = None
        notes = tuple(found.notes)
        on = bool(found.checkpointing())
        reading.follows("num_processes", None, "the launcher decides")
    else:
        says = read_accelerate(file)
        words, fields, notes = says.parallel, dict(says.fields), says.not_understood
        on = bool(says.settings.get("gradient_checkpointing"))
        word = str(file.data.get("mixed_precision") or "no").lower()
        reading.put("mixed_precision", "none" if word in {"no", "false"} else word, "mixed_precision")
        reading.put("num_processes", says.gpus, "num_processes")
    if words.startswith(("fsdp", "hsdp", "tp")):
        if not partly or on:
            key = "fsdp_config.fsdp_activation_checkpointing"
            reading.put("gradient_checkpointing.enabled", on, key)
            said = "FSDP's own; the trainer's gradient_checkpointing is another switch"
            reading.told["gradient_checkpointing.note"] = Told(
                "gradient_checkpointing.note", said, "follows", "accelerate 1.15"
            )
        _fsdp(reading, words, fields)
    elif says is not None and says.deepspeed is not None:
        _zero_section(reading)
    elif says is not None and says.own_deepspeed_keys:
        path = "deepspeed_config.deepspeed_config_file"
        reading.put("parallel.config_ref", str(reading.said(*path.split("."))), path)
        reading.follows("parallel.kind", "unknown", "the DeepSpeed file decides: give it, too")
    else:
        kind = words or "single"
        reading.put("parallel.kind", kind, "distributed_type")
        reading.follows("parallel.offload", "none", f"{kind} offloads nothing")
    return _with_notes(reading.done(), notes)


def _fsdp(reading: Reading, words: str, fields: dict[str, Any]) -> None:
    kind = {"hsdp": "fsdp2", "tp": "fsdp2"}.get(words.partition(":")[0], words)
    said = {key.removeprefix("fsdp_"): key for key in reading.part("fsdp_config")}

    def key(name: str) -> str:
        return f"fsdp_config.{said[name]}" if name in said else "fsdp_config.none"

    reading.put("parallel.kind", kind, key("version"), why="version 1 where none is said")
    reading.put("parallel.offload", fields["offload"], key("offload_params"))
    layers = reading.part("fsdp_config").get(said.get("transformer_layer_cls_to_wrap", ""))
    chosen = str(layers) if layers else "no_split_modules"
    wrap = {"layers": chosen, "trainer": chosen, "size": "size", "none": "none"}
    reading.put("parallel.auto_wrap", wrap[fields["wrap"]], key("transformer_layer_cls_to_wrap"),
                why="the model's _no_split_modules")  # fmt: skip
    if kind == "fsdp1":
        named = reading.part("fsdp_config").get(said.get("sharding_strategy", ""))
        named = named or reading.part("fsdp_config").get(said.get("reshard_after_forward", ""))
        plain = "FULL_SHARD" if fields["reshard_after_forward"] else "SHARD_GRAD_OP"
        strategy = str(named).upper() if isinstance(named, str) and not named.isdecimal() else plain
        strategy = plain if strategy in {"TRUE", "FALSE"} else strategy
        where = "sharding_strategy" if "sharding_strategy" in said else "reshard_after_forward"
        reading.put("parallel.sharding", strategy, key(where))
        for name in ("use_orig_params", "sync_module_states", "forward_prefetch"):
            reading.put(f"parallel.{name}", fields[name], key(name))
        prefetch = {"pre": "BACKWARD_PRE", "post": "BACKWARD_POST"}.get(fields["backward_prefetch"], "NO_PREFETCH")
        reading.put("parallel.backward_prefetch", prefetch, key("backward_prefetch"))
    else:
        reading.put("parallel.reshard_after_forward", fields["reshard_after_forward"], key("reshard_after_forward"))
    efficient = reading.on("fsdp_config", said.get("cpu_ram_efficient_loading", "none"), default=True)
    reading.put("parallel.cpu_ram_efficient_loading", efficient, key("cpu_ram_efficient_loading"))


def _zero_section(reading: Reading) -> None:
    name = "deepspeed_config"
    stage = reading.whole(name, "zero_stage", default=2, least=0)
    reading.put("parallel.kind", f"zero{stage}" if stage else "ddp", f"{name}.zero_stage", why="2 where none is said")
    optim = reading.text(name, "offload_optimizer_device", default="none").lower() != "none"
    params = reading.text(name, "offload_param_device", default="none").lower() != "none"
    reading.put("parallel.offload", _offload(optim=optim, params=params), f"{name}.offload_optimizer_device",
                f"{name}.offload_param_device")  # fmt: skip
    if reading.said(name, "zero3_init_flag") is not None:
        reading.put("parallel.zero_init", reading.on(name, "zero3_init_flag"), f"{name}.zero3_init_flag")
    accum = reading.said(name, "gradient_accumulation_steps")
    reading.put("gradient_accumulation", accum if accum is not None else "auto", f"{name}.gradient_accumulation_steps",
                why="auto: the trainer's")  # fmt: skip
    reading.note("gradient_accumulation", "auto (the trainer's)")


def _offload(*, optim: bool, params: bool) -> str:
    return "+".join([*(["optimizer"] if optim else []), *(["params"] if params else [])]) or "none"


def _deepspeed(file: ConfigFile) -> TrainerSays:
    says: FileSays = read_deepspeed(file)
    reading = Reading(file, "deepspeed", "0.18")
    for key in file.data:
        reading.said(key)
    on = [word for word in ("fp16", "bf16") if reading.said(word, "enabled") not in (None, "auto", False)]
    auto = any(reading.said(word, "enabled") == "auto" for word in ("fp16", "bf16"))
    word = on[0] if on else "auto" if auto else "none"
    reading.put("mixed_precision", word, *(f"{one}.enabled" for one in on or ("bf16", "fp16")))
    if word == "auto":
        reading.note("mixed_precision", "auto: the trainer's bf16 or fp16")
    for name, key in (("gradient_accumulation", "gradient_accumulation_steps"),
                      ("per_device_batch", "train_micro_batch_size_per_gpu")):  # fmt: skip
        if reading.said(key) not in (None, "auto"):
            reading.put(name, reading.whole(key), key)
    if (kind := reading.said("optimizer", "type")) is not None:
        own = _OPTIMIZERS.get(str(kind).lower(), str(kind).lower())
        reading.put("optimizer", own, "optimizer.type")
    stage = reading.whole(ZERO, "stage", default=0, least=0)
    reading.put("parallel.kind", f"zero{stage}" if stage else "ddp", f"{ZERO}.stage")
    devices = {name: str(reading.said(ZERO, f"offload_{name}", "device") or "none").lower()
               for name in ("optimizer", "param")}  # fmt: skip
    optim = devices["optimizer"] != "none" or reading.said(ZERO, "cpu_offload") is True
    params = devices["param"] != "none" or reading.said(ZERO, "cpu_offload_params") is True
    reading.put("parallel.offload", _offload(optim=optim, params=params), f"{ZERO}.offload_optimizer",
                f"{ZERO}.offload_param")  # fmt: skip
    for name, key in (("reduce_bucket", "reduce_bucket_size"), ("allgather_bucket", "allgather_bucket_size"),
                      ("prefetch_bucket", "stage3_prefetch_bucket_size"),
                      ("persistence_threshold", "stage3_param_persistence_threshold")):  # fmt: skip
        if stage == 3 or not key.startswith("stage3"):
            value = reading.said(ZERO, key)
            reading.put(f"parallel.{name}", BUCKETS[key] if value is None else value, f"{ZERO}.{key}",
                        why="elements, zero/config.py")  # fmt: skip
    overlap = reading.said(ZERO, "overlap_comm")
    reading.put("parallel.overlap_comm", stage == 3 if overlap is None else bool(overlap), f"{ZERO}.overlap_comm",
                why="on in stage 3")  # fmt: skip
    reading.follows("num_processes", None, "the launcher decides")
    for key in ("tensor_parallel", "activation_checkpointing", "compression_training", "pipeline", "torch_autocast"):
        reading.unread(key, why="not simulated")
    return _with_notes(reading.done(), says.not_understood)


def _with_notes(says: TrainerSays, notes: tuple[str, ...]) -> TrainerSays:
    """With the lines of the readers that simulate: keys they take nothing from."""
    found = []
    for note in notes:
        where, _, why = note.partition(": ")
        line = where.rpartition(":")[2]
        # The lines are for people; the key they are about is the one word that is a name.
        key = next(iter(re.findall(r"\w+_\w+", why)), "")
        found.append(NotRead(key, where, int(line) if line.isdecimal() else None, why, matters="not simulated" in why))
    return TrainerSays(says.tool, says.version, says.name, says.told, (*says.not_read, *found), says.without_effect,
                       says.launcher, says.notes)  # fmt: skip

"""`accelerate launch`: its options, its config file, and the variables it sets where it starts one process."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspector.simulate.script.invocation.torchrun import Start
    from inspector.simulate.script.invocation.value import Invocation

# Of ``launch_command_parser`` in accelerate 1.15, a test holds them equal to it. All others take one value.
FLAGS = frozenset({
    "-h", "--help", "-q", "--quiet", "--cpu", "--multi_gpu", "--tpu", "--enable_cpu_affinity", "--dynamo_use_fullgraph",
    "--dynamo_use_dynamic", "--dynamo_use_regional_compilation", "--use_deepspeed", "--use_fsdp",
    "--use_parallelism_config", "--use_megatron_lm", "--same_network", "-m", "--module", "--no_python", "--tpu_cluster",
    "--no_tpu_cluster", "--tpu_use_sudo", "--downcast_bf16", "--fp8_use_autocast_during_eval",
    "--debug",
})  # fmt: skip

LAUNCH_ONLY = frozenset({
    "--accelerate_config", "--config_file", "--num_processes", "--num_machines", "--mixed_precision", "--multi_gpu",
    "--gpu_ids", "--main_process_port", "--main_process_ip", "--machine_rank", "--dynamo_backend", "--dynamo_mode",
    "--use_deepspeed", "--use_fsdp", "--deepspeed_config_file", "--zero_stage", "--num_cpu_threads_per_process",
    "--rdzv_backend", "--quiet",
})  # fmt: skip
"""Options of the launcher that no trainer's config has: what trl leaves to it."""

_FIRST_MACHINE = {"machine_rank": "0", "main_process_ip": "127.0.0.1", "main_process_port": "29500"}
_OTHERS = {"MEGATRON_LM": "Megatron-LM", "XLA": "a TPU", "MULTI_CPU": "several CPUs"}
_BY_FLAG = {"use_megatron_lm": "Megatron-LM", "tpu": "a TPU"}
_PRECISIONS = ("no", "fp8", "fp16", "bf16")


def accelerate_launch(words: Sequence[str], start: Start) -> Invocation:
    """What ``accelerate launch [options] train.py args`` runs, in one process or as one of several.

    A config file is read as accelerate reads it, its default one too where there is one. Raises InspectorError when it
    asks for what is not simulated, or names no script.
    """
    options, rest = _options(words)
    if not rest:
        raise InspectorError("accelerate launch is given no script")
    file = options.get("config_file") or _default_config()
    config = _config(Path(file)) if file and not ("cpu" in options and "config_file" not in options) else {}
    found = start(rest, module=bool({"m", "module"} & set(options)))
    default = ("accelerate launch: with accelerate's default config, as `accelerate config` wrote it",)
    notes = (*(default if config and "config_file" not in options else ()), *found.notes)
    if _several(options, config):
        added = _of_a_machine(options, config)
        if added:
            names = " ".join(added[::2])
            notes = (
                f"accelerate launch: over several machines it wants {names} too, as the first is told here",
                *notes,
            )
        return replace(found, launch=("accelerate", *added, *words), notes=notes)
    variables = _variables(options, config)
    notes = ("accelerate launch: one process", *notes)
    return replace(found, environment=(*variables, *found.environment), notes=notes)


def take_options(words: Sequence[str], names: frozenset[str]) -> tuple[list[str], list[str]]:
    """The options of these names with their values, and all other words, each in its order."""
    taken: list[str] = []
    left: list[str] = []
    at = 0
    while at < len(words):
        name, equals, _ = words[at].partition("=")
        count = 1 if equals or _named(name) in FLAGS else 2
        if _named(name) in names:
            taken += words[at : at + count]
        else:
            left.append(words[at])
            count = 1
        at += count
    return taken, left


def _named(option: str) -> str:
    """An option's name: accelerate takes all of its own with dashes too."""
    return f"--{option[2:].replace('-', '_')}" if option.startswith("--") else option


def _options(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The launcher's options by their names, and the script with its arguments."""
    options: dict[str, str] = {}
    at = 0
    while at < len(words) and words[at].startswith("-"):
        name, equals, value = words[at].partition("=")
        at += 1
        if _named(name) in FLAGS:
            value = "yes"
        elif not equals:
            value = words[at] if at < len(words) else ""
            at += 1
        options[name.lstrip("-").replace("-", "_")] = value
    return options, list(words[at:])


def _of_a_machine(options: Mapping[str, str], config: Mapping[str, Any]) -> tuple[str, ...]:
    """What accelerate asks of each of several machines and is not said: who wants to know the memory has none yet.

    Source: ``prepare_multi_gpu_env`` in accelerate 1.15 ``utils/launch.py``.
    """
    machines = options.get("num_machines") or str(config.get("num_machines") or 1)
    if not machines.isdecimal() or int(machines) < 2:
        return ()
    missing = [name for name in _FIRST_MACHINE if name not in options and config.get(name) is None]
    return tuple(word for name in missing for word in (f"--{name}", _FIRST_MACHINE[name]))


def _several(options: Mapping[str, str], config: Mapping[str, Any]) -> bool:
    """Whether several processes share the work, or one by itself does it as one of them.

    Raises InspectorError for what no cards of NVIDIA's on machines of one's own do. Source:
    ``_validate_launch_command`` and ``launch_command`` of accelerate 1.15: of a config, its kind decides.
    """
    if "no_python" in options:
        raise InspectorError("what accelerate starts with --no_python is no script of Python")
    kind = "" if "cpu" in options else str(config.get("distributed_type") or "NO").upper()
    other = next((name for flag, name in _BY_FLAG.items() if flag in options), _OTHERS.get(kind))
    if other and "multi_gpu" not in options:
        raise InspectorError(f"accelerate launch is told to use {other}, which is not simulated", hint=ONE_CONFIG)
    if str(config.get("compute_environment") or "LOCAL_MACHINE") != "LOCAL_MACHINE":
        raise InspectorError("accelerate's config starts the training on Amazon SageMaker", hint=ONE_CONFIG)
    for option in ("num_processes", "num_machines"):
        # A config without a distributed kind starts one process, whatever number stands in it.
        said = options.get(option) or (str(config.get(option, 1)) if kind not in {"", "NO"} else "1")
        if not said.isdecimal():
            raise InspectorError(f"--{option} {said!r} is no number")
        if int(said) > 1:
            return "cpu" not in options
    shared = {"use_deepspeed", "use_fsdp", "multi_gpu", "use_parallelism_config"} & options.keys()
    return bool(shared) or kind in {"DEEPSPEED", "FSDP", "MULTI_GPU"}


ONE_CONFIG = "--num_processes 1 and a --config_file with distributed_type NO show what one card takes by itself"
"""What to do about what is not simulated."""


def _variables(options: Mapping[str, str], config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What the process finds in its environment.

    Source: ``prepare_simple_launcher_cmd_env`` in accelerate 1.15 ``utils/launch.py``; a test holds them equal to it.
    """
    precision = (options.get("mixed_precision") or str(config.get("mixed_precision") or "no")).lower()
    if precision not in _PRECISIONS:
        raise InspectorError(f"accelerate knows no mixed precision {precision!r}", hint=" ".join(_PRECISIONS))
    saved: dict[str, Any] = config.get("dynamo_config") or {}
    dynamo = {f"dynamo_{key.removeprefix('dynamo_')}": value for key, value in saved.items()}
    dynamo |= {key: True if value == "yes" else value for key, value in options.items() if key.startswith("dynamo_")}
    variables = {
        "ACCELERATE_USE_CPU": str("cpu" in options or bool(config.get("use_cpu"))),
        "ACCELERATE_MIXED_PRECISION": precision,
        "ACCELERATE_DYNAMO_BACKEND": str(dynamo.get("dynamo_backend", "no")).upper(),
        "ACCELERATE_DYNAMO_MODE": str(dynamo.get("dynamo_mode", "default")),
        "ACCELERATE_DYNAMO_USE_FULLGRAPH": str(bool(dynamo.get("dynamo_use_fullgraph"))),
        "ACCELERATE_DYNAMO_USE_DYNAMIC": str(bool(dynamo.get("dynamo_use_dynamic"))),
        "ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION": str(bool(dynamo.get("dynamo_use_regional_compilation"))),
    }
    if "debug" in options or config.get("debug"):
        variables["ACCELERATE_DEBUG_MODE"] = "true"
    ids = options.get("gpu_ids") or str(config.get("gpu_ids") or "all")
    # One card is shown, and it is the first: another number would name one that is not there.
    return tuple(variables.items()) if ids == "all" else (*variables.items(), ("CUDA_VISIBLE_DEVICES", "0"))


def _default_config() -> str:
    """The file that `accelerate config` writes. Source: ``config_args.py`` of accelerate 1.15."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.environ.get("HF_HOME") or Path(cache, "huggingface")).expanduser()
    files = [home / "accelerate" / f"default_config.{ending}" for ending in ("yaml", "json")]
    return next((str(file) for file in files if file.is_file()), "")


def _config(path: Path) -> dict[str, Any]:
    import yaml

    try:
        # JSON is YAML too, but for tabs.
        found = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise InspectorError(f"{path} is not YAML", hint=" ".join(str(error).split())[:200]) from None
    if not isinstance(found, dict):
        raise InspectorError(f"{path} is no config of accelerate")
    return found

"""Inspector's own configuration: the options of ``simulate finetune`` by their names, in YAML or JSON, or its JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.readers.reading import Reading
from inspector.simulate.setup.settings import FinetuneSettings

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.config_file import ConfigFile
    from inspector.simulate.setup.readers.reading import TrainerSays

SETTINGS = frozenset(FinetuneSettings.__annotations__) | {"bits", "load_in_4bit", "load_in_8bit"}
BESIDE = frozenset({"model", "gpus", "parallel"})
_PLACES = {
    "method": "method", "r": "lora.r", "alpha": "lora.alpha", "dropout": "lora.dropout", "use_dora": "lora.dora",
    "target_modules": "lora.targets", "use_rslora": "lora.rslora", "modules_to_save": "lora.modules_to_save",
    "scheme": "quantization.scheme", "double_quant": "quantization.double_quant", "dtype": "load_dtype",
    "compute_dtype": "quantization.compute_dtype", "autocast": "mixed_precision", "batch_size": "per_device_batch",
    "grad_accum": "gradient_accumulation", "seq_len": "seq_len", "packed": "packing", "attention": "attention",
    "gradient_checkpointing": "gradient_checkpointing.enabled", "reentrant": "gradient_checkpointing.reentrant",
    "optimizer": "optimizer", "loss": "loss", "adapter_dtype": "adapter_dtype",
}  # fmt: skip
"""Where each word of ours stands in what all trainers resolve to."""
_LORA = ("lora.", "adapter_dtype")


def is_own(file: ConfigFile) -> bool:
    """Whether every key is one of ours, and one of them a setting; or it is the JSON of a dry run."""
    keys = set(file.data)
    plain = bool(keys & SETTINGS) and not keys - SETTINGS - BESIDE
    # A model that has parts is torchtune's, or a config's own.
    return _is_json(file) or (plain and not isinstance(file.data.get("model"), (dict, list)))


def _is_json(file: ConfigFile) -> bool:
    return str(file.data.get("format", "")).startswith("inspector.") and isinstance(file.data.get("settings"), dict)


def read_own(file: ConfigFile) -> TrainerSays:
    """The file resolved, every setting by its place. Raises InspectorError for a setting out of range."""
    said = _said(file)
    reading = Reading(file, "inspector", "this one")
    reading.whole("gpus")
    reading.text("parallel")
    for key in file.data:
        reading.said(key)
    settings = {key: value for key, value in said.items() if key in SETTINGS}
    try:
        found = resolve_setup(**settings)
    except (TypeError, AttributeError, ValueError, KeyError):
        raise InspectorError(f"{file.name}: a setting has a value of another kind than it takes") from None
    full, plain = found.settings.method == "full", found.settings.scheme == "none"
    for name, place in _PLACES.items():
        if (full and place.startswith(_LORA)) or (plain and place.startswith("quantization.")):
            continue
        value: Any = getattr(found.settings, name)
        value = list(value) if isinstance(value, tuple) else value
        if name == "target_modules":
            value = "all-linear" if value == ["all-linear"] else value or "peft-default"
        key = f"settings.{name}" if _is_json(file) else name
        reading.put(place, value, key)
    for name, off in (("lora", full), ("quantization", plain)):
        if off:
            reading.follows(name, None, "none")
    if "model" in said:
        reading.put("model", str(said["model"]), "model")
    _rest(reading, said)
    return reading.done()


def _rest(reading: Reading, said: dict[str, Any]) -> None:
    reading.follows("objective", "sft", "what is simulated")
    reading.follows("reference_model", None, "none")
    reading.follows("parallel.kind", "unknown" if "gpus" in said else "single", "no gpus" if "gpus" not in said else "")
    reading.follows("num_processes", said.get("gpus", 1), "gpus")


def own_options(file: ConfigFile) -> dict[str, Any]:
    """The options of the file, as they would be typed."""
    return _said(file)


def _said(file: ConfigFile) -> dict[str, Any]:
    if not _is_json(file):
        return {key: value for key, value in file.data.items() if value is not None}
    told = file.data["settings"]
    chosen = {name: one.get("value") for name, one in told.items() if isinstance(one, dict) and name in SETTINGS}
    model = file.data.get("model")
    # A card is asked anew.
    chosen.pop("gpu", None)
    return {**chosen, **({"model": model} if isinstance(model, str) else {})}

"""A saved PEFT adapter: what it holds, what it was trained on, what merging it costs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from inspector.errors import InspectorError
from inspector.files import exists, json_object, read_json_object
from inspector.reporting import TableReport
from inspector.sources.folder import read_files
from inspector.sources.loaded_files import PICKLES, pickle_refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inspector.checkpoint import Checkpoint, FileTensor

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KIND = re.compile(
    r"\.((?:lora|adamss|adaption|beft|boft|c3a|deft|delora|fourierft|frod|glora|gralora|hada|hira|hra|ia3|lily|lokr|miss"
    r"|oft|osf|peanut|poly|psoft|pvera|randlora|road|shadow|shira|supertuning|tinylora|trainable_tokens|unilora|vblora"
    r"|vera|waveft|xlora|bone)_[A-Za-z0-9_]+?)(?:\.|$)"
)
"""A module's adapter tensors: the prefixes in peft ``mapping.PEFT_TYPE_TO_PREFIX_MAPPING``."""

_PROMPTS = frozenset({
    "PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE", "ADAPTION_PROMPT",
})  # fmt: skip
_NEVER = {
    "LILY": "its update depends on the input", "POLY": "its update depends on the task",
    "SHADOW": "it is a network of its own beside the model", "XLORA": "its mixture depends on the input",
}  # fmt: skip
_IN_PLACE = frozenset({"IA3", "LN_TUNING", "TRAINABLE_TOKENS"})
"""They scale or replace vectors and rows: no update of a whole weight is made."""


@dataclass(frozen=True, slots=True)
class AdapterPart:
    """Tensors of one kind, such as ``lora_A``, or modules saved whole (``modules_to_save``)."""

    name: str
    tensors: int
    parameters: int
    nbytes: int


@dataclass(frozen=True)
class AdapterReport(TableReport):
    """One adapter. Sizes in bytes.

    ``merge_elements`` are those of the largest update ``B @ A``, which `merge_and_unload` makes one module at a time
    beside the weight (peft ``tuners/lora/layer.py``, ``Linear.merge`` and ``get_delta_weight``); None for a method
    whose cost is not known here. ``safe_merge`` keeps one more copy of that weight.
    """

    kind: ClassVar[str] = "adapter"

    name: str
    method: str
    base_model: str
    rank: int | None
    alpha: float | None
    modules: int
    parameters: int
    tensor_bytes: int
    file_bytes: int
    parts: tuple[AdapterPart, ...]
    merge_elements: int | None
    notes: tuple[str, ...]


def read_adapter(reference: Path | str) -> AdapterReport:
    """The adapter that ``save_pretrained`` of a PEFT model wrote, in a folder or on the hub.

    Args:
        reference: a folder; or ``org/name`` or ``org/name@revision``, of which only ``adapter_config.json`` and the
            header of ``adapter_model.safetensors`` are read. ``hf:org/name`` is on the hub even if a folder has the
            name.

    Raises:
        InspectorError: when it has no config, no safetensors, or a broken one, or cannot be reached.
    """
    from inspector.sources.hub_id import is_hub_id

    said = str(reference)
    # A folder of that name goes first, as in PEFT's own `from_pretrained`.
    if said.startswith("hf:") or (not exists(Path(reference)) and is_hub_id(said)):
        return _on_hub(said.removeprefix("hf:"))
    return _in_folder(Path(reference).expanduser())


def _in_folder(folder: Path) -> AdapterReport:
    if not folder.is_dir() or not (folder / CONFIG).exists():
        raise InspectorError(f"{folder} has no {CONFIG}", hint="point at the folder of a PEFT adapter")
    config = read_json_object(folder / CONFIG)
    if not (folder / WEIGHTS).exists():
        raise _no_weights(str(folder), [path.name for path in folder.iterdir()])
    return _report(config, read_files(folder, [WEIGHTS]))


def _on_hub(hub_id: str) -> AdapterReport:
    from inspector.sources.hub import HubModel, reached
    from inspector.sources.hub_id import is_hub_id

    # A colon names one GGUF file of a repository, which an adapter is not.
    if not is_hub_id(hub_id) or ":" in hub_id:
        raise InspectorError(f"{hub_id[:80]!r} is no name on the hub", hint="give org/name or org/name@revision")
    repo, _, revision = hub_id.partition("@")
    model = reached(repo, revision)
    # Offline, and huggingface_hub has kept its files: they are a folder like any other.
    if not isinstance(model, HubModel):
        return replace(_in_folder(model), name=hub_id)
    if CONFIG not in model.files:
        raise InspectorError(f"{hub_id} has no {CONFIG}", hint="name a PEFT adapter; inspector layers shows a model")
    config = json_object(model.text(CONFIG), f"{CONFIG} of {hub_id}")
    if WEIGHTS not in model.files:
        raise _no_weights(hub_id, model.files)
    return _report(config, model.read([WEIGHTS], {}, {}))


def _no_weights(where: str, names: Iterable[str]) -> InspectorError:
    """Why an adapter without safetensors is not read: a pickle is not opened, and there may be none."""
    pickles = sorted(name for name in names if name.startswith("adapter_") and name.endswith(PICKLES))
    if pickles:
        return pickle_refused(pickles[0])
    return InspectorError(f"{where} has no {WEIGHTS}", hint="save it with save_pretrained")


def _report(config: Mapping[str, object], stored: Checkpoint) -> AdapterReport:
    method, rank, alpha = _method(config), _number(config.get("r")), _number(config.get("lora_alpha"))
    owners = {tensor.name[: match.start()] for tensor in stored.tensors if (match := _KIND.search(tensor.name))}
    owners -= {"base_model", "base_model.model"}  # banks and projections that all modules share
    return AdapterReport(
        name=stored.name,
        method=method,
        base_model=str(config.get("base_model_name_or_path") or ""),
        rank=int(rank) if rank is not None else None,
        alpha=alpha,
        modules=len(owners),
        parameters=sum(tensor.numel for tensor in stored.tensors),
        tensor_bytes=stored.tensor_bytes,
        file_bytes=stored.file_bytes,
        parts=tuple(_parts(stored.tensors)),
        merge_elements=_largest_update(stored) if method.startswith("LORA") else None,  # its variants stand behind it
        notes=tuple(_notes(config, stored)),
    )


def _method(config: Mapping[str, object]) -> str:
    """PEFT's name of the method, with the variant of LoRA where it is one."""
    method = str(config.get("peft_type") or "unknown")[:40].upper()
    variants = {"use_dora": "DoRA", "use_rslora": "rsLoRA", "use_qalora": "QALoRA"}
    chosen = [name for key, name in variants.items() if config.get(key) is True]
    return f"{method} ({', '.join(chosen)})" if chosen else method


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Python's JSON has Infinity and NaN, which no int takes; no rank or alpha is anywhere near the bound.
    return float(value) if 0 < value < 10**9 else None


def _parts(tensors: tuple[FileTensor, ...]) -> list[AdapterPart]:
    groups: dict[str, list[FileTensor]] = {}
    for tensor in tensors:
        match = _KIND.search(tensor.name)
        groups.setdefault(match[1] if match else _other(tensor.name), []).append(tensor)
    return [
        AdapterPart(name, len(group), sum(tensor.numel for tensor in group), sum(tensor.nbytes for tensor in group))
        for name, group in groups.items()
    ]


def _other(name: str) -> str:
    """What to call a tensor that belongs to no module: prompts by their name, a module's own weights as a whole."""
    last = name.rpartition(".")[2]
    # A stranger's file may have names of any length; 40 characters fit a column.
    return "saved whole" if last in {"weight", "bias"} else last[:40]


def _merging(config: Mapping[str, object]) -> str:
    """What merging does, in a sentence. Found by `merge_and_unload` of every method on a small model."""
    method = str(config.get("peft_type") or "")[:40].upper()
    if method in _PROMPTS:
        return "it cannot be merged: it adds to the input or the attention, not to a weight"
    if method in _NEVER:
        return f"it cannot be merged: {_NEVER[method]}"
    if method == "BEFT":
        return "it is merged into the biases of layers that have one, and cannot be where they have none"
    if method in _IN_PLACE:
        return "merging changes vectors or rows in place and takes no memory worth naming"
    if method == "LORA":
        return "merging leaves the base model's size as it is; on a 4-bit base it dequantizes and quantizes again"
    return "merging makes one update of a weight's size at a time and leaves the base model's size as it is"


def _largest_update(stored: Checkpoint) -> int:
    """Elements of the largest ``B @ A``: rows of B times columns of A; experts share a rank axis, so it divides out."""
    largest = 0
    for name, first in stored.by_name.items():
        second = stored.by_name.get(name.replace("lora_A", "lora_B").replace("lora_embedding_A", "lora_embedding_B"))
        # `second is first` where the name has nothing to replace: its pair would be itself.
        if "_A" not in name or second is None or second is first or not first.shape or not second.shape:
            continue
        rank = min(size for size in (first.shape[0], second.shape[-1]))
        largest = max(largest, first.numel * second.numel // max(1, rank * rank))
    return largest


def _notes(config: Mapping[str, object], stored: Checkpoint) -> list[str]:
    found = list(stored.notes)
    if config.get("bias") not in (None, "none"):
        found.append("it trains biases of the base model, which merging cannot undo")
    if config.get("modules_to_save"):
        found.append("it carries whole modules that replace those of the base model")
    found.append(_merging(config))
    return found

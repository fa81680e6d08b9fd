"""A saved adapter: what it holds, what it was trained on, what merging it costs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lenses.adapter_against_base import BaseAnswer, against_base
from inspector.lenses.adapter_against_config import against_config, file_name
from inspector.lenses.adapter_merging import largest_update, merging_notes
from inspector.lenses.adapter_report import AdapterPart, AdapterReport
from inspector.lenses.gguf_adapter import gguf_adapter_report
from inspector.skeleton.tasks import PEFT_HEADS
from inspector.skeleton.vocabulary import wanted_vocabulary
from inspector.sources.adapter_files import adapter_files, named_base

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspector.checkpoint import FileTensor
    from inspector.lenses.adapter_against_base import Finding
    from inspector.sources.adapter_files import AdapterFiles

_KIND = re.compile(
    r"\.((?:lora|adamss|adaption|beft|boft|c3a|deft|delora|fourierft|frod|glora|gralora|hada|hira|hra|ia3|lily|lokr|miss"
    r"|oft|osf|peanut|poly|psoft|pvera|randlora|road|shadow|shira|supertuning|tinylora|trainable_tokens|unilora|vblora"
    r"|vera|waveft|xlora|bone)_[A-Za-z0-9_]+?)(?:\.|$)"
)
"""A module's adapter tensors: the prefixes in peft ``mapping.PEFT_TYPE_TO_PREFIX_MAPPING``."""

ALONG = "saved along"
"""Part of a file that training did not touch."""


def read_adapter(reference: Path | str, base: str | None = None, *, bits: int | None = None) -> AdapterReport:
    """The adapter that ``save_pretrained`` of a PEFT model wrote, and what PEFT answers when it is loaded.

    Of one in GGUF, what llama.cpp answers.

    Args:
        reference: a folder, one safetensors or GGUF file, or a name on the hub: see `inspector.sources.adapter_files`.
        base: the model to hold it against, as for any command; None for the one that its config names, where that is
            at hand without a network.
        bits: 4 or 8 where the base is loaded so by bitsandbytes; one that is stored quantized is taken as it is.

    Raises:
        InspectorError: when it has no config, no safetensors, or a broken one, or cannot be reached; and where a
            ``base`` that was given cannot be found or built.
    """
    files = adapter_files(reference)
    if files.stored.format == "gguf":
        if bits:
            raise InspectorError("llama.cpp loads no base by bitsandbytes", hint="leave --bits out")
        return gguf_adapter_report(files.stored, base)
    return _report(files, _answer(files, base, bits), against_config(files))


def _answer(files: AdapterFiles, base: str | None, bits: int | None) -> BaseAnswer:
    """What PEFT makes of it on the base, where there is one to ask of."""
    if files.config is None:
        return BaseAnswer("", not_compared="without a config PEFT loads it on no base")
    if base is not None:
        return against_base(files, base, bits)
    said = files.config.get("base_model_name_or_path")
    named = named_base(files)
    if not named:
        of = f"its base, {said[:80]}, is not at hand" if isinstance(said, str) and said else "it names no base"
        return BaseAnswer("", not_compared=f"not held against a base: {of}; --base MODEL says which")
    try:
        return against_base(files, named, bits)
    except InspectorError as error:
        # Nobody asked for this base in so many words: what the adapter's own files say is told all the same.
        return BaseAnswer("", not_compared=f"not held against its base, {named}: {error}")


def _report(files: AdapterFiles, answer: BaseAnswer, alone: tuple[Finding, ...]) -> AdapterReport:
    config, stored = files.config or {}, files.stored
    method, rank, alpha = _method(config), _number(config.get("r")), _number(config.get("lora_alpha"))
    owners = {tensor.name[: match.start()] for tensor in stored.tensors if (match := _KIND.search(tensor.name))}
    owners -= {"base_model", "base_model.model"}  # banks and projections that all modules share
    trained = [tensor for tensor in stored.tensors if not _along(tensor.name, config)]
    return AdapterReport(
        name=files.name,
        method=method,
        base_model=str(config.get("base_model_name_or_path") or ""),
        rank=int(rank) if rank is not None else None,
        alpha=alpha,
        modules=len(owners),
        parameters=sum(tensor.numel for tensor in stored.tensors),
        trained_parameters=sum(tensor.numel for tensor in trained),
        tensor_bytes=stored.tensor_bytes,
        file_bytes=stored.file_bytes,
        parts=tuple(_parts(stored.tensors, config)),
        # Its variants stand behind it; a file without a config is read by its tensors' names.
        merge_elements=largest_update(stored, config) if method.startswith("LORA") or files.config is None else None,
        notes=(*stored.notes, *_of_the_base(answer), *merging_notes(config, stored, answer)),
        base=answer,
        findings=(*file_name(files), *(alone if answer.not_compared else answer.findings)),
    )


def _of_the_base(answer: BaseAnswer) -> tuple[str, ...]:
    rows = wanted_vocabulary()
    return (f"{answer.base} is that after model.{rows.call}",) if rows and not answer.not_compared else ()


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


def _parts(tensors: tuple[FileTensor, ...], config: Mapping[str, object]) -> list[AdapterPart]:
    groups: dict[str, list[FileTensor]] = {}
    for tensor in tensors:
        match = _KIND.search(tensor.name)
        name = match[1] if match else ALONG if _along(tensor.name, config) else _other(tensor.name)
        groups.setdefault(name, []).append(tensor)
    return [
        AdapterPart(name, len(group), sum(tensor.numel for tensor in group), sum(tensor.nbytes for tensor in group))
        for name, group in groups.items()
    ]


def _along(name: str, config: Mapping[str, object]) -> bool:
    """Whether a tensor of a LoRA file was saved along and not trained: the base's own, or a second copy.

    PEFT writes the tables of a targeted or resized vocabulary, and of a copied one all that its wrapper holds, beside
    the copy under the module's own name (peft ``get_peft_model_state_dict``).
    """
    if config.get("peft_type") != "LORA" or _KIND.search(name):
        return False
    if re.search(r"\.(?:original_module|modules_to_save)\.", name):
        return True
    path, _, leaf = name.removeprefix("base_model.model.").rpartition(".")
    if leaf == "bias" and config.get("bias") not in (None, "none"):
        return False
    saved = config.get("modules_to_save")
    names = [each for each in saved if isinstance(each, str)] if isinstance(saved, list) else []
    names += PEFT_HEADS.get(str(config.get("task_type")), ())
    return not any(f".{each}." in f".{path}." or path.endswith(each) for each in names)


def _other(name: str) -> str:
    """What to call a tensor that belongs to no module: prompts by their name, a module's own weights as a whole."""
    last = name.rpartition(".")[2]
    # A stranger's file may have names of any length; 40 characters fit a column.
    return "saved whole" if last in {"weight", "bias"} else last[:40]

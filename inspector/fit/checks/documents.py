"""JSON documents of runs, as `inspector simulate`, `run` and `check` print them: what of each can be compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import read_json_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CHECK = "inspector.check"
FORMATS = {
    "inspector.simulate": "fine-tuning",
    "inspector.several_cards": "fine-tuning on several cards",
    "inspector.generate": "generation",
    "inspector.split": "generation on several cards",
    "inspector.script": "script",
}
_FIGURES = {
    "process_bytes": "whole process", "peak_allocated_bytes": "peak allocated", "peak_reserved_bytes": "peak reserved",
    "steady_allocated_bytes": "after the last step", "paged_bytes": "paged optimizer state",
    "weights_bytes": "weights", "cache_bytes": "KV cache",
}  # fmt: skip
_HEAVIEST = {"inspector.several_cards": "ranks", "inspector.split": "cards"}
"""Documents of several cards are compared by the one whose process is the largest."""


@dataclass(frozen=True, slots=True)
class RunDocument:
    """What one run said. Sizes in bytes; ``lines`` are of a script, ``settings`` as text by their names."""

    form: str
    what: str
    gpu: str
    figures: Mapping[str, int]
    kinds: Mapping[str, int]
    lines: Mapping[str, int]
    modules: Mapping[str, int]
    settings: Mapping[str, str]
    versions: Mapping[str, str]
    verdict: str = ""
    failed: str = field(default="")


def read_documents(path: Path) -> dict[str, RunDocument]:
    """The runs of a file, by their names; the only one of a document that is no check's has none.

    Raises InspectorError for a file that is no such document.
    """
    return documents_of(read_json_object(path), str(path))


def documents_of(data: dict[str, Any], path: str) -> dict[str, RunDocument]:
    """The same of a JSON object that was read from ``path``."""
    form = data.get("format")
    if form != CHECK:
        return {"": _document(data, path)}
    runs = data.get("runs")
    if not isinstance(runs, list):
        raise InspectorError(f"{path} is damaged: it has no runs")
    found: dict[str, RunDocument] = {}
    for number, run in enumerate(runs):
        inner = run.get("report") if isinstance(run, dict) else None
        name = run.get("name") if isinstance(run, dict) else None
        if not isinstance(inner, dict) or not isinstance(name, str) or name in found:
            raise InspectorError(f"{path} is damaged: run {number + 1} has no report, or another's name")
        found[name] = _document(inner, f"{path}, run {name}")
    return found


def _document(data: dict[str, Any], where: str) -> RunDocument:
    form = data.get("format")
    if not isinstance(form, str) or form not in FORMATS:
        said = f"is the JSON of {form!r}" if isinstance(form, str) else "is no JSON of Inspector's"
        raise InspectorError(f"{where} {said}", hint="inspector simulate, run or check print it with --json")
    one = data
    if (several := _HEAVIEST.get(form)) is not None:
        listed = data.get(several)
        each = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        if not each:
            raise InspectorError(f"{where} is damaged: it has no {several}")
        one = max(each, key=lambda item: item["process_bytes"] if _is_size(item.get("process_bytes")) else 0)
    gpu = data.get("gpu")
    return RunDocument(
        form=form,
        what=str(data.get("script") or data.get("model") or ""),
        gpu=str(gpu.get("name") if isinstance(gpu, dict) else gpu),
        figures=_sizes({said: one[name] for name, said in _FIGURES.items() if one.get(name) is not None}, where),
        kinds=_sizes(one.get("alive_at_peak"), where),
        lines=_sizes(one.get("lines_at_peak"), where),
        modules=_sizes(one.get("modules_at_peak"), where),
        settings={**_settings(data), **_ways(data)},
        versions={str(name): str(value) for name, value in _mapping(data.get("versions")).items()},
        verdict=str(data.get("verdict") or ""),
        failed=str(data.get("error") or ""),
    )


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sizes(said: object, where: str) -> dict[str, int]:
    found = _mapping(said)
    if wrong := [name for name, size in found.items() if not _is_size(size)]:
        raise InspectorError(f"{where} is damaged: {wrong[0]!r} has no whole number of bytes")
    return found


def _is_size(said: object) -> bool:
    # True is a whole number to Python, and what no disk has room for is no size.
    return isinstance(said, int) and not isinstance(said, bool) and abs(said) < 2**63


def _settings(data: dict[str, Any]) -> dict[str, str]:
    """Settings as text: of training each has its value and who set it, of generation a value alone."""
    found = {}
    for name, said in _mapping(data.get("settings")).items():
        value = said.get("value") if isinstance(said, dict) and "value" in said else said
        # The card is said beside the figures.
        if name != "gpu":
            found[str(name)] = _text(value)
    return found


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _ways(data: dict[str, Any]) -> dict[str, str]:
    """How several cards share it, and how many there are."""
    found = {}
    if words := _mapping(data.get("parallel")).get("words"):
        found["parallel"] = str(words)
    for name in ("world_size", "gpus", "device_map"):
        if isinstance(data.get(name), (int, str)):
            found[name] = str(data[name])
    return found

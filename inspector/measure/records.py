"""Measurements kept as small JSON files: the user's own, and those that ship with Inspector. No torch here."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.errors import InspectorError
from inspector.files import read_json_object, write_text
from inspector.measure.report import Measurement, judged
from inspector.measure.spec import MeasureSpec
from inspector.reporting import TableReport

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT, VERSION = "inspector.measurement", 1
SHIPPED = Path(__file__).parent.parent / "data" / "measurements"


@dataclass(frozen=True)
class Records(TableReport):
    """Records, each beside today's prediction; ``names`` are their files' names, ``damaged`` those that are none."""

    kind: ClassVar[str] = "measurements"

    names: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    damaged: tuple[str, ...] = ()

    @property
    def agree(self) -> bool:
        """Whether every one that was measured to its end equals its prediction."""
        return all(each.agrees for each in self.measurements if each.status == "measured")


def own_folder() -> Path:
    """Where the user's records are: ``$INSPECTOR_DATA``, or the platform's data folder."""
    if chosen := os.environ.get("INSPECTOR_DATA"):
        return Path(chosen) / "measurements"
    import platformdirs

    # Without an author: Windows would have the name twice in the path.
    return Path(platformdirs.user_data_dir("llm-inspector", appauthor=False)) / "measurements"


def save_record(measurement: Measurement, folder: Path | None = None) -> Path:
    """Write a measurement as a record, whole or not at all; the path it has."""
    path = (folder or own_folder()) / f"{_name(measurement)}.json"
    content = {
        "format": FORMAT,
        "version": VERSION,
        "date": measurement.date,
        "spec": measurement.spec.to_dict(),
        "result": dict(measurement.result),
    }
    # NaN is no JSON, although Python would write it.
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return path


def load_record(path: Path) -> Measurement:
    """A record beside today's prediction. Raises InspectorError for a file that is none."""
    data = read_json_object(path)
    if data.get("format") != FORMAT:
        raise InspectorError(f"{path} is no record of a measurement", hint="`inspector measure --save` writes them")
    if data.get("version") != VERSION:
        raise InspectorError(f"{path} is version {data.get('version')}, this Inspector reads {VERSION}")
    spec, result = data.get("spec"), data.get("result")
    if not isinstance(spec, dict) or not isinstance(result, dict):
        raise InspectorError(f"{path} is a damaged record: it has no spec or no result")
    try:
        return judged(MeasureSpec.from_dict(spec), result, date=str(data.get("date", "")))
    except (KeyError, TypeError, AttributeError) as error:
        raise InspectorError(f"{path} is a damaged record: {type(error).__name__} {error}") from None


def find_records(paths: Iterable[Path] = ()) -> Records:
    """The records of the given files and folders; of Inspector and the user when none is given.

    Damaged ones in a folder are named, not fatal. Raises InspectorError for a given file that is no record.
    """
    given = tuple(paths)
    names, found, damaged = [], [], []
    for path in given or (SHIPPED, own_folder()):
        if given and not path.is_dir():
            names.append(path.stem)
            found.append(load_record(path))
            continue
        for file in sorted(path.glob("*.json")):
            try:
                measurement = load_record(file)
            except InspectorError as error:
                damaged.append(error.message)
                continue
            names.append(file.stem)
            found.append(measurement)
    return Records(tuple(names), tuple(found), tuple(damaged))


def _name(measurement: Measurement) -> str:
    """``Llama-3.1-8B_nf4-dq_2-layers_lora_step_cpu_20260101T120000``: what a person looks for, then the time."""
    spec = measurement.spec
    device: dict[str, Any] = measurement.result.get("device", {})
    name = device.get("name", "") if device.get("type") == "cuda" else device.get("type", "device")
    words = [
        spec.model.rpartition("/")[2],
        spec.scheme,
        f"{spec.layers}-layers" if spec.layers else "",
        f"lora-r{spec.lora.r}" if spec.lora else "",
        f"{spec.parallel}-rank-{spec.rank}-of-{spec.world_size}" if spec.parallel else "",
        f"step-{spec.step.batch_size}x{spec.step.seq_len}" if spec.step else "",
        name,
        # Windows forbids colons in names.
        re.sub(r"[-:]|\+.*", "", measurement.date),
    ]
    # File systems take 255 bytes, and a model's name is the user's.
    return re.sub(r"[^\w.-]+", "-", "_".join(word for word in words if word))[:150]

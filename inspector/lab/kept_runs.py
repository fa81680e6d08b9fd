"""Finished runs on disk, one file each, so that an experiment of half an hour can be interrupted and goes on.

They stay until what was measured changes: model, text, settings, versions or machine. Our own code is no part of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.files import read_json_object, write_text
from inspector.lab.reports import Finetuned
from inspector.measure.records import own_folder

if TYPE_CHECKING:
    from pathlib import Path

    from inspector.lab.plan import Settings, Setup
    from inspector.lab.reports import Sample


def place_of(sample: Sample, settings: Settings, setup: Setup) -> Path:
    """Where the run of a setup is kept, whether it is there or not."""
    # The day does not matter, and how many threads shared the work changes a sum's last digits alone.
    asked = [asdict(replace(sample, date="", threads=0)), asdict(settings), asdict(setup)]
    name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]
    return own_folder().parent / "lab" / f"{name}.json"


def kept_run(path: Path) -> Finetuned | None:
    """The run that is kept there; None when there is none, or the file is damaged: then it is made again."""
    with contextlib.suppress(InspectorError, TypeError, KeyError):
        if path.is_file():
            return Finetuned.from_dict(read_json_object(path))
    return None


def keep_run(path: Path, run: Finetuned) -> None:
    """Write a finished run, whole or not at all. Raises InspectorError when the disk takes no more."""
    write_text(path, json.dumps(asdict(run), indent=1, allow_nan=False) + "\n")

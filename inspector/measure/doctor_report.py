"""What helps another to help: versions, card, settings and the last error, with nothing personal in them."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, ClassVar

from inspector.architecture.libraries import need
from inspector.errors import LibraryError
from inspector.measure import machine
from inspector.reporting import Report
from inspector.store.last_error import LastError, last_error
from inspector.store.scrubbed import scrubbed

if TYPE_CHECKING:
    from collections.abc import Mapping

_FURTHER = ("accelerate", "trl", "datasets", "deepspeed", "huggingface_hub", "numpy", "triton")
SETTINGS = (
    "INSPECTOR_CACHE", "INSPECTOR_DATA", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "HF_HOME", "HF_TOKEN",
    "TRANSFORMERS_OFFLINE", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG", "OMP_NUM_THREADS",
)  # fmt: skip
"""Variables that change an answer or where things are looked for."""
_ONLY_SET = frozenset({"INSPECTOR_CACHE", "INSPECTOR_DATA", "HF_HOME", "HF_TOKEN"})
"""Places and secrets: that they are set is all that helps."""


@dataclass(frozen=True)
class DoctorReport(Report):
    """``versions`` of what is installed, ``cards`` by the driver's names, or ``no_card``, the reason there is none."""

    kind: ClassVar[str] = "doctor_report"

    versions: Mapping[str, str]
    system: str
    cards: tuple[str, ...]
    no_card: str
    settings: Mapping[str, str]
    error: LastError | None


def doctor_report() -> DoctorReport:
    """Look at this environment and at the last error; nothing is asked of a network."""
    found = {"inspector": _version("llm-inspector"), **{name: said or "-" for name, said in machine.versions().items()}}
    found |= {name: said for name in _FURTHER if (said := _version(name)) != "-"}
    cards, no_card = _cards()
    # By its kind and not its name; a kernel's release can be a company's own.
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count() or 0} processors"
    settings = {
        name: "set" if name in _ONLY_SET else scrubbed(os.environ[name]) for name in SETTINGS if os.environ.get(name)
    }
    return DoctorReport(found, system, cards, no_card, settings, last_error())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"


def _cards() -> tuple[tuple[str, ...], str]:
    try:
        need("torch")
    except LibraryError as error:
        return (), scrubbed(error.message)
    import torch

    if not torch.cuda.is_available():
        return (), machine.why_no_cuda()
    found = []
    for number in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(number)
        found.append(f"{card.name}, {card.total_memory:,} B, {card.multi_processor_count} multiprocessors")
    return tuple(found), ""

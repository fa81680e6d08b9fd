"""The device, the tokens and the losses that both experiments share. Imports torch."""

from __future__ import annotations

import datetime as dt
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from inspector.errors import InspectorError
from inspector.lab.reports import Sample
from inspector.measure.machine import versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.lab.small_model import SmallModel
    from inspector.lab.texts import Text


def chosen_device(name: str) -> torch.device:
    """The device of a word: ``auto`` is a GPU if there is one. Raises InspectorError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in {"cpu", "cuda"}:
        raise InspectorError(f"device must be auto, cpu or cuda, not {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InspectorError(f"no device {name}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def sample_of(model: SmallModel, texts: Sequence[Text], device: torch.device) -> Sample:
    """What a report says of how it was made; of the machine no more than its kind."""
    return Sample(
        model=model.name,
        stored=model.stored,
        digest=model.digest,
        texts={text.name: text.digest for text in texts},
        device=device.type,
        machine=torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        threads=torch.get_num_threads(),
        versions={name: found for name, found in versions().items() if found},
        date=dt.datetime.now(dt.UTC).date().isoformat(),
    )


def _processor() -> str:
    """The kind of the processor, such as ``AMD EPYC``; the machine's architecture where the system does not say."""
    try:
        said = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        said = ""
    found = re.search(r"^model name\s*:\s*(.+)$", said, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def windows(ids: Sequence[int], width: int, rows: int) -> torch.Tensor:
    """The first tokens in rows of ``width``; a text that is too short begins again. Raises InspectorError for none."""
    if len(ids) < 2:
        raise InspectorError("the model's tokenizer makes no tokens of the text", hint="is it a language model's?")
    wanted = rows * width
    whole = list(ids) * -(-wanted // len(ids))
    return torch.tensor(whole[:wanted]).view(rows, width)


@torch.no_grad()
def token_losses(model: Any, rows: torch.Tensor, at_once: int = 1) -> torch.Tensor:
    """Cross-entropy in nats of every token but the first of each row, in float32 on the CPU, row after row."""
    model.eval()
    found = []
    device = next(model.parameters()).device
    for batch in rows.split(at_once):
        ids = batch.to(device)
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
        found.append(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"))
    return torch.cat(found).cpu()

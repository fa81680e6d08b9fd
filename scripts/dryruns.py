"""Make the simulations that ship as data, for the deck: ``python scripts/dryruns.py [MODEL ...]``. Needs torch.

Without a model: those of the committed decks, and the ledger of published training runs (a quarter of an hour).
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from inspector.files import write_text
from inspector.lesson import lesson
from inspector.lesson.measured import LEDGER, LedgerLine
from inspector.lesson.training import dumps, make, path_of
from inspector.sources.resolve import resolve
from inspector.validation.ledger import validate

MODELS = ("meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-7B", "google/gemma-2-9b", "microsoft/Phi-3-medium-4k-instruct")
"""Those that the deck sets side by side."""
OTHERS = ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-3B", "mistralai/Mistral-7B-v0.1")
"""Those that have a what-if grid besides."""
PEAKS = ("peak", "run_peak")
"""What the ledger calls the highest allocated memory, a step's or a whole run's."""


def write_runs(model: str) -> None:
    """The dry runs of one model."""
    skeleton = resolve(model)
    training = make(model, skeleton.model_id, lesson(skeleton).adapters, progress=print)
    write_text(path_of(skeleton.model_id), dumps(training))
    print(path_of(skeleton.model_id))


def write_ledger() -> None:
    """How far the dry runs' peaks are from those published, one line a card."""
    found = validate(say=print)
    pairs: dict[str, list[tuple[int, int]]] = {}
    for line in found.lines:
        if line.figure in PEAKS:
            pairs.setdefault(line.question.gpu, []).append((line.predicted, line.measured))
    lines = [LedgerLine(card, tuple(kept)) for card, kept in pairs.items()]
    write_text(LEDGER, json.dumps([asdict(line) for line in lines], indent=1) + "\n")
    print(LEDGER)


if __name__ == "__main__":
    for name in sys.argv[1:] or (*MODELS, *OTHERS):
        write_runs(name)
    if not sys.argv[1:]:
        write_ledger()

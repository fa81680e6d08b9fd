"""A plain loop measured since before loading, in GiB: what is allocated at some moments, and the run's peaks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inspector.units import GiB
from inspector.validation import words
from inspector.validation.forms.figures import measured, peak
from inspector.validation.forms.notes import length_note
from inspector.validation.forms.training import PEAKS, read_training

if TYPE_CHECKING:
    from inspector.validation.fields import Fields
    from inspector.validation.published_run import Question

USUAL: dict[str, Any] = {
    "dtype": "bfloat16", "optimizer": "adamw_torch", "attention": "sdpa", "reentrant": False, "autocast": "bf16",
    "padding_mask": True, "use_cache": False, "outputs": "next", "zero_grad": "after", "labels": "shared",
}  # fmt: skip
"""The loop of the set's tool: a mask of ones, outputs that live into the next forward, gradients dropped at the end."""

STEPS = 3
"""Steps of a run that does not say; what it takes is the same from the second on."""

MOST_STEPS = 8
"""Steps that are simulated at the most: each is as the one before."""

NO_AUTOCAST = (
    "run before the tool's loop used autocast: its runner has none at commits f841e52 and cda809c, and has it at "
    "94a2322; the first forward's float32 logits say the same"
)
EARLIER = re.compile(r"DaoyuanLi2816/can-i-finetune-this\b.*\bbenchmarks/results/")
"""Where the tool keeps the runs of before: their records say autocast, as today's loop would."""


def read(fields: Fields) -> Question:
    """One record as a question."""
    run = read_training(fields, USUAL)
    run.settings["labels"] = length_note(fields, "shared")
    run.settings["steps"] = _steps(fields)
    if EARLIER.search(fields.text("source", "")) and "transformers" not in run.versions:
        run.settings |= {"autocast": "none", "use_cache": True}  # its runner at f841e52 left the config's own
        run.notes.append(NO_AUTOCAST)
    fields.told("after_load_allocated_gib")  # before the adapters are there, which is no moment of a dry run
    moments = {
        "load": "after_lora_allocated_gib", "first_forward": "after_first_forward_allocated_gib",
        "steady": "final_allocated_gib",
    }  # fmt: skip
    return run.question(
        fields.text("optimizer", ""),
        (
            *(figure for of, name in moments.items() for figure in measured(fields, name, of, GiB)),
            *peak(fields, "peak", words.Metric("allocated", with_load=True), PEAKS),
            *measured(fields, "peak_reserved_gib", "run_reserved", GiB),
        ),
    )


def _steps(fields: Fields) -> int:
    """The metric's ``2-3 steps``: the larger number."""
    # Of ``2-3 steps`` the number before the word is the larger.
    said = re.search(r"(\d{1,6}) steps?\b", fields.text("metric", ""))
    return min(max(int(said[1]), 1), MOST_STEPS) if said else STEPS

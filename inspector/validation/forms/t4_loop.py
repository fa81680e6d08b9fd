"""A plain transformers and PEFT loop: each stage's peak of a steady step, in MiB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inspector.units import MiB
from inspector.validation import words
from inspector.validation.forms.figures import measured, peak
from inspector.validation.forms.notes import length_note
from inspector.validation.forms.training import PEAKS, before, read_training

if TYPE_CHECKING:
    from inspector.validation.fields import Fields
    from inspector.validation.forms.training import Run
    from inspector.validation.published_run import Question

USUAL: dict[str, Any] = {
    "dtype": "float16", "optimizer": "adamw_torch", "attention": "sdpa", "reentrant": False, "autocast": "none",
    "use_cache": False, "outputs": "step", "zero_grad": "before", "labels": "shared",
}  # fmt: skip
"""The loop of the set's tool: the output held to the end of the step, gradients dropped before the forward."""

ELSEWHERE = (
    "its versions name no bitsandbytes, without which its tool measures no 4-bit run: they are of another environment; "
    "loads of one command leave unequal bytes, so threads brought its weights, as in the tool's other sessions"
)
"""Source: fitcheck-llm 0.3.1, scripts/calibration_sweep.py (``_PROBE``, ``preflight``), and the set itself: before the
first step one model's runs hold unequal bytes. What is compared begins after it. The other sessions had transformers
5.0.0 and peft 0.19.1, which empties no cache."""

RESULTS = (
    "after_load_allocated_mib", "weight_breakdown_mib", "optimizer_state_mib", "gradient_mib", "process_mib",
    "cuda_context_mib",
)  # fmt: skip
"""Measured and not compared: parts of the peaks, and sums with a context that is not the catalogue's."""


def read(fields: Fields) -> Question:
    """One record as a question."""
    run = read_training(fields, USUAL)
    run.settings["labels"] = length_note(fields, "shared")
    fields.told(*RESULTS)
    # PEFT empties the cache after preparing a quantized model since 0.20; which one ran must be known to say so.
    run.settings["clear_cache"] = "peft" in run.versions and not before(run.versions, "peft", 0, 20)
    if run.method == "full" and run.settings["dtype"] != "float32" and "fitcheck" in fields.text("tool", ""):
        fields.refuse("its tool trains float32 copies of the weights beside them, which is not simulated")
    if _of_elsewhere(fields, run):
        run.versions, run.settings["load_threads"], run.settings["clear_cache"] = {}, True, False
        run.notes.insert(0, ELSEWHERE)
    if run.settings.get("load_threads"):
        run.notes.insert(0, "threads brought its weights: what loading leaves and reserves varies from run to run")
    stages = {"forward": "peak_forward_mib", "backward": "peak_backward_mib", "optimizer": "peak_optimizer_mib"}
    return run.question(
        run.attention,
        (
            *(figure for of, name in stages.items() for figure in measured(fields, name, of, MiB)),
            *peak(fields, "peak", words.Metric("allocated", with_load=False), PEAKS),
            *measured(fields, "peak_reserved_mib", "reserved", MiB),
        ),
    )


def _of_elsewhere(fields: Fields, run: Run) -> bool:
    """Whether the versions cannot be those that quantized: the tool's probe writes null for what is not installed."""
    said = fields.values.get("versions")
    absent = isinstance(said, Mapping) and "bitsandbytes" in said and not said["bitsandbytes"]
    return run.method == "qlora" and absent and "fitcheck" in fields.text("tool", "")

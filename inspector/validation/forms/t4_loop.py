"""A plain transformers and PEFT loop: each stage's peak of a steady step, in MiB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.units import MiB
from inspector.validation import words
from inspector.validation.forms.figures import measured, peak
from inspector.validation.forms.notes import length_note
from inspector.validation.forms.training import PEAKS, before, read_training

if TYPE_CHECKING:
    from inspector.validation.fields import Fields
    from inspector.validation.published_run import Question

USUAL: dict[str, Any] = {
    "dtype": "float16", "optimizer": "adamw_torch", "attention": "sdpa", "reentrant": False, "autocast": "none",
    "use_cache": False, "outputs": "step", "zero_grad": "before", "labels": "shared",
}  # fmt: skip
"""The loop of the set's tool: the output held to the end of the step, gradients dropped before the forward."""

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
    if run.method == "qlora":
        run.notes.insert(0, "what loading leaves between quantized weights varies by some MiB from run to run")
    stages = {"forward": "peak_forward_mib", "backward": "peak_backward_mib", "optimizer": "peak_optimizer_mib"}
    return run.question(
        run.attention,
        (
            *(figure for of, name in stages.items() for figure in measured(fields, name, of, MiB)),
            *peak(fields, "peak", words.Metric("allocated", with_load=False), PEAKS),
            *measured(fields, "peak_reserved_mib", "reserved", MiB),
        ),
    )

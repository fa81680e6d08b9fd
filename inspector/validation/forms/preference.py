"""Preference training and losses: benchmarks of a loss alone are compared, any other row says why it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.validation import words
from inspector.validation.forms.figures import measured
from inspector.validation.forms.training import versions_of
from inspector.validation.published_run import Question

if TYPE_CHECKING:
    from inspector.validation.fields import Fields
    from inspector.validation.published_run import Figure

TOLD = (
    "note", "phase", "unit", "value_bytes", "rounding_bytes", "extra", "per_device_batch", "seq_len", "trust",
    "unspecified", "use", "status",
)  # fmt: skip
"""``unit`` is the word in the source and ``unit_is`` what it means; ``shape`` has the sizes of a benchmark's point."""
TOLD_OF_RUNS = (
    "lora", "quantization", "mixed_precision", "gradient_accumulation", "packed", "attention", "reference_model",
    "gradient_checkpointing", "optimizer", "generation", "parallel", "dtype", "shape", "provider", "measured", "value",
    "unit_is", "card", "activation_offloading", "num_generations", "max_completion_length", "logits_to_keep", "vocab",
    "loss", "minibatch", "reward_model", "objective",
)  # fmt: skip
OBJECTIVES = ("sft", "orpo", "cpo", "simpo")
PLAIN = frozenset({"huggingface", "torch"})
"""Providers of a benchmark that are PyTorch's own operators."""


def read(fields: Fields) -> Question:
    """One record as a question."""
    fields.told(*TOLD)
    versions = versions_of(fields)
    _only_compared(fields)
    method, tool = fields.text("method"), fields.text("tool", "")
    settings: dict[str, Any] = {}
    figures: tuple[Figure, ...] = ()
    gpu = config = ""
    if not method.startswith("loss only"):
        fields.told(*TOLD_OF_RUNS)
        _why_not(fields, method, tool)
    else:
        settings = {"loss_benchmark": _point(fields)}
        figures = _figures(fields)
        gpu = fields.read("card", words.card, "", required=not fields.findings.problems)
        point = settings["loss_benchmark"]
        config = f"{point['objective']}, {point['batch']}x{point['seq']}x{point['vocab']}"
        fields.told(*TOLD_OF_RUNS, "liger")
    return Question(
        file="", id="", model=fields.text("model"), method="loss", config=config or method, gpu=gpu,
        settings=settings, figures=figures, versions=versions,
    )  # fmt: skip


def _only_compared(fields: Fields) -> None:
    """Rows that never count: fitted only, unfinished, or below trust A with what decides left open."""
    if fields.text("use", "value") == "fit_only":
        fields.refuse("fit only: the run has no figure of PyTorch's")
    if not (status := fields.text("status", "ok")).startswith("ok"):
        fields.refuse(f"status {status}: nothing was measured")
    if not (trust := fields.text("trust", "A")).upper().startswith("A"):
        named = fields.values.get("unspecified")
        left_open = (
            "; ".join(str(each) for each in named) if isinstance(named, list) and named else "how it was measured"
        )
        fields.refuse(f"trust {trust}, not published: {left_open}")


def _why_not(fields: Fields, method: str, tool: str) -> None:
    if "torchtune" in tool:
        fields.refuse("torchtune builds its models by code of its own, which does not run here")
    if fields.given("liger"):
        fields.refuse(f"Liger ({fields.raw('liger')}): what its kernels take is not simulated")
    if fields.given("seq_len") and not isinstance(fields.values["seq_len"], int):
        fields.refuse("the lengths were not published")
    if "forward" in method:
        fields.refuse("a forward of the log-probabilities alone, whose lengths were not published")
    if not fields.findings.problems:
        from inspector.validation.models import is_here

        here = is_here(fields.text("model"))
        fields.refuse(f"runs of {tool} are not compared" if here else "its config.json is not kept here")
    fields.told("liger")


def _point(fields: Fields) -> dict[str, Any]:
    """What `inspector.simulate.program.loss_benchmark.LossBenchmark` takes."""
    provider = fields.text("provider", "torch").lower()
    if provider != "liger" and provider not in PLAIN:
        fields.refuse(f"provider {provider} is not simulated")
    objective = fields.text("objective", "sft").lower()
    if objective not in OBJECTIVES:
        fields.refuse(f"the loss of {objective} alone is not simulated")
    shape = fields.part("shape", required=True)
    flat = shape.given("tokens")
    batch, seq = (1, shape.whole("tokens")) if flat else (shape.whole("batch"), shape.whole("seq"))
    hidden = shape.whole("hidden", 0, least=0)
    if objective != "sft" and (not hidden or batch % 2):
        fields.refuse("a loss of pairs needs a head, shape.hidden, and an even shape.batch", wrong=True)
    return {
        "objective": objective, "batch": batch, "seq": seq, "vocab": shape.whole("vocab"), "hidden": hidden,
        "dtype": fields.read("dtype", words.dtype, "bfloat16"), "liger": provider == "liger",
    }  # fmt: skip


def _figures(fields: Fields) -> tuple[Figure, ...]:
    """The row's number, where it is the highest of what was allocated."""
    said = fields.text("measured", "")
    if "max_memory_allocated" not in said:
        fields.refuse(f"{said or 'what was measured'} is not compared")
    size = fields.read("unit_is", words.unit, 1, required=True)
    return measured(fields, "value", "loss_peak", size)

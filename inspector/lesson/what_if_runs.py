"""The dry runs of a what-if grid: each kept as it is made, so that who breaks off goes on where it stopped."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from inspector.errors import CannotSimulateError, ContradictionError
from inspector.lesson.what_if import BATCH_SIZE, Bar, Choice, WhatIf, choices, most_first
from inspector.store.answers import answered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.fit.shared_traces import SharedTraces
    from inspector.lora import TargetSet
    from inspector.simulate.finetuning import Question


def targets_of(usual: TargetSet) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The two sets of targets to choose from: the usual one, by its name, and all linear layers."""
    modules = usual.target_modules
    return (
        (usual.name, (modules,) if isinstance(modules, str) else tuple(modules)),
        ("all-linear", ("all-linear",)),
    )


def options_of(choice: Choice, targets: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """A choice in the words of `inspector.simulate.finetune` and of the command line."""
    said: dict[str, Any] = {
        "method": choice.method,
        "gpu": choice.card,
        "batch_size": BATCH_SIZE,
        "seq_len": choice.tokens,
        "loss": choice.loss,
        "gradient_checkpointing": choice.checkpointing,
    }
    if choice.method != "full":
        # Twice the rank, as the course has it; alpha changes no size.
        said |= {"r": choice.r, "alpha": 2 * choice.r, "target_modules": targets[choice.targets]}
    if choice.method == "qlora":
        said |= {"scheme": "nf4", "double_quant": True}
    return said


def make(
    reference: str, model: str, usual: TargetSet, *, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> WhatIf:
    """Dry-run every combination, those that were made before read from the store.

    Args:
        reference: the model, as everywhere.
        model: its id.
        usual: its usual targets, the first set to choose from.
        progress: told how many of how many are done, after each.

    Raises:
        InspectorError: for an unknown model, or when none of the combinations can be simulated.
    """
    from inspector.fit.shared_traces import SharedTraces
    from inspector.simulate.finetuning import question
    from inspector.simulate.reports.libraries import versions

    targets = targets_of(usual)
    named = dict(targets)
    asked = choices([name for name, _ in targets])
    bars: dict[Choice, Bar] = {}
    refused: dict[str, CannotSimulateError | ContradictionError] = {}
    done = 0
    # Cards come last in the order, and share what is traced for one of them.
    for _, group in groupby(asked, key=lambda choice: choice.key.replace(f".{choice.card}.", ".", 1)):
        traces: SharedTraces | None = None
        for choice in group:
            try:
                found = question(reference, **options_of(choice, named))
                traces = traces or SharedTraces(found.config)
                bars[choice] = _kept(found, traces)
            except (CannotSimulateError, ContradictionError) as error:
                refused.setdefault(error.message, error)
            done += 1
            progress(done, len(asked))
    if not bars:
        raise next(iter(refused.values()))
    return WhatIf(model, targets, tuple(versions().items()), bars, tuple(refused))


def _kept(asked: Question, traces: SharedTraces) -> Bar:
    key = ("what-if", asked.config, asked.resolved.setup, asked.allocator, asked.gpu)
    return answered(key, Bar, partial(_bar, asked, traces))


def _bar(asked: Question, traces: SharedTraces) -> Bar:
    """The bar of a run, as `inspector.simulate.finetuning.summarize` has its parts."""
    from inspector.simulate.on_card import peaks_on
    from inspector.simulate.reports import at_peak

    traced, line = traces.of(asked.resolved.setup, asked.gpu)
    peaks = peaks_on(traced.events, asked.gpu, asked.allocator, line)
    top = next(item for item in line.stages if item.peak_allocated == line.peak_allocated)
    return Bar(
        alive=most_first((share.name, share.nbytes) for share in at_peak.by_kind(line.alive(traced.events))),
        unused=peaks.reserved - peaks.allocated,
        context=peaks.context,
        usable=peaks.usable,
        stage=top.stage,
        verdict=peaks.verdict,
    )

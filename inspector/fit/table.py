"""The table of methods by cards: what can be done with a model on which card, every cell simulated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from inspector.errors import CannotSimulateError, ContradictionError, InspectorError
from inspector.fit.shared_traces import SharedTraces
from inspector.fit.simulator import kept_inputs, kept_peaks
from inspector.gpus import catalogue, find_gpu, shared
from inspector.precision.published import published_in
from inspector.reporting import TableReport
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.on_card import Peaks, peaks_on
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.stored import check_known, follow_checkpoint, trains_as_stored
from inspector.simulate.setup.training import BatchSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inspector.gpus import Gpu
    from inspector.simulate.setup.settings import FinetuneSettings
    from inspector.simulate.setup.words import Dtype

USUAL_CARDS = (
    "T4", "RTX 3060", "RTX 4060 Ti 16GB", "RTX 4080", "RTX 3090", "RTX 4090", "RTX 5090", "L4", "A10G", "L40S",
    "RTX A6000", "A100-40GB", "A100-80GB", "H100-SXM", "H200", "B200",
)  # fmt: skip
"""The cards of the table when none is named."""

METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "full, 8-bit AdamW": {"method": "full", "optimizer": "adamw_bnb_8bit"},
    "LoRA": {"method": "lora"},
    # By name, so that a checkpoint that is quantized already refuses it.
    "QLoRA": {"method": "qlora", "scheme": "nf4", "double_quant": True},
}
"""The rows: AdamW and gradient checkpointing throughout, adapters on PEFT's default targets."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One method on one card."""

    method: str
    gpu: Gpu
    dtype: str
    peaks: Peaks


@dataclass(frozen=True)
class FitTable(TableReport):
    """Methods by cards. ``cells`` go method by method, cards in the order asked for.

    ``inputs`` is as in `inspector.simulate.finetuning.StepReport`: what a batch is where it is not tokens alone.
    """

    kind: ClassVar[str] = "fit"

    model: str
    methods: tuple[str, ...]
    gpus: tuple[Gpu, ...]
    batch_size: int
    seq_len: int
    cells: tuple[Cell, ...]
    impossible: tuple[tuple[str, str], ...]
    assumptions: tuple[str, ...]
    inputs: str = ""

    @property
    def fits(self) -> bool:
        """Whether anything fits any of the cards."""
        return any(cell.peaks.fits for cell in self.cells)


def fit_table(
    model: str,
    config: Mapping[str, Any],
    dtype: str,
    *,
    gpus: Sequence[str] = USUAL_CARDS,
    batch_size: int = 1,
    seq_len: int = 1024,
    target_len: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> FitTable:
    """Simulate each method once for all cards that run the same kernels, and replay it on every card.

    Args:
        model: its name, for the report.
        config: content of its ``config.json``.
        dtype: the dtype it is published in; cards without bfloat16 units get float16 in its place.
        gpus: names of cards, or ``all``.
        batch_size: sequences in a step.
        seq_len: tokens of each.
        target_len: as in `inspector.simulate.setup.training.BatchSetup`.
        progress: told which method is being simulated.

    Raises:
        InspectorError: for an unknown card, or when no method can be simulated at all.
    """
    cards = catalogue() if tuple(gpus) == ("all",) else tuple(find_gpu(name) for name in gpus)
    said = _stored(config)
    cells: list[Cell] = []
    impossible: list[tuple[str, str]] = []
    batch = {"batch_size": batch_size, "seq_len": seq_len, "target_len": target_len}
    for method, settings in METHODS.items():
        progress(method)
        chosen = {**settings, **batch}
        try:
            cells.extend(_cells(method, config, chosen, dtype, cards))
        except (CannotSimulateError, ContradictionError) as error:
            # One method that has no run on shapes does not take the others with it.
            impossible.append((method, error.message))
    if not cells:
        raise InspectorError(f"nothing can be simulated for {model}: {impossible[0][1]}")
    return FitTable(
        model=model,
        methods=tuple(dict.fromkeys(cell.method for cell in cells)),
        gpus=cards,
        batch_size=batch_size,
        seq_len=seq_len,
        cells=tuple(cells),
        impossible=tuple(impossible),
        assumptions=(
            *said,
            "AdamW, gradient checkpointing, sdpa attention; adapters of rank 8 on PEFT's default targets",
            "QLoRA is nf4 with double quantization, after prepare_model_for_kbit_training",
            "one process, nothing else on the card",
            "cards without bfloat16 units are given float16",
            "cards share a trace where all that kernels are chosen by is alike",
            *shared(*cards),
        ),
        inputs=kept_inputs(config, BatchSetup(size=batch_size, seq_len=seq_len, target_len=target_len)),
    )


def _stored(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the table is of where the checkpoint is quantized already. Raises InspectorError for what nobody knows."""
    published = published_in(config)
    if published is None:
        return ()
    check_known(published)
    if published.says_dequantize:
        onto = "its config says dequantize, and its weights are plain when loaded"
    elif trains_as_stored(published):
        onto = "LoRA goes onto its layers"
    else:
        onto = "its weights are dequantized on loading"
    return (f"the checkpoint is stored in {published.title}: {onto}",)


def _cells(
    method: str, config: Mapping[str, Any], settings: dict[str, Any], dtype: str, cards: Sequence[Gpu]
) -> tuple[Cell, ...]:
    """One method on every card. Raises CannotSimulateError when it cannot be simulated."""
    traces = SharedTraces(config)
    cells = []
    for card in cards:
        # What a script does there: bfloat16 without units is emulated, slowly.
        used = "float16" if dtype == "bfloat16" and not card.bf16 else dtype
        chosen = follow_checkpoint(resolve_setup(dtype=cast("Dtype", used), **settings), config).settings
        peaks = kept_peaks(config, chosen, card, partial(_peaks, traces, chosen, card))
        cells.append(Cell(method, card, used, peaks))
    return tuple(cells)


def _peaks(traces: SharedTraces, settings: FinetuneSettings, card: Gpu) -> Peaks:
    traced, line = traces.of(settings.setup, card)
    return peaks_on(traced.events, card, AllocatorSettings(), line)

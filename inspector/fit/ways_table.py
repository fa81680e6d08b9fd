"""Ways of sharing a training against cards: how many cards of each kind every way needs, the fewest first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from inspector.errors import CannotSimulateError, ContradictionError, InspectorError, LibraryError
from inspector.gpus import find_gpu
from inspector.reporting import TableReport
from inspector.simulate.finetuning import check_card, question
from inspector.simulate.on_card import Peaks, peaks_on
from inspector.simulate.parallel.nccl import nccl_bytes
from inspector.simulate.setup.parallel import ParallelSetup, changed, read
from inspector.simulate.several_cards import traces_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inspector.gpus import Gpu
    from inspector.simulate.finetuning import Question
    from inspector.simulate.parallel.rank_trace import RankTrace
    from inspector.simulate.setup.options import TrainingOptions
    from inspector.simulate.setup.readers.several import Several

WAYS = ("one card", "ddp", "fsdp1", "fsdp2", "zero2", "zero3", "tp", "device_map")
USUAL = ("RTX 3090", "RTX 4090", "L40S", "A100-80GB", "H100-SXM")
"""Cards that machines with several are made of, where none is named."""


@dataclass(frozen=True, slots=True)
class WayCell:
    """One way on one kind of card: the fewest ``cards`` that hold it, else the most that were tried.

    ``peaks`` are the heaviest rank's there, None where the way is not simulated, for the reason in ``why``.
    """

    way: str
    gpu: Gpu
    cards: int
    peaks: Peaks | None
    why: str = ""


@dataclass(frozen=True)
class WaysTable(TableReport):
    """Ways by cards, at most ``gpus`` of each. ``cells`` go way by way, cards in the order asked for."""

    kind: ClassVar[str] = "fit_ways"

    model: str
    method: str
    gpus: int
    cards: tuple[Gpu, ...]
    batch_size: int
    seq_len: int
    cells: tuple[WayCell, ...]
    impossible: tuple[tuple[str, str], ...]
    assumptions: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether any way fits any kind of card."""
        return any(cell.peaks is not None and cell.peaks.fits for cell in self.cells)

    @property
    def fewest(self) -> tuple[WayCell, ...]:
        """What fits, the fewest cards first, then the most memory left."""
        held = [(cell, cell.peaks) for cell in self.cells if cell.peaks is not None and cell.peaks.fits]
        return tuple(cell for cell, _ in sorted(held, key=lambda pair: (pair[0].cards, -pair[1].margin)))


def ways_table(
    reference: str,
    gpus: int,
    *,
    gpu: Sequence[str] = (),
    said: Several | None = None,
    named: str = "",
    progress: Callable[[str], None] = lambda _: None,
    **options: Unpack[TrainingOptions],
) -> WaysTable:
    """Simulate every way on 2, 4, 8, ... up to ``gpus`` cards, until it fits.

    Args:
        reference: a model as everywhere.
        gpus: the most cards.
        gpu: kinds of cards by name, the usual ones when left out.
        said: what files say: of the training for every way, of a way for that one; the number of cards they name counts
            for nothing here.
        named: the files, for the page.
        progress: told what is being simulated.
        options: settings as `inspector.simulate.finetune` takes them.

    Raises:
        InspectorError: for bad settings, or when nothing can be simulated.
    """
    if not 2 <= gpus <= 1024:
        raise InspectorError(f"--gpus is a number of cards from 2 to 1,024, not {gpus}")
    cards = tuple(find_gpu(name) for name in (gpu or USUAL))
    known = _Known()
    cells: list[WayCell] = []
    asked = question(reference, from_files=said.settings if said else {}, **options)
    for way in WAYS:
        for card in cards:
            progress(f"{way} on {card.name}")
            cells.append(_cell(replace(asked, gpu=card), way, gpus, known, said.parallel if said else None))
    impossible = {cell.way: cell.why for cell in cells if cell.peaks is None}
    possible = tuple(cell for cell in cells if cell.peaks is not None)
    if not possible:
        raise InspectorError(f"nothing can be simulated for {asked.model}: {next(iter(impossible.values()))}")
    setup = asked.resolved.setup
    return WaysTable(
        asked.model, setup.method, gpus, cards, setup.batch.size, setup.batch.seq_len, possible,
        tuple(impossible.items()),
        (
            "the batch is a card's own; one machine, all cards alike, nothing else on them",
            "4-bit weights are packed in the compute dtype, so that FSDP shards them",
            *((f"{said.parallel.words} is as {named} says it", *said.not_understood)
              if said and said.parallel else ()),
        ),
    )  # fmt: skip


def _counts(most: int) -> list[int]:
    """2, 4, 8, ... and the most."""
    found = [2**power for power in range(1, most.bit_length()) if 2**power <= most]
    return found if found[-1] == most else [*found, most]


def _cell(asked: Question, way: str, most: int, known: _Known, said: ParallelSetup | None) -> WayCell:
    # What DDP takes does not depend on how many there are: two tell.
    counts = [1] if way == "one card" else [2] if way == "ddp" else _counts(most)
    cell = WayCell(way, asked.gpu, counts[0], None)
    for count in counts:
        try:
            check_card(asked.resolved.setup, asked.gpu)
            cell = WayCell(way, asked.gpu, count, known.heaviest(asked, _setup(asked, way, count, said)))
        except (CannotSimulateError, ContradictionError, LibraryError) as error:
            return cell if cell.peaks is not None else replace(cell, why=error.message)
        if cell.peaks is not None and cell.peaks.fits:
            return cell
    return cell


def _setup(asked: Question, way: str, count: int, said: ParallelSetup | None) -> ParallelSetup:
    if way == "one card":
        # A map of one card is the card alone.
        return read("device_map", 1)
    made = read(f"tp:{count}" if way == "tp" else way, count)
    if said is not None and said.strategy == made.strategy:
        made = replace(said, world_size=count, nodes=1, tp=made.tp)
    settings = asked.resolved.settings
    if settings.method == "qlora" and way in {"fsdp1", "fsdp2", "zero3"} and made.quant_storage == "auto":
        dtype: Any = settings.compute_dtype if settings.compute_dtype != "auto" else settings.dtype
        return changed(made, quant_storage="bfloat16" if dtype == "auto" else dtype)
    return made


class _Known:
    """Traces by way and count: a card that answers all their questions alike takes them."""

    def __init__(self) -> None:
        self._made: dict[tuple[ParallelSetup, int], list[tuple[RankTrace, ...]]] = {}

    def heaviest(self, asked: Question, setup: ParallelSetup) -> Peaks:
        """The peaks of the fullest card. Raises CannotSimulateError."""
        from inspector.architecture.libraries import need

        need("torch", "transformers", "accelerate")
        from inspector.simulate.device.questions import Chip

        gpu = asked.gpu
        chip = Chip(gpu.capability, gpu.multiprocessors)
        # Of a map the card's memory decides as well.
        made = self._made.setdefault((setup, gpu.available_bytes if setup.strategy == "device_map" else 0), [])
        traces = next((found for found in made if chip.answers_alike(found[0].questions)), None)
        if traces is None:
            traces, _ = traces_of(asked, setup, "all")
            made.append(traces)
        every = [peaks_on(trace.events, gpu, asked.allocator, nccl=nccl_bytes(trace.collectives)) for trace in traces]
        return max(every, key=lambda peaks: peaks.process)

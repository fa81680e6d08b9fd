"""Which cards and engines hold so many users of so long a context, the least memory first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.errors import InspectorError
from inspector.gpus import find_gpu
from inspector.reporting import TableReport
from inspector.serving.llamacpp.engine import llamacpp_report
from inspector.serving.llamacpp.settings import LlamaCppSettings
from inspector.serving.option_words import EVERY
from inspector.serving.sglang.engine import sglang_report
from inspector.serving.sglang.settings import SglangSettings
from inspector.serving.vllm.engine import vllm_report
from inspector.serving.vllm.settings import VllmSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inspector.gpus import Gpu
    from inspector.serving.report import ServingReport
    from inspector.sources.source import Source

USUAL = ("RTX 3060", "L4", "RTX 4090", "RTX 5090", "L40S", "A100-80GB", "H100-SXM", "H200", "B200")
"""Cards that servers are put on, where none is named."""
WIDTHS = (1, 2, 4, 8)
"""Cards of one replica that are tried, as engines' heads are shared out among powers of two."""


@dataclass(frozen=True, slots=True)
class ServingCell:
    """One engine on one kind of card: the fewest ``cards`` that hold all users, 0 where none tried do.

    ``users`` is how many requests of that context the cache holds at the least, of that many cards, or of the most
    tried; ``certain`` says that the least of the range suffices, too.
    """

    engine: str
    gpu: Gpu
    cards: int
    users: int
    certain: bool
    why: str = ""

    @property
    def memory_bytes(self) -> int:
        """Memory of all its cards."""
        return self.cards * self.gpu.usable_bytes


@dataclass(frozen=True)
class ServingTable(TableReport):
    """Engines by cards for ``users`` requests of ``context`` tokens at once; ``cells`` go engine by engine."""

    kind: ClassVar[str] = "fit_serving"

    model: str
    users: int
    context: int
    most_cards: int
    cells: tuple[ServingCell, ...]

    @property
    def holding(self) -> tuple[ServingCell, ...]:
        """Those that hold all users, the least memory first."""
        return tuple(sorted((cell for cell in self.cells if cell.cards), key=lambda cell: cell.memory_bytes))

    @property
    def fits(self) -> bool:
        """Whether any does."""
        return bool(self.holding)


def serving_table(
    reference: str, *, users: int = 1, context: int = 0, gpu: Sequence[str] = (), gpus: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> ServingTable:  # fmt: skip
    """Ask every engine about every card.

    Args:
        reference: a model as everywhere.
        users: requests at once, each as long as the context.
        context: tokens of each; the model's own length when 0.
        gpu: cards by name; `USUAL` when left out.
        gpus: the most cards of one replica; 8 when left out.
        progress: told which card is asked about.

    Raises:
        InspectorError: for an unknown card or model, a context beyond the model's, or fewer than one user.
    """
    from inspector.sources.resolve import locate

    source = locate(reference)
    most = source.skeleton.facts.context_length
    length = context or most
    if users < 1 or length < 1 or (most and length > most):
        raise InspectorError(
            f"{users} users of {length} tokens cannot be asked for", hint=f"1 user or more, of 1 to {most} tokens"
        )
    cards = tuple(find_gpu(name) for name in gpu or USUAL)
    widest = gpus or WIDTHS[-1]
    cells = []
    for engine in ("vllm", "sglang", "llama.cpp"):
        for card in cards:
            progress(f"{engine} on {card.name}")
            cells.append(_cell(source, engine, card, users, length, widest))
    return ServingTable(source.skeleton.model_id, users, length, widest, tuple(cells))


def _cell(source: Source, engine: str, card: Gpu, users: int, length: int, most: int) -> ServingCell:
    held, why = 0, ""
    for width in WIDTHS:
        if width > most or (engine == "llama.cpp" and width > 1):
            break
        try:
            report = _asked(source, engine, card, users, length, width)
        except InspectorError as error:
            why = error.message
            continue
        concurrency = report.max_concurrency
        enough = report.starts != "no" and concurrency.value >= 100 * users
        held = concurrency.low // 100 if report.starts != "no" else 0
        if enough:
            certain = report.starts == "yes" and concurrency.low >= 100 * users
            return ServingCell(engine, card, width, held, certain)
        why = report.refusal or f"holds {held} at the least"
    return ServingCell(engine, card, 0, held, certain=False, why=why)


def _asked(source: Source, engine: str, card: Gpu, users: int, length: int, width: int) -> ServingReport:
    options: dict[str, Any] = {"tensor_parallel_size": width}
    if engine == "vllm":
        return vllm_report(source, VllmSettings(max_model_len=length, **options), card)
    if engine == "sglang":
        return sglang_report(source, SglangSettings(context_length=length, **options), card)
    return llamacpp_report(source, LlamaCppSettings(ctx_size=length * users, parallel=users, n_gpu_layers=EVERY), card)

"""Weight memory at several precisions side by side: what `inspector memory` answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from inspector.gpus import Accelerator, Gpu
from inspector.lenses.weights import Group, Grouping, WeightsReport, grouped, weights
from inspector.precision.as_published import NAME as PUBLISHED
from inspector.precision.as_published import AsPublished
from inspector.reporting import TableReport
from inspector.skeleton import PIPELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.precision import Scheme
    from inspector.skeleton import Skeleton


@dataclass(frozen=True)
class MemoryReport(TableReport):
    """One model under several schemes, the one that was asked for first.

    ``groups`` splits the focus' bytes by ``by`` (module, layer, kind or component). A figure read straight off the
    report (``report.tensor_bytes``) is the focus'. ``card`` is what it is to lie on, where one was named.
    """

    kind: ClassVar[str] = "memory"

    model: str
    parameters: int
    active_parameters: int
    schemes: tuple[WeightsReport, ...]
    focus: WeightsReport
    by: Grouping
    groups: tuple[Group, ...]
    card: Gpu | Accelerator | None = None

    def left_bytes(self, line: WeightsReport) -> int:
        """What the card has left beside the weights, below zero what is missing; 0 without a card."""
        if self.card is None:
            return 0
        # On CUDA in blocks, beside the context; elsewhere by tensors alone, as no allocator is known.
        if isinstance(self.card, Gpu):
            return self.card.available_bytes - line.allocated_bytes
        return self.card.usable_bytes - line.tensor_bytes

    @property
    def naive_bytes(self) -> int:
        """Parameters times bits of the focus."""
        return self.focus.naive_bytes

    @property
    def footprint_bytes(self) -> int:
        """What ``get_memory_footprint()`` prints under the focus."""
        return self.focus.footprint_bytes

    @property
    def tensor_bytes(self) -> int:
        """True bytes under the focus, with the constants."""
        return self.focus.tensor_bytes

    @property
    def allocated_bytes(self) -> int:
        """What the CUDA allocator holds under the focus."""
        return self.focus.allocated_bytes


def usual_grouping(skeleton: Skeleton) -> Grouping:
    """How the bytes are split when nothing was said: by kind of part, a diffusers pipeline by its components."""
    return "component" if skeleton.facts.model_type == PIPELINE else "kind"


def memory(
    skeleton: Skeleton, schemes: Sequence[Scheme], *, by: Grouping = "kind", card: Gpu | Accelerator | None = None
) -> MemoryReport:
    """Weight memory of a model under each scheme.

    The focus, which the waterfall and the groups are of, is the first scheme, or ``nf4-dq`` when it is among several
    numbers of bits: the one people ask about. A checkpoint's own format, which is the first then, goes before it; or
    what it is loaded as, where its config has it dequantized.
    """
    reports = tuple(weights(skeleton, scheme) for scheme in schemes)
    # Within one width the first is what was asked for. By its beginning, as a block size may follow: nf4-dq:128.
    # How the checkpoint itself is stored goes before all: it is put first.
    mixed = len({scheme.bits for scheme in schemes}) > 1 and schemes[0].name != PUBLISHED
    chosen = next((index for index, scheme in enumerate(schemes) if mixed and scheme.name.startswith("nf4-dq")), 0)
    if loaded := next((scheme.loaded_as for scheme in schemes[:1] if isinstance(scheme, AsPublished)), ""):
        chosen = next((index for index, scheme in enumerate(schemes) if scheme.name == loaded), chosen)
    return MemoryReport(
        model=skeleton.model_id,
        parameters=skeleton.num_parameters,
        active_parameters=skeleton.num_active_parameters,
        schemes=reports,
        focus=reports[chosen],
        by=by,
        groups=grouped(skeleton, schemes[chosen], by),
        card=card,
    )

"""The numbers one teaching page shows for one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lab.recorded import recorded_precisions
from inspector.lenses.compare import Comparison, compare, usual_set
from inspector.lenses.layers import LayersReport, layers
from inspector.lenses.memory import MemoryReport, memory
from inspector.lesson import film, what_if
from inspector.lesson.levels import Levels, levels
from inspector.lesson.measured import LedgerLine, Measured, Quality, ledger, measured, quality
from inspector.lesson.printout import Difference, difference
from inspector.lesson.targets import Target, targets
from inspector.lesson.training import Training, load
from inspector.lora import LoraReport, LoraRow, LoraSpec, TargetSet, adapter_tensors, lora
from inspector.precision import schemes_of_bits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.lab.reports import PrecisionLab
    from inspector.lenses.weights import WeightsReport
    from inspector.lesson.as_stored import AsStored
    from inspector.lesson.film import Films
    from inspector.lesson.what_if import WhatIf
    from inspector.skeleton import Skeleton

RANK = 32
"""Rank of the adapters in the four bars: the course's."""
RANKS = (8, 16, RANK, 64, 128)
"""Those to choose from."""


@dataclass(frozen=True, slots=True)
class Size:
    """One bar of "Size of Weights in MB"; ``nbytes`` is what ``get_memory_footprint()`` counts.

    ``key`` is stored, fp32, bf16, int8, nf4 or adapters: what it is called is in the texts.
    """

    key: str
    nbytes: int

    @property
    def is_adapter(self) -> bool:
        """Whether it is what trains and not the model."""
        return self.key == "adapters"


@dataclass(frozen=True)
class Lesson:
    """Everything a deck draws. ``rows_at_rank`` of `lora` and the rest are read by the slides, nothing is computed.

    ``what_if`` and ``films`` are there for the models that they ship for, or where they were made now.
    ``stored`` is there where the checkpoint is quantized already; the other sizes are of the unquantized model then.
    """

    skeleton: Skeleton
    layers: LayersReport
    memory: MemoryReport
    lora: LoraReport
    adapters: LoraRow
    adapted: frozenset[str]
    usual: TargetSet
    targets: tuple[Target, ...]
    difference: Difference | None
    levels: Levels
    comparison: Comparison
    training: Training | None
    measured: tuple[Measured, ...]
    quality: Quality | None
    ledger: tuple[LedgerLine, ...]
    lab: PrecisionLab
    stored: AsStored | None = None
    what_if: WhatIf | None = None
    films: Films | None = None

    @property
    def model(self) -> str:
        """The model's full id."""
        return self.skeleton.model_id

    @property
    def name(self) -> str:
        """The model's name as people say it: ``Llama 3.1 8B``."""
        return spoken(self.model)

    @property
    def explained(self) -> WeightsReport:
        """The weights that the waterfall explains: as they are stored, else 4 bits."""
        stored = self.stored.weights if self.stored else None
        return stored or self.scheme("nf4-dq")

    def scheme(self, name: str) -> WeightsReport:
        """The weights under the scheme of a name."""
        return next(report for report in self.memory.schemes if report.scheme == name)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The course's bars with 16 bits among them; first the checkpoint as stored, where it is quantized already."""
        stored = self.stored.weights if self.stored else None
        first = () if stored is None else (Size("stored", stored.footprint_bytes),)
        # With double quantization: the course's 5,591.5 MB were printed of such a model.
        schemes = (("fp32", "fp32"), ("bf16", "bf16"), ("int8", "int8"), ("nf4", "nf4-dq"))
        bars = tuple(Size(key, self.scheme(name).footprint_bytes) for key, name in schemes)
        return (*first, *bars, Size("adapters", self.adapters.weight_bytes))


def spoken(model: str) -> str:
    """``meta-llama/Llama-3.1-8B`` as ``Llama 3.1 8B``."""
    return model.rpartition("/")[2].replace("-", " ").replace("_", " ")


def lesson(
    skeleton: Skeleton,
    candidates: Sequence[Skeleton] = (),
    training: Training | None = None,
    stored: AsStored | None = None,
    titles: Sequence[str] = (),
) -> Lesson:
    """Gather the numbers.

    Args:
        skeleton: the model the page is about.
        candidates: models to set beside it; itself alone when empty.
        training: dry runs of it; those that ship with the package, if any, by default.
        stored: how its checkpoint is stored, where it is quantized already.
        titles: the format of each candidate's checkpoint, empty for plain weights.

    Raises:
        InspectorError: when the model has no linear layer that LoRA could adapt.
    """
    usual = usual_set(skeleton)
    if usual is None:
        raise InspectorError(f"{skeleton.model_id} has no linear layer to adapt", hint="choose a language model")
    spec = LoraSpec(r=RANK, target_modules=usual.target_modules, target_parameters=usual.target_parameters)
    adapted = frozenset(tensor.module for tensor in adapter_tensors(skeleton, spec))
    report = lora(skeleton, ranks=RANKS)
    # Only of the bundled config: a folder may bear the name of a shipped model and be another.
    shipped = skeleton.source == "bundled" and not skeleton.facts.resized_from
    return Lesson(
        skeleton=skeleton,
        layers=layers(skeleton),
        memory=memory(skeleton, schemes_of_bits(None)),
        lora=report,
        adapters=next(row for row in report.rows if row.target_set == usual.name and row.r == RANK),
        adapted=adapted,
        usual=usual,
        targets=targets(skeleton),
        difference=difference(skeleton, adapted, RANK),
        levels=levels(),
        comparison=compare(candidates or [skeleton], rank=RANK, stored=titles),
        training=training or (load(skeleton.model_id) if shipped else None),
        measured=measured(skeleton),
        quality=quality(skeleton.model_id),
        ledger=ledger(),
        lab=recorded_precisions(),
        stored=stored,
        what_if=what_if.load(skeleton.model_id) if shipped else None,
        films=film.shipped(skeleton.model_id) if shipped else None,
    )

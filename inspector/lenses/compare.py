"""Base models side by side: size, memory at each precision, vocabulary, context, and what adapters take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from inspector.errors import InspectorError
from inspector.lenses.memory import memory
from inspector.lora import LoraRow, lora, target_sets
from inspector.precision import scheme_named, usual_scheme
from inspector.reporting import TableReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.lenses.weights import WeightsReport
    from inspector.lora import TargetSet
    from inspector.skeleton import Skeleton

COURSE_CANDIDATES = (
    "meta-llama/Llama-3.1-8B",
    "Qwen/Qwen2.5-7B",
    "google/gemma-2-9b",
    "microsoft/Phi-3-medium-4k-instruct",
)
"""The base models a course on fine-tuning chooses between."""

# Of each width the one that --bits means first.
SCHEMES = ("fp32", "bf16", "int8", "nf4-dq")
# -pt is Gemma's word for base, -hf marks Llama 2 in transformers' form.
_VARIANT_ENDINGS = ("-hf", "-instruct", "-it", "-chat", "-pt", "-base")


@dataclass(frozen=True)
class CompareRow:
    """One model. ``schemes`` are those of the comparison, in its order; ``adapters`` is None without a linear layer.

    ``stored`` is the format of a checkpoint that is quantized already, whose other sizes are those of its unquantized
    weights; empty for plain ones. ``variants`` are other bundled models of the same name that take exactly the same
    memory: base and instruct.
    """

    model: str
    architecture: str
    parameters: int
    active_parameters: int
    layers: int
    vocab_size: int
    context_length: int
    schemes: tuple[WeightsReport, ...]
    adapters: LoraRow | None
    variants: tuple[str, ...]
    stored: str = ""


@dataclass(frozen=True)
class Comparison(TableReport):
    """Models side by side, in the order asked for. ``same`` lists those among them that take the same memory."""

    kind: ClassVar[str] = "compare"

    rank: int
    schemes: tuple[str, ...]
    rows: tuple[CompareRow, ...]
    same: tuple[tuple[str, ...], ...]
    assumptions: tuple[str, ...]


def compare(
    skeletons: Sequence[Skeleton], *, rank: int = 32, schemes: Sequence[str] = SCHEMES, stored: Sequence[str] = ()
) -> Comparison:
    """Compare base models, adapters of one rank on the attention layers included.

    Args:
        skeletons: the models.
        rank: that of the adapters.
        schemes: precisions, by name.
        stored: the format of each model's checkpoint (`Published.title`), empty for plain weights; all plain when none.

    Raises InspectorError for no model, an unknown scheme or an impossible rank.
    """
    if not skeletons:
        raise InspectorError("nothing to compare", hint="name two models, such as llama-3.1-8b qwen2.5-7b")
    titles = [*stored, *[""] * len(skeletons)]
    rows = tuple(_row(skeleton, rank, schemes, title) for skeleton, title in zip(skeletons, titles, strict=False))
    return Comparison(
        rank=rank,
        schemes=tuple(map(usual_scheme, schemes)),
        rows=rows,
        same=_same(skeletons),
        assumptions=(
            "sizes are what get_memory_footprint() prints, in MB = 10^6 bytes",
            f"adapters: rank {rank} on every attention layer (all-linear where there is none), in float32",
            *_said_of_stored(rows),
        ),
    )


def _said_of_stored(rows: Sequence[CompareRow]) -> tuple[str, ...]:
    """A line for each model whose checkpoint is quantized already."""
    unlike = "its sizes are those of its unquantized weights"
    return tuple(dict.fromkeys(f"{row.model} is stored in {row.stored}: {unlike}" for row in rows if row.stored))


def usual_set(skeleton: Skeleton) -> TargetSet | None:
    """The target set a beginner takes: the attention layers, else all-linear, else none."""
    sets = {found.name: found for found in target_sets(skeleton)}
    return sets.get("attention") or sets.get("all-linear")


def _row(skeleton: Skeleton, rank: int, schemes: Sequence[str], stored: str) -> CompareRow:
    facts, targets = skeleton.facts, usual_set(skeleton)
    return CompareRow(
        model=skeleton.model_id,
        architecture=skeleton.architecture,
        parameters=skeleton.num_parameters,
        active_parameters=skeleton.num_active_parameters,
        layers=facts.num_layers,
        vocab_size=facts.vocab_size,
        context_length=facts.context_length,
        schemes=memory(skeleton, [scheme_named(name) for name in schemes]).schemes,
        adapters=lora(skeleton, [rank], [targets]).rows[0] if targets else None,
        variants=_variants(skeleton),
        stored=stored,
    )


def _same(skeletons: Sequence[Skeleton]) -> tuple[tuple[str, ...], ...]:
    groups: dict[object, list[str]] = {}
    for skeleton in skeletons:
        # Modules too: what a scheme leaves alone is said there (`keep`, `cls`), and not by shapes.
        groups.setdefault((skeleton.tensors, skeleton.modules), []).append(skeleton.model_id)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def _variants(skeleton: Skeleton) -> tuple[str, ...]:
    """Bundled models that share its name but for the variant, and every tensor."""
    from inspector.sources.bundled import load_bundled, model_ids

    stem = _stem(skeleton.model_id)
    # By name first: to load every bundled skeleton for one row would take far longer than the row.
    named = (model for model in model_ids() if model != skeleton.model_id and _stem(model) == stem)
    return tuple(model for model in named if load_bundled(model).tensors == skeleton.tensors)


def _stem(model: str) -> str:
    name = model.lower()
    for ending in _VARIANT_ENDINGS:
        name = name.removesuffix(ending)
    return name

"""What the peak of a step consists of, and so what a change must be about to make it smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from inspector.memory_kinds import MemoryKind
from inspector.units import gibibytes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from inspector.simulate.finetuning import StepReport

Part = Literal[
    "attention", "logits", "activations", "weights", "constants", "adapters", "gradients", "optimizer", "held"
]
"""Parts of a peak. ``attention`` are whole matrices of scores, ``held`` is reserved and in no tensor."""

_PART: Mapping[str, Part] = {
    MemoryKind.BASE_WEIGHTS: "weights",
    MemoryKind.QUANTIZATION_CONSTANTS: "constants",
    MemoryKind.ADAPTERS: "adapters",
    MemoryKind.GRADIENTS: "gradients",
    MemoryKind.OPTIMIZER_STATE: "optimizer",
    MemoryKind.ACTIVATIONS: "activations",
    MemoryKind.RECOMPUTATION: "activations",
    MemoryKind.TEMPORARIES: "activations",
    MemoryKind.INPUTS: "activations",
    MemoryKind.LOGITS_AND_LOSS: "logits",
}
_WORDS: Mapping[Part, str] = {
    "attention": "attention matrices, tokens by tokens",
    "logits": "logits and loss",
    "activations": "activations",
    "weights": "base weights",
    "constants": "quantization constants",
    "adapters": "adapters",
    "gradients": "gradients",
    "optimizer": "optimizer state",
    "held": "memory reserved for no tensor",
}
MATTERS = 50
"""A change matters when it could close a fiftieth of the gap: less is lost in a list of what to do. Ours to choose."""
ALONE = 4
"""By itself a change is listed when it could close a quarter of the gap: less is of use only together. Ours as well."""
LIKELY = 4
"""By itself a change is likely enough where the gap is a quarter of what it is about: it is tried first. Ours, too."""


def parts_at_peak(report: StepReport) -> dict[Part, int]:
    """Bytes of each part of the peak, the largest first."""
    parts: dict[Part, int] = {"held": report.peaks.reserved - report.peaks.allocated}
    for share in report.alive_at_peak:
        if part := _PART.get(share.name):
            parts[part] = parts.get(part, 0) + share.nbytes
    if matrices := _attention_matrices(report):
        parts["attention"] = matrices
        # They were counted there by their kind: no byte is in two parts.
        parts["activations"] = parts.get("activations", 0) - matrices
    return dict(sorted(parts.items(), key=lambda item: -item[1]))


def _attention_matrices(report: StepReport) -> int:
    """Bytes of tensors of attention modules that are at least a byte for every pair of a sequence's tokens."""
    batch = report.setup.batch
    return sum(
        tensor.nbytes
        for tensor in report.largest_at_peak
        if _PART.get(tensor.kind) == "activations"
        # What ``self_attn``, ``attention`` and ``attn`` have in common, the names transformers' models give it.
        and "att" in tensor.module.rpartition(".")[2]
        and tensor.nbytes >= batch.size * batch.seq_len**2
    )


def explained(report: StepReport, parts: Mapping[Part, int]) -> str:
    """The peak's cause in a sentence."""
    # The largest comes first, and is the cause.
    part = next(iter(parts))
    words = _WORDS[part]
    if part == "attention" and report.math_attention:
        words = "attention matrices: no fused kernel of this card takes these calls, so PyTorch writes them out"
    whole = report.peaks.reserved if part == "held" else report.peaks.allocated
    where = f"the {report.peak_stage} of step {report.peak_step + 1}" if report.peak_step >= 0 else "loading"
    return f"The peak is in {where}; {gibibytes(parts[part])} of its {gibibytes(whole)} are {words}."


def about(parts: Mapping[Part, int], of: Collection[Part]) -> int:
    """Bytes of these parts of a peak."""
    return sum(parts.get(part, 0) for part in of)


def could_close(parts: Mapping[Part, int], of: Collection[Part], missing: int, share: int) -> bool:
    """Whether a change of these parts could close one ``share``-th of the gap: it saves no more than they take."""
    return about(parts, of) * share >= missing

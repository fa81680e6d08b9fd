"""Two models side by side: facts, and tensors by name; repeated layers are told once."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.errors import InspectorError
from inspector.reporting import TableReport

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inspector.checkpoint import Checkpoint
    from inspector.skeleton import Skeleton

# Lookarounds, as two numbers in a row (`layers.0.1.`) share the dot between them.
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class Side:
    """What is compared of one model: its name, its facts, and each tensor's shape and dtype by name."""

    name: str
    facts: dict[str, Any]
    tensors: dict[str, tuple[tuple[int, ...], str]]

    @property
    def elements(self) -> int:
        """Elements of all its tensors, tied ones and buffers too."""
        total = 0
        for shape, _ in self.tensors.values():
            count = 1
            for size in shape:
                count *= size
            total += count
        return total


@dataclass(frozen=True, slots=True)
class Change:
    """One kind of difference. ``name`` has ``*`` for numbers of layers; ``count`` tensors are the same."""

    name: str
    before: str
    after: str
    count: int = 1


@dataclass(frozen=True)
class DiffReport(TableReport):
    """What differs between two models; all empty for two of the same shape."""

    kind: ClassVar[str] = "diff"

    before: str
    after: str
    elements_before: int
    elements_after: int
    facts: tuple[Change, ...]
    tensors: tuple[Change, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.facts and not self.tensors


def skeleton_side(skeleton: Skeleton) -> Side:
    """A skeleton as one side: its dtype is that of loading in float32, a tied tensor says so."""
    tensors = {tensor.name: (tensor.shape, "tied" if tensor.tied_to else tensor.dtype) for tensor in skeleton.tensors}
    return Side(skeleton.model_id, {"architecture": skeleton.architecture, **skeleton.facts.to_dict()}, tensors)


def expected_side(skeleton: Skeleton) -> Side:
    """A skeleton as the checkpoint it would save: no tied tensors, no computed buffers, in its published dtype."""
    tensors = {
        tensor.name: (tensor.shape, tensor.loaded_dtype(skeleton.facts.dtype))
        for tensor in skeleton.own_tensors
        if tensor.persistent
    }
    # Files have no facts: beside a skeleton's, every one of them would look changed.
    return Side(skeleton.model_id, {}, tensors)


def checkpoint_side(checkpoint: Checkpoint, skeleton: Skeleton | None = None) -> Side:
    """A checkpoint as one side: what its files store.

    With its skeleton, GGUF's tensors go by the skeleton's names; those that have none there, and the several that are
    one tensor there, keep their own.
    """
    names = _skeleton_names(checkpoint, skeleton) if skeleton and checkpoint.format == "gguf" else {}
    tensors = {names.get(tensor.name, tensor.name): (tensor.shape, tensor.dtype) for tensor in checkpoint.tensors}
    return Side(checkpoint.name, {}, tensors)


def _skeleton_names(checkpoint: Checkpoint, skeleton: Skeleton) -> dict[str, str]:
    """The skeleton's names of GGUF's tensors; empty for an architecture whose names are not known."""
    from inspector.precision.stored import gguf_targets

    try:
        targets = gguf_targets(checkpoint, skeleton)
    except InspectorError:
        # Two GGUF files still have llama.cpp's names in common, and can be compared by those.
        return {}
    return {tensors[0].name: name for name, tensors in targets.items() if len(tensors) == 1}


def diff(before: Side, after: Side) -> DiffReport:
    """What differs from one side to the other."""
    # No set: it keeps the order of the facts, which is that of the listing.
    keys = dict.fromkeys((*before.facts, *after.facts))
    facts = [
        Change(key, str(before.facts.get(key, "")), str(after.facts.get(key, "")))
        for key in keys
        if before.facts.get(key) != after.facts.get(key)
    ]
    return DiffReport(
        before.name, after.name, before.elements, after.elements, tuple(facts), tuple(_tensors(before, after))
    )


def _tensors(before: Side, after: Side) -> Iterable[Change]:
    """Differences of tensors, equal ones of several layers counted together, in the order of the models."""
    found: Counter[tuple[str, str, str]] = Counter()
    for name in dict.fromkeys((*before.tensors, *after.tensors)):
        old, new = before.tensors.get(name), after.tensors.get(name)
        if old != new:
            # With both shapes in the key, so that layers that differ otherwise stay apart.
            found[_NUMBER.sub("*", name), _shown(old), _shown(new)] += 1
    return [Change(*key, count) for key, count in found.items()]


def _shown(tensor: tuple[tuple[int, ...], str] | None) -> str:
    return f"{list(tensor[0])} {tensor[1]}" if tensor else ""

"""Which tied tensors the files of a model hold apart: only where both are stored are values compared at all."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.architecture.ties import TIE_DOUBT, says_own_head, with_stored_values
from inspector.checkpoint.against_skeleton import by_target
from inspector.checkpoint.equal_values import numbered
from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.checkpoint import Checkpoint, FileTensor
    from inspector.checkpoint.equal_values import TensorReader
    from inspector.skeleton import Skeleton


@dataclass(frozen=True)
class AsStored:
    """A config with what the files say of its ties, and what a page says of how that is known.

    ``skeleton`` is that of the config, where it was built to find out.
    """

    config: dict[str, Any]
    notes: tuple[str, ...] = ()
    skeleton: Skeleton | None = None


def as_stored(
    config: dict[str, Any],
    skeleton_of: Callable[[Mapping[str, Any]], Skeleton],
    checkpoint_of: Callable[[], Checkpoint | None],
    reader: TensorReader,
) -> AsStored:
    """The config of a model that ties tensors, as its files have them; the same config where they agree with it.

    Args:
        config: the content of its ``config.json``.
        skeleton_of: the skeleton that a config builds; its errors are raised.
        checkpoint_of: what its files store. Asked only of a model that ties something.
        reader: how tensors are read.
    """
    # Said to be untied, the class is asked for its own ties: the files decide, and nothing is assumed.
    doubted = says_own_head(config)
    skeleton = skeleton_of(with_stored_values(config, {}) if doubted else config)
    groups, built = _groups(skeleton), None if doubted else skeleton
    if not groups:
        # Nothing was doubted in vain: a class that ties nothing builds the same of both.
        return AsStored(config, skeleton=skeleton)
    try:
        checkpoint = checkpoint_of()
        if checkpoint is None or checkpoint.format != "safetensors":
            return AsStored(config, skeleton=built)
        values, compared = _values(checkpoint, skeleton, groups, reader)
    except InspectorError as error:
        return AsStored(config, (f"what its files tie is not known, for they were not read: {error.message}",), built)
    notes: tuple[str, ...] = ()
    if compared and not values and not reader.whole:
        notes = (
            f"{compared} is stored beside what it is tied to: taken as equal, of which both ends and the middle are",
        )
    if not values and not doubted and not any(note.startswith(TIE_DOUBT) for note in skeleton.notes):
        return AsStored(config, notes, skeleton)
    return AsStored(with_stored_values(config, values), notes, skeleton if doubted and not values else None)


def _groups(skeleton: Skeleton) -> dict[str, list[str]]:
    """Names of the tensors of each tie, by the one that owns it."""
    found: dict[str, list[str]] = defaultdict(list)
    for tensor in skeleton.tensors:
        if tensor.tied_to and tensor.is_parameter:
            found[tensor.tied_to].append(tensor.name)
    return found


def _values(
    checkpoint: Checkpoint, skeleton: Skeleton, groups: Mapping[str, list[str]], reader: TensorReader
) -> tuple[dict[str, int], str]:
    """Numbers for the tensors of every tie that the values do not bear out, and the first that was compared."""
    shapes = {tensor.name: tensor.shape for tensor in skeleton.tensors}
    stored = Counter(tensor.shape for tensor in checkpoint.tensors)
    # Before any name is translated, which may need the model: two of one shape must be there.
    if not any(stored[shapes[owner]] > 1 for owner in groups):
        return {}, ""
    targets = by_target(checkpoint, skeleton)
    values: dict[str, int] = {}
    compared = ""
    for owner, names in groups.items():
        there: dict[str, FileTensor] = {}
        for name in (owner, *names):
            tensors = targets.get(name, ())
            # A packed one has another shape, and no rule of transformers' compares it.
            if len(tensors) == 1 and tensors[0].shape == shapes[owner]:
                there[name] = tensors[0]
        if len(there) < 2:
            continue
        numbers = numbered(tuple(there.values()), reader, skeleton.facts.dtype)
        compared = compared or list(there)[1]
        if len(set(numbers)) > 1:
            values |= dict(zip(there, numbers, strict=True))
    return values, compared

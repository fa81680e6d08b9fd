"""A skeleton read off the names and shapes in the files alone, for what no known config describes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inspector.architecture.parts import part_of
from inspector.errors import InspectorError
from inspector.skeleton import DTYPE_BYTES, ConfigFacts, Module, Skeleton, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.checkpoint import Checkpoint, FileTensor

_NUMBERED = re.compile(r"^(.*?\.\d+)(?:\.|$)")
MAX_BARE = 30_000
"""Tensors of a skeleton in which none are known to be alike: a report of so many takes seven seconds."""

READ_OFF = "read off the tensors' names and shapes"

_HEADS = ("lm_head", "output", "embed_out")


def bare_skeleton(checkpoint: Checkpoint, where: str) -> Skeleton:
    """One module for every owner of a tensor; whether a matrix is a linear layer is guessed from its name.

    Raises InspectorError for more tensors, or deeper names, than any known family has.
    """
    parts = sum(tensor.name.count(".") for tensor in checkpoint.tensors)
    if len(checkpoint.tensors) > MAX_BARE or parts > 10 * MAX_BARE:
        raise InspectorError(
            f"{checkpoint.name} has {len(checkpoint.tensors):,} tensors in {parts:,} levels, too many to read by name",
            hint="put the config.json of a known architecture beside them",
        )
    # In the order of the layers' numbers: by name alone, layer 10 comes before layer 2.
    tensors = sorted(checkpoint.tensors, key=lambda tensor: _natural(tensor.name))
    owners = {tensor.name.rpartition(".")[0]: tensor for tensor in tensors}
    dtypes = [dtype for dtype in checkpoint.dtypes if dtype in DTYPE_BYTES]
    return Skeleton(
        model_id=checkpoint.name,
        architecture="unknown",
        facts=ConfigFacts(dtype=dtypes[0] if dtypes else "bfloat16"),
        modules=tuple(_modules(owners)),
        tensors=tuple(Tensor(tensor.name, tensor.shape, "float32") for tensor in tensors),
        source=where,
        notes=(
            f"no config that builds: {READ_OFF}",
            "buffers, tied weights and what is a linear layer are guesses",
        ),
    )


def _modules(owners: dict[str, FileTensor]) -> Iterator[Module]:
    for path, tensor in owners.items():
        match = _NUMBERED.match(path)
        layer = match[1] if match else None
        head = path if path in _HEADS else ""
        base = _base(path, tensor)
        yield Module(path, base or "Module", part_of(path, base, base, layer, head), layer, base, keep=bool(head))


def _base(path: str, tensor: FileTensor) -> str:
    # A linear layer's weight is a matrix; vectors are norms and biases.
    if len(tensor.shape) != 2:
        return ""
    return "Embedding" if re.search(r"embed|embd|wte|wpe", path) else "Linear"


def _natural(name: str) -> list[tuple[int, str]]:
    """Layers in the order of their numbers."""
    return [(int(part), "") if part.isdecimal() and len(part) < 10 else (-1, part) for part in name.split(".")]

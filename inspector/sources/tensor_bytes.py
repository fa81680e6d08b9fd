"""Where the bytes of a stored tensor are, and those of one on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.sources.safetensors import PREFIX, header_length

if TYPE_CHECKING:
    from pathlib import Path

    from inspector.checkpoint import Checkpoint, FileTensor


def offset_in_data(checkpoint: Checkpoint, tensor: FileTensor) -> int:
    """Bytes between the header of a tensor's file and the tensor."""
    before = 0
    for other in checkpoint.tensors:
        # They are listed in the order of their bytes, which have no gaps (`inspector.sources.safetensors`).
        if other is tensor:
            return before
        before += other.nbytes if other.file == tensor.file else 0
    raise ValueError(tensor.name)


def read_on_disk(path: Path, offset: int, start: int, length: int) -> bytes:
    """A tensor's bytes from ``start`` on, by its `offset_in_data`. Raises InspectorError when they cannot be read."""
    try:
        with path.open("rb") as stream:
            header = header_length(stream.read(PREFIX), path.stat().st_size, path.name)
            stream.seek(PREFIX + header + offset + start)
            data = stream.read(length)
    except OSError as error:
        raise InspectorError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) < length:
        raise InspectorError(f"{path.name} ended while it was read", hint="is it still being written?")
    return data

"""The bytes of a stored tensor on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.sources.safetensors import PREFIX, header_length

if TYPE_CHECKING:
    from pathlib import Path

    from inspector.checkpoint import FileTensor


def read_on_disk(folder: Path, tensor: FileTensor, start: int, length: int) -> bytes:
    """A tensor's bytes from ``start`` on, of a file in a folder. Raises InspectorError when they cannot be read."""
    path = folder / tensor.file
    try:
        with path.open("rb") as stream:
            header = header_length(stream.read(PREFIX), path.stat().st_size, path.name)
            stream.seek(PREFIX + header + tensor.start + start)
            data = stream.read(length)
    except OSError as error:
        raise InspectorError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) < length:
        raise InspectorError(f"{path.name} ended while it was read", hint="is it still being written?")
    return data

"""A folder of GGUF files: the one model in it, and what lies beside it for llama.cpp to load with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.checkpoint.gguf_header import holds, kind_of
from inspector.errors import InspectorError
from inspector.sources.gguf import GgufHeader, read_gguf, split_names
from inspector.sources.on_disk import GgufFile
from inspector.units import MB

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MOST = 32
"""Files whose headers are read to find the model among them; a folder of more is one of many quantizations."""

_OPTIONS = {"mmproj": "--mmproj", "adapter": "--lora", "controlvector": "--control-vector"}


def gguf_in_folder(folder: Path, name: str) -> GgufFile | None:
    """The model in a folder's GGUF files, called ``name``; None where it has none.

    A single file is meant whatever it is. Of several the one that is a language model is, where it is one alone.
    Raises InspectorError with a name to choose where there are more, or none.
    """
    firsts = _firsts(folder)
    if len(firsts) < 2:
        return GgufFile(name, str(firsts[0]), firsts[0]) if firsts else None
    headers = {path: header for path in firsts if (header := _header(path))} if len(firsts) <= _MOST else {}
    models = [path for path, header in headers.items() if _kind(path, header) == "model"]
    if len(models) != 1:
        raise InspectorError(
            f"{folder} holds {len(firsts)} GGUF files", hint=f"name one, such as {(models or firsts)[0].name}"
        )
    beside = tuple(_told(folder, path, headers) for path in firsts if path != models[0])
    return GgufFile(name, str(models[0]), models[0], beside=beside)


def _firsts(folder: Path) -> list[Path]:
    """The GGUF files of a folder, the first split for a model of several."""
    files = {file.name: file for file in sorted(folder.glob("[!.]*.gguf"))}
    firsts = dict.fromkeys(split_names(name)[0] for name in files)
    # Where the first split is not there, another stands for it: reading it names the one that is missing.
    return [
        files.get(first) or next(file for file in files.values() if split_names(file.name)[0] == first)
        for first in firsts
    ]


def _header(path: Path) -> GgufHeader | None:
    try:
        return read_gguf(path)
    except InspectorError:
        return None  # another's fault does not hide the model; it is named beside it


def _kind(path: Path, header: GgufHeader) -> str:
    # A draft of a few layers beside its model says nothing else but its name (docs/gguf.md, naming convention).
    return "draft" if path.name.startswith("mtp-") else kind_of(header.metadata, header.tensors)


def _told(folder: Path, path: Path, headers: Mapping[Path, GgufHeader]) -> str:
    """A file beside the model, as what it is."""
    if (header := headers.get(path)) is None:
        return f"beside it {path.name}, which cannot be read"
    size = sum((folder / name).stat().st_size for name in split_names(path.name) if (folder / name).is_file())
    kind = _kind(path, header)
    what = holds(header.metadata, header.tensors) or "layers that draft tokens (multi-token prediction)"
    option = f"loaded with {_OPTIONS[kind]} and " if kind in _OPTIONS else ""
    return f"beside it {path.name}, {size / MB:,.1f} MB, {option}not counted here: {what}"

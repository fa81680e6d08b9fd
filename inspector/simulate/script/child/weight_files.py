"""Safetensors files without their data: written by their headers, read by their headers, as large as they say.

A file that we write has its whole header and then nothing: the file system keeps a hole of the right size, so that
``stat`` says what it would say. Source of the format: safetensors/src/tensor.rs, ``prepare`` and ``serialize_to_file``.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child.errors import emulated
from inspector.simulate.script.child.replaced import replace
from inspector.simulate.script.child.storages import META, MOST_REAL, has_no_data, keep_values

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from inspector.simulate.script.child.world import World

_TORCH = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "U16": torch.uint16, "U32": torch.uint32,
    "U64": torch.uint64, "C64": torch.complex64, "F8_E8M0": torch.float8_e8m0fnu,
}  # fmt: skip
_CODE = {dtype: code for code, dtype in _TORCH.items()}
_RANK = ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64",
         "F64", "I64", "U64")  # fmt: skip
"""Larger types lie first in a file (``Dtype``'s order, from the last)."""

Spec = tuple[str, tuple[int, ...], torch.dtype]
"""Name, shape and dtype of a tensor in a file."""


def write_header(path: Path, tensors: Iterable[Spec], metadata: Mapping[str, str] | None = None) -> int:
    """Write a file of the right size with a header and no data; returns where the data would begin."""
    order = sorted(tensors, key=lambda spec: (-_RANK.index(_CODE[spec[2]]), spec[0]))
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    at = 0
    for name, shape, dtype in order:
        nbytes = dtype.itemsize
        for size in shape:
            nbytes *= size
        header[name] = {"dtype": _CODE[dtype], "shape": list(shape), "data_offsets": [at, at + nbytes]}
        at += nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
    return 8 + len(text)


def read_header(path: Path) -> tuple[dict[str, Any], dict[str, str] | None, int]:
    """The tensors of a file by name, its metadata, and where its data begins."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    metadata = header.pop("__metadata__", None)
    return header, metadata, 8 + length


class WeightFiles:
    """Safetensors as a script uses it."""

    def __init__(self, world: World) -> None:
        self.world = world

    def install(self) -> None:
        """Put our reading and writing in the place of the library's."""
        files = self

        class SafeOpen(_SafeOpen):
            def __init__(
                self,
                filename: str | os.PathLike[str],
                framework: str = "pt",
                device: torch.device | str | int = "cpu",
                **_: object,
            ) -> None:
                super().__init__(files, filename, device)
                del framework

        replace("safetensors.safe_open", SafeOpen)
        import safetensors.torch  # noqa: F401

        replace("safetensors.torch.safe_open", SafeOpen, optional=True)
        replace("safetensors.torch.load_file", self.load_file)
        replace("safetensors.torch.save_file", self.world.stages.holding("save", self.save_file))

    def hollow(self, row: Mapping[str, Any], path: Path, data: int) -> torch.Tensor:
        """A tensor of a file: its shape, and the values of small integers."""
        dtype, shape = _TORCH[row["dtype"]], tuple(row["shape"])
        out = torch.empty(shape, dtype=dtype, device=META)
        found = self.world.tracer.put(out, "host")
        elements = out.numel()
        if not dtype.is_floating_point and 0 < elements <= MOST_REAL:
            begin, end = row["data_offsets"]
            with path.open("rb") as file:
                file.seek(data + begin)
                raw = bytearray(file.read(end - begin))
            keep_values(out, found, torch.frombuffer(raw, dtype=dtype).view(shape))
        return out

    def load_file(
        self, filename: str | os.PathLike[str], device: torch.device | str | int = "cpu", **_: object
    ) -> dict[str, torch.Tensor]:
        """``safetensors.torch.load_file``; how the bytes are read (``backend``) says nothing here."""
        with _SafeOpen(self, filename, device) as opened:
            return opened.get_tensors()

    def save_file(
        self, tensors: Mapping[str, torch.Tensor], filename: str | os.PathLike[str], metadata: Any = None
    ) -> None:
        """``safetensors.torch.save_file``, by the header; real numbers are written where they are real."""
        from safetensors.torch import _find_shared_tensors

        for name, tensor in tensors.items():
            if not tensor.is_contiguous():
                raise emulated(
                    ValueError(
                        f"You are trying to save a non contiguous tensor: `{name}` which is not allowed. It either "
                        "means you are trying to save tensors which are reference of each other in which case it's "
                        "recommended to save only the full tensors, and reslice at load time, or simply call "
                        "`.contiguous()` on your tensor to pack it before saving."
                    )
                )
        failing = [names for names in _find_shared_tensors(dict(tensors)) if len(names) > 1]
        if failing:
            raise emulated(
                RuntimeError(
                    "\n            Some tensors share memory, this will lead to duplicate memory on disk and potential "
                    f"differences when loading them again: {failing}."
                )
            )
        path = Path(filename)
        data = write_header(path, ((name, tuple(t.shape), t.dtype) for name, t in tensors.items()), metadata)
        rows = read_header(path)[0]
        with path.open("r+b") as file:
            for name, tensor in tensors.items():
                known = tensor if not has_no_data(tensor) else self.world.tracer._known(tensor)
                if known is not None and known.numel():
                    file.seek(data + rows[name]["data_offsets"][0])
                    file.write(known.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        self.world.saved(path)


class _Slice:
    """``safe_open(...).get_slice(name)``: indexed, it is a tensor."""

    def __init__(self, opened: _SafeOpen, name: str) -> None:
        self._opened, self._name = opened, name
        self._row = opened.rows[name]

    def get_shape(self) -> list[int]:
        return list(self._row["shape"])

    def get_dtype(self) -> str:
        return str(self._row["dtype"])

    def __getitem__(self, index: Any) -> torch.Tensor:
        whole = self._opened.get_tensor(self._name)
        if index is Ellipsis or index == slice(None):
            return whole
        part = whole[index]
        return part if part.shape == whole.shape else part.clone()


class _SafeOpen:
    """``safetensors.safe_open``."""

    def __init__(self, files: WeightFiles, filename: str | os.PathLike[str], device: torch.device | str | int) -> None:
        self._path = Path(filename)
        if not self._path.exists():
            raise emulated(FileNotFoundError(f"No such file or directory: {filename}"))
        self._files, self._device = files, device
        self.rows, self._metadata, self._data = read_header(self._path)

    def keys(self) -> list[str]:
        return list(self.rows)

    def offset_keys(self) -> list[str]:
        return sorted(self.rows, key=lambda name: self.rows[name]["data_offsets"])

    def metadata(self) -> dict[str, str] | None:
        return self._metadata

    def get_tensor(self, name: str) -> torch.Tensor:
        if name not in self.rows:
            raise emulated(KeyError(name))
        return self._files.hollow(self.rows[name], self._path, self._data).to(self._device)

    def get_tensors(self) -> dict[str, torch.Tensor]:
        return {name: self.get_tensor(name) for name in self.rows}

    def get_slice(self, name: str) -> _Slice:
        return _Slice(self, name)

    def __enter__(self) -> _SafeOpen:
        return self

    def __exit__(self, *_: object) -> None: ...

"""Where weights come from, one tensor at a time: seeded random numbers, or real safetensors. Imports torch."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from inspector.errors import InspectorError, in_one_line
from inspector.files import read_json_object
from inspector.sources.budget import Budget
from inspector.sources.safetensors import MAX_HEADER, read_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import nn

    from inspector.measure.conversion import Sources

POOL = 1 << 24
"""Normal numbers drawn once for random weights on a CPU: 32 MiB in bfloat16."""


class WeightSource(Protocol):
    """Gives one tensor after another, each on the device and owned by the caller alone."""

    def check(self, wanted: Mapping[str, Sequence[int]], model: nn.Module | None = None) -> None:
        """Raise InspectorError unless every tensor wanted of a model is there in its shape. Nothing is read yet."""

    def tensor(self, name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """The tensor of a name."""


class RandomWeights:
    """Normal weights of a model that was never trained: the same numbers for the same seed, name and device type.

    Vectors called ``weight`` (norms) are ones, biases zeros. On a CPU every matrix is a stretch of one pool of normal
    numbers, begun where the tensor's name says: drawing eight billion numbers anew takes a minute, copying seconds.
    """

    # 0.02 is the ``initializer_range`` of most configs.
    def __init__(self, seed: int = 0, std: float = 0.02) -> None:
        self.seed = seed
        self.std = std
        self._pool: torch.Tensor | None = None

    def check(self, wanted: Mapping[str, Sequence[int]], model: nn.Module | None = None) -> None:
        """Random weights exist in every shape."""

    def tensor(self, name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """The random tensor of a name."""
        if len(shape) < 2 and name.endswith("weight"):
            return torch.ones(tuple(shape), dtype=dtype, device=device)
        if len(shape) < 2 and name.endswith("bias"):
            return torch.zeros(tuple(shape), dtype=dtype, device=device)
        out = torch.empty(tuple(shape), dtype=dtype, device=device)
        if device.type != "cpu":
            # No pool on a GPU: it would be 32 MiB of the memory that is measured.
            generator = torch.Generator(device).manual_seed(self._start(name))
            return out.normal_(0.0, self.std, generator=generator)
        self._fill(out.view(-1), self._start(name) % POOL)
        return out

    def _start(self, name: str) -> int:
        # Python's own ``hash`` of a string is another in every process.
        return zlib.crc32(f"{self.seed}:{name}".encode())

    def _fill(self, flat: torch.Tensor, start: int) -> None:
        if self._pool is None or self._pool.dtype != flat.dtype:
            generator = torch.Generator().manual_seed(self.seed)
            self._pool = torch.empty(POOL, dtype=flat.dtype).normal_(0.0, self.std, generator=generator)
        done = 0
        while done < flat.numel():
            piece = self._pool[start : start + flat.numel() - done]
            flat[done : done + piece.numel()].copy_(piece)
            # A tensor larger than what is left of the pool goes on at its beginning.
            done, start = done + piece.numel(), 0


class SafetensorsWeights:
    """The tensors of a folder with ``model.safetensors``, or shards and their index.

    Headers are read at once, data when it is asked for; a file is mapped only while one tensor is copied out of it.

    Raises:
        InspectorError: for a folder without safetensors, an index that names a missing shard, a corrupt or truncated
            file, or (`check`) tensors that are missing or have another shape than the config says.
    """

    def __init__(self, folder: Path, *, prefix: str = "") -> None:
        self.folder = folder
        self.prefix = prefix
        self.files: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.converted: dict[str, Sources] = {}
        self._model: Any = None
        # One for all the files: many headers may not take what one may not.
        budget = Budget("bytes of header", MAX_HEADER)
        for file in _shards(folder):
            _, tensors = read_header(file, budget)
            self.files |= dict.fromkeys((tensor.name for tensor in tensors), file)
            self.shapes |= {tensor.name: tensor.shape for tensor in tensors}

    def check(self, wanted: Mapping[str, Sequence[int]], model: nn.Module | None = None) -> None:
        """Every wanted tensor must be there in its shape, or what transformers makes it of for this model."""
        missing = [name for name in wanted if self._stored(name) is None]
        if missing and model is not None:
            self._convert(missing, model)
            missing = [name for name in missing if name not in self.converted]
        if missing:
            raise InspectorError(
                f"{self.folder} lacks {len(missing)} of {len(wanted)} tensors, such as {missing[0]}",
                hint="these weights belong to another config, or store it in another layout",
            )
        for name, shape in wanted.items():
            if name in self.converted:
                self._check_converted(name, shape)
                continue
            stored = self.shapes[self._stored(name) or name]
            if stored != tuple(shape):
                raise InspectorError(
                    f"{name} is {_sizes(stored)} in {self.folder}, but the config says {_sizes(shape)}",
                    hint="these weights belong to another config",
                )

    def tensor(self, name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """The stored tensor of a name, copied out of its file, or made of those it is stored as."""
        out = torch.empty(tuple(shape), dtype=dtype, device=device)
        if name in self.converted:
            return out.copy_(self.converted[name].made(name, self._model, self._read))
        stored = self._stored(name) or name
        with _opened(self.files[stored]) as file:
            return out.copy_(file.get_tensor(stored))

    def _convert(self, missing: Sequence[str], model: nn.Module) -> None:
        from inspector.measure.conversion import sources_of

        found = sources_of(model, self.files)
        self.converted = {name: found[name] for name in missing if name in found}
        self._model = model

    def _check_converted(self, name: str, shape: Sequence[int]) -> None:
        """As many numbers in the sources as in what is made of them; a converter with several results shares them."""
        sources = self.converted[name]
        stored = sum(math.prod(self.shapes[each]) for _, each in sources.names)
        if len(getattr(sources.converter, "target_patterns", [name])) == 1 and stored != math.prod(shape):
            raise InspectorError(
                f"{name} is made of {stored:,} numbers in {self.folder}, but the config says {_sizes(shape)}",
                hint="these weights belong to another config",
            )

    def _read(self, stored: str) -> torch.Tensor:
        with _opened(self.files[stored]) as file:
            read: torch.Tensor = file.get_tensor(stored)
            return read

    def _stored(self, name: str) -> str | None:
        """The name in the files: the model's, or without or with the base model's prefix, as transformers accepts."""
        short = name.removeprefix(f"{self.prefix}.") if self.prefix else name
        for candidate in (name, short, f"{self.prefix}.{name}"):
            if candidate in self.files:
                return candidate
        return None


class _opened:  # noqa: N801 -- used as a function
    """A safetensors file, its own errors told in one line."""

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            # To the CPU whatever the device: a GPU would need a second block, in the stored dtype, that no script has.
            self._file: Any = safe_open(str(path), framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise InspectorError(
                f"{path} is no whole safetensors file: {in_one_line(error, 160)}",
                hint="it is damaged or not fully downloaded",
            ) from None

    def __enter__(self) -> Any:
        return self._file.__enter__()

    def __exit__(self, *reason: object) -> None:
        self._file.__exit__(*reason)


def _shards(folder: Path) -> Iterable[Path]:
    """The safetensors files of a folder: those its index names, or the one, or the one that was pointed at."""
    if folder.is_file():
        return (folder,)
    if not folder.is_dir():
        raise InspectorError(f"no such folder of weights: {folder}")
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = read_json_object(index).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise InspectorError(f"{index} has no weight_map", hint="it is damaged or not fully downloaded")
        # The last part alone: an index may not point out of its folder.
        files = [folder / Path(name).name for name in dict.fromkeys(names.values())]
        if absent := [file.name for file in files if not file.exists()]:
            raise InspectorError(
                f"{folder} lacks {len(absent)} of {len(files)} shards, such as {absent[0]}",
                hint="it is not fully downloaded",
            )
        return files
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InspectorError(f"{folder} has no safetensors", hint="pickled checkpoints are not loaded")
    return files


def _sizes(shape: Sequence[int]) -> str:
    return json.dumps(list(shape))


class Shapes:
    """A weight source of tensors without data: random ones and real ones alike are one tensor on the device."""

    def check(self, wanted: Mapping[str, Sequence[int]], model: nn.Module | None = None) -> None:
        """Every shape is there."""

    def tensor(self, name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """A tensor of that shape."""
        return torch.empty(tuple(shape), dtype=dtype, device=device)

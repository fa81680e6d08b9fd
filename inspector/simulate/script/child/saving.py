"""``torch.save``, ``torch.load``, pickling and copying of tensors without data: by their sizes, and loaded as such.

A file of ours begins with a mark, has the pickled objects and then a hole up to the size that PyTorch's own file would
have. What has real numbers only is saved and loaded by PyTorch.
"""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child.errors import emulated, handed_on
from inspector.simulate.script.child.places import card, whole
from inspector.simulate.script.child.replaced import replace
from inspector.simulate.script.child.storages import HOST, META, has_no_data

if TYPE_CHECKING:
    from inspector.simulate.script.child.world import World

MARK = b"INSPECTOR-SIZES\n"
RECORD_BYTES = 192
"""About what a record of PyTorch's file takes beside its data: two headers of the zip format and the alignment to 64
bytes (caffe2/serialize/inline_container.cc, ``kFieldAlignment``)."""

_world: World


File = str | os.PathLike[str] | IO[bytes]


class Token:
    """Stands for a storage while it is pickled: one for each storage, so that what is shared stays shared."""

    def __init__(self, nbytes: int, place: str, values: bytes | None) -> None:
        self.nbytes, self.place, self.values = nbytes, place, values

    def __reduce__(self) -> Any:
        return _storage_again, (self.nbytes, self.place, self.values)


class _Saved:
    """A storage that was pickled, when it comes back."""

    def __init__(self, tensor: torch.Tensor | None) -> None:
        self.tensor = tensor


_moving: list[Any] = []
"""The ``map_location`` of the load that runs."""


def _storage_again(nbytes: int, place: str, values: bytes | None) -> _Saved:
    where = _moving[-1] if _moving else None
    if where is not None:
        place = "card" if torch.device(where).type == "cuda" else "host"
    if not nbytes:
        return _Saved(None)
    device = (card() if where is None else whole(where)) if place == "card" else META
    tensor = torch.empty(nbytes, dtype=torch.uint8, device=device)
    found = _world.tracer.put(tensor, "card" if place == "card" else "host", "torch.load")
    found.values = None
    if values is not None:
        found.values = torch.UntypedStorage(nbytes)
        torch.empty(0, dtype=torch.uint8, device=HOST).set_(found.values).copy_(
            torch.frombuffer(bytearray(values), dtype=torch.uint8)
        )
    return _Saved(tensor)


def _tensor_again(
    saved: _Saved, offset: int, size: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype, requires_grad: bool
) -> torch.Tensor:
    if saved.tensor is None:
        return torch.empty(size, dtype=dtype, device=card() if _on_card() else HOST)
    with torch.utils._python_dispatch._disable_current_modes():
        out = torch.empty(0, dtype=dtype, device=META)
        out.set_(saved.tensor.untyped_storage(), offset, size, stride)
    return out.requires_grad_(requires_grad)


def _on_card() -> bool:
    return not _moving or _moving[-1] is None or torch.device(_moving[-1]).type == "cuda"


def install(world: World) -> None:
    """Put all of it in its place."""
    global _world  # noqa: PLW0603 -- what is pickled names functions of this module, which have no other way to it
    _world = world
    tracer = world.tracer
    seen: list[bool] = []
    sizes: list[int] = []
    tokens: dict[int, Token] = {}
    reduce, deepcopy = torch.Tensor._reduce_ex_internal, torch.Tensor.__deepcopy__

    def reduced(self: torch.Tensor, proto: int) -> Any:
        if not has_no_data(self) or tracer.place(self) is None:
            return handed_on(reduce, self, proto)
        seen.append(True)
        storage = self.untyped_storage()
        found = tracer._live[storage._cdata]
        token = tokens.get(storage._cdata)
        if token is None or not sizes:
            values = None if found.values is None else bytes(found.values.tolist())
            token = Token(storage.nbytes(), found.place, values)
            if sizes:
                tokens[storage._cdata] = token
                sizes.append(storage.nbytes())
        return _tensor_again, (
            token, self.storage_offset(), tuple(self.size()), self.stride(), self.dtype, self.requires_grad,
        )  # fmt: skip

    def copied(self: torch.Tensor, memo: dict[int, Any]) -> Any:
        if not has_no_data(self) or tracer.place(self) is None or type(self) is not torch.Tensor:
            return handed_on(deepcopy, self, memo)
        if not self.is_leaf:
            raise emulated(
                RuntimeError(
                    "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
                    "moment.  If you were attempting to deepcopy a module, this may be because of a torch.nn.utils."
                    "weight_norm usage, see https://github.com/pytorch/pytorch/pull/103001"
                )
            )
        if id(self) in memo:
            return memo[id(self)]
        out = self.detach().clone(memory_format=torch.preserve_format).requires_grad_(self.requires_grad)
        memo[id(self)] = out
        return out

    replace("torch.Tensor._reduce_ex_internal", reduced)
    replace("torch.Tensor.__deepcopy__", copied)

    save: Any = torch.save
    load: Any = torch.load

    def saved(obj: object, f: File, *args: object, **kwargs: object) -> None:
        if isinstance(obj, (torch.TypedStorage, torch.UntypedStorage)):
            handed_on(save, obj, f, *args, **kwargs)
            return
        seen.clear()
        tokens.clear()
        sizes[:] = [0]
        try:
            body = pickle.dumps(obj, protocol=4)
        except Exception:  # noqa: BLE001 -- PyTorch says in its own words what cannot be saved
            body = b""
        finally:
            total, records = sum(sizes), len(sizes)
            sizes.clear()
            tokens.clear()
        if not seen or not body:
            if isinstance(f, (str, os.PathLike)):
                # PyTorch's own writer opens a name by itself, which would be outside the scratch folder.
                with Path(f).open("wb") as file:
                    handed_on(save, obj, file, *args, **kwargs)
                world.saved(Path(f))
            else:
                handed_on(save, obj, f, *args, **kwargs)
            return
        whole = MARK + len(body).to_bytes(8, "little") + body
        size = len(body) + total + records * RECORD_BYTES + 1024
        if not isinstance(f, (str, os.PathLike)):
            f.write(whole)
            if isinstance(f, io.BytesIO) or not hasattr(f, "truncate") or not getattr(f, "name", None):
                return
            f.truncate(max(size, f.tell()))
            f.seek(0, 2)
            return
        with Path(f).open("wb") as file:
            file.write(whole)
            file.truncate(max(size, len(whole)))
        world.saved(Path(f))

    def loaded(f: File, map_location: Any = None, *args: object, **kwargs: object) -> Any:
        body = _body(f)
        if body is not None:
            _moving.append(map_location if isinstance(map_location, (str, torch.device)) else None)
            try:
                return handed_on(pickle.loads, body)
            finally:
                _moving.pop()
        to_card = isinstance(map_location, (str, torch.device)) and torch.device(map_location).type == "cuda"
        if isinstance(f, (str, os.PathLike)):
            f, kwargs = world.scratch.to_read(f), {**kwargs, "mmap": None} if kwargs.get("mmap") else kwargs
        out = handed_on(load, f, HOST if to_card else map_location, *args, **kwargs)
        return _moved(out) if to_card else out

    saving = world.stages.holding("save", saved)
    for place in ("torch", "torch.serialization"):
        replace(f"{place}.save", saving)
        replace(f"{place}.load", loaded)


def _body(f: File) -> bytes | None:
    """The pickled objects of a file of ours; None for any other."""
    if not isinstance(f, (str, os.PathLike)):
        if not (hasattr(f, "read") and hasattr(f, "seek")):
            return None
        at = f.tell()
        if f.read(len(MARK)) == MARK:
            return bytes(f.read(int.from_bytes(f.read(8), "little")))
        f.seek(at)
        return None
    try:
        with Path(f).open("rb") as file:
            if file.read(len(MARK)) != MARK:
                return None
            return file.read(int.from_bytes(file.read(8), "little"))
    except (OSError, TypeError):
        return None


def _moved(value: object) -> Any:
    """What was loaded on the host, on the card."""
    if isinstance(value, torch.nn.Module):
        return value.to(card())
    if isinstance(value, torch.Tensor):
        return value.to(card())
    if isinstance(value, dict):
        for key in list(value):
            value[key] = _moved(value[key])
        return value
    if isinstance(value, list):
        return [_moved(item) for item in value]
    if type(value) is tuple:
        return tuple(_moved(item) for item in value)
    return value

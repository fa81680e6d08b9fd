"""How a tensor without data tells its values, its address and its type to Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child.errors import emulated, handed_on
from inspector.simulate.script.child.places import card
from inspector.simulate.script.child.replaced import replace
from inspector.simulate.script.child.storages import HOST, has_no_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.script.child.card_tracer import CardTracer
    from inspector.simulate.script.child.memory import Memory

_watched = torch._C._len_torch_dispatch_stack


def install(tracer: CardTracer, memories: Sequence[Memory]) -> None:
    """Put all of it in its place."""
    base: Any = torch._C.TensorBase
    numpy, tolist, array = base.numpy, base.tolist, torch.Tensor.__array__
    data_ptr = base.data_ptr

    def to_numpy(self: torch.Tensor, *args: object, **kwargs: object) -> Any:
        if not has_no_data(self):
            return handed_on(numpy, self, *args, **kwargs)
        if tracer.place(self) == "card" and not kwargs.get("force"):
            raise emulated(
                TypeError(
                    f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
                    "host memory first."
                )
            )
        return numpy(tracer.real(self.detach()))

    def to_array(self: torch.Tensor, *args: object, **kwargs: object) -> Any:
        return array(tracer.real(self.detach()) if has_no_data(self) and tracer.place(self) == "host" else self, *args,
                     **kwargs)  # fmt: skip

    def to_list(self: torch.Tensor) -> Any:
        return tolist(tracer.real(self.detach()) if has_no_data(self) and tracer.place(self) else self)

    def address(self: torch.Tensor) -> int:
        if not has_no_data(self) or not _watched():
            return int(data_ptr(self))
        return _address(tracer, memories, self.untyped_storage()) + int(self.storage_offset()) * self.element_size()

    def kind(self: torch.Tensor, dtype: Any = None, non_blocking: bool = False, **kwargs: object) -> Any:
        if dtype is None:
            said = base.type(self)
            where = self.device.type
            return (
                said.replace("torch.meta.", "torch.cuda." if where == "cuda" else "torch.")
                if has_no_data(self)
                else said
            )
        if isinstance(dtype, str):
            name = dtype.rpartition(".")[2].removesuffix("Tensor").lower()
            names = {"": "float32", "float": "float32", "long": "int64", "int": "int32", "byte": "uint8",
                     "double": "float64", "half": "float16", "bfloat16": "bfloat16", "bool": "bool", "short": "int16",
                     "char": "int8"}  # fmt: skip
            if name not in names:
                raise emulated(ValueError(f"invalid type: '{dtype}'"))
            target = card() if ".cuda." in dtype else HOST
            return self.to(target, getattr(torch, names[name]), non_blocking=non_blocking)
        return handed_on(base.type, self, dtype, non_blocking, **kwargs)

    said: Any = torch.Tensor.__repr__

    def shown(self: torch.Tensor, *, tensor_contents: str | None = None) -> str:
        if not has_no_data(self) or not _watched() or tracer.place(self) is None:
            return str(said(self, tensor_contents=tensor_contents))
        known = tracer._known(self.detach())
        where = "" if self.device.type == "cpu" else f", device='{self.device}'"
        grad = ", requires_grad=True" if self.requires_grad and self.is_leaf else ""
        name = "Parameter containing:\n" if isinstance(self, torch.nn.Parameter) else ""
        if known is not None:
            return f"{name}{str(said(known))[:-1]}{where}{grad})"
        dtype = "" if self.dtype == torch.get_default_dtype() else f", dtype={self.dtype}"
        return f"{name}tensor(...{where}, size={tuple(self.shape)}{dtype}{grad})"

    replace("torch.Tensor.__repr__", shown)
    replace("torch.Tensor.numpy", to_numpy)
    replace("torch.Tensor.__array__", to_array)
    replace("torch.Tensor.tolist", to_list)
    replace("torch.Tensor.data_ptr", address)
    replace("torch.Tensor.type", kind)

    storage_ptr = torch.UntypedStorage.data_ptr
    storage_device = torch._C.StorageBase.device.__get__  # type: ignore[attr-defined]

    def of_storage(self: torch.UntypedStorage) -> int:
        return _address(tracer, memories, self) or int(storage_ptr(self))

    def where(self: torch.UntypedStorage) -> torch.device:
        found = tracer._live.get(self._cdata) if _watched() else None
        if found is None:
            device: torch.device = storage_device(self)
            return device
        return card(found.card) if found.place == "card" else HOST

    replace("torch.UntypedStorage.data_ptr", of_storage)
    replace("torch.UntypedStorage.device", property(where))
    replace("torch.UntypedStorage.is_cuda", property(lambda self: where(self).type == "cuda"))


def _address(tracer: CardTracer, memories: Sequence[Memory], storage: torch.UntypedStorage) -> int:
    """Where a storage without data lies: on the card where the allocator put it, on the host at a place of its own."""
    found = tracer._live.get(storage._cdata)
    if found is None:
        return 0
    if found.place == "card" and found.block >= 0:
        return memories[found.card].address(found.block)
    return int(storage._cdata)

"""Two devices out of one: tensors without data that lie on the host pass for the CPU's, and are copied to the card.

On ``meta`` nothing tells a card's tensor from one that was offloaded, and ``tensor.to(device)`` would be no copy at
all. With these in the place of PyTorch's own, Python code that asks a tensor for its device, or for a copy on another,
is answered by where it lies; what operators make of tensors on the host lies there, too (`RankTracer.placed`). A
``TorchFunctionMode`` would be off in the hooks that autograd calls, where sharded weights come and go.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch

from inspector.simulate.parallel.cut import local

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.parallel.rank_tracer import RankTracer

Place = Literal["host", "card", "pinned", "nowhere"]
CPU = torch.device("cpu")
SMALL = 4096
"""Elements up to which integers of the CPU's have their values: seeds, meshes of ranks; of others one alone has."""
MAKERS = ("empty", "zeros", "ones", "full", "rand", "randn", "empty_like", "zeros_like", "ones_like", "full_like")
METHODS = ("new_empty", "new_zeros", "new_ones", "new_full")
_device: Callable[[torch.Tensor], torch.device] = torch._C.TensorBase.device.__get__


class CardName(str):
    """The card's name as DeepSpeed asks for it, to be told from ``meta``, which is nowhere."""

    __slots__ = ()


class TwoDevices:
    """The tracer's host as a device of its own. ``replaced`` goes to `inspector.patched.patched`."""

    def __init__(self, tracer: RankTracer) -> None:
        self._tracer, self._host = tracer, tracer.host
        self._to, self._pin = torch.Tensor.to, torch.Tensor.pin_memory

    def replaced(self) -> dict[str, Any]:
        """By the names of the inventory."""
        methods = {
            "device": self.device,
            "is_cpu": lambda tensor: self.device(tensor).type == "cpu",
            "is_meta": lambda tensor: _device(tensor).type == "meta" and self._tracer.inside,
            # Values are printed by what a device can do.
            "__repr__": lambda tensor, **_kwargs: f"tensor(..., size={tuple(tensor.shape)})",
            "to": self.to,
            "cpu": lambda tensor, *_args, **_kwargs: self.to(tensor, CPU),
            "pin_memory": self.pin,
            "is_pinned": lambda tensor, *_args: self._host.is_pinned(tensor),
            **{name: self._making(getattr(torch.Tensor, name)) for name in METHODS},
        }
        made = {f"torch.{name}": self._making(getattr(torch, name)) for name in MAKERS}
        return made | {f"torch.Tensor.{name}": answer for name, answer in methods.items()}

    def _is_data(self, tensor: torch.Tensor) -> bool:
        """Whether it is a small one of the CPU's own, with values."""
        return _device(tensor).type not in self._tracer.devices

    def device(self, tensor: torch.Tensor) -> torch.device:
        """Where a tensor lies, as its program sees it."""
        return CPU if not self._tracer.inside and self._host.holds(tensor) else _device(tensor)

    def _place(self, device: Any) -> Place | None:
        """Where a device is that was named; None where none was."""
        if isinstance(device, torch.Tensor):
            return "host" if self.device(device).type == "cpu" else "card"
        if isinstance(device, torch.device):
            return "host" if device.type == "cpu" else "card"
        if isinstance(device, str):
            name = str(getattr(device, "value", device))  # of an enumeration of DeepSpeed's
            return "host" if name.startswith("cpu") else "card" if isinstance(device, CardName) else "nowhere"
        return "card" if type(device) is int else None

    def to(self, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """``tensor.to(...)``: itself where it lies there already, in its dtype."""
        named = kwargs.get("device", args[0] if args and not isinstance(args[0], (torch.dtype, bool)) else None)
        place = None if self._tracer.inside else self._place(named)
        if place is None or (self._is_data(tensor) and place == "host"):
            return self._to(tensor, *args, **kwargs)
        dtype = next((arg for arg in (*args, *kwargs.values()) if isinstance(arg, torch.dtype)), tensor.dtype)
        if isinstance(named, torch.Tensor):
            dtype = named.dtype
        if place == self._place(tensor) and not kwargs.get("copy"):
            return self._to(tensor, dtype)
        with self._tracer.placed(place):
            if self._is_data(tensor):
                return self._to(tensor, self._tracer.device, dtype)
            return tensor.clone() if dtype == tensor.dtype else self._to(tensor, dtype)

    def pin(self, tensor: torch.Tensor, *_args: Any) -> Any:
        """A copy in pinned memory; a few numbers of the CPU's stay where they are."""
        if self._is_data(tensor) or self._host.is_pinned(tensor):
            return tensor
        with self._tracer.placed("pinned"):
            return tensor.detach().clone()

    def _making(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A factory of tensors that makes those on the CPU, but for a few numbers, without data."""

        def made(*args: Any, **kwargs: Any) -> Any:
            place = None if self._tracer.inside else self._place(kwargs.get("device"))
            if kwargs.get("device") is None and not self._tracer.inside and _on_the_cpu(function, args):
                place = "host"
            pinned = bool(kwargs.get("pin_memory"))
            if place in {None, "nowhere"} or (place == "host" and not _without_data(args, kwargs)):
                return function(*args, **({**kwargs, "pin_memory": False} if pinned else kwargs))
            more = {name: value for name, value in kwargs.items() if name != "pin_memory"}
            with self._tracer.placed("pinned" if pinned else place or "card"):
                return function(*args, **{**more, "device": self._tracer.device})

        return made


def _on_the_cpu(function: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Whether a large tensor is asked for on no device, which is the CPU."""
    sized = getattr(function, "__name__", "") in {"empty", "zeros", "ones", "full"}
    return sized and _elements(args, {}) > SMALL and torch.get_default_device().type == "cpu"


def _without_data(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a tensor that is asked for is more than a few numbers, or is as one without data."""
    size = kwargs.get("size", args[0] if args else ())
    if isinstance(size, torch.Tensor):
        return _device(local(size)).type == "meta" or size.numel() > 1
    return _elements(args, kwargs) > (1 if (kwargs.get("dtype") or torch.float32).is_floating_point else SMALL)


def _elements(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    size = kwargs.get("size", args[0] if args else ())
    sizes = size if isinstance(size, (tuple, list, torch.Size)) else [arg for arg in args if isinstance(arg, int)]
    return math.prod(int(each) for each in sizes)

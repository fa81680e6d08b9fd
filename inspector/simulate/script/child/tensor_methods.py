"""What a tensor without data says of itself to the script, and how it is moved: the names of ``torch.Tensor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child import making, telling
from inspector.simulate.script.child.errors import emulated, handed_on
from inspector.simulate.script.child.places import card, whole
from inspector.simulate.script.child.replaced import replace
from inspector.simulate.script.child.storages import (
    HOST,
    META,
    has_no_data,
    worth_knowing,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.script.child.card_tracer import CardTracer
    from inspector.simulate.script.child.memory import Memory

_raw_device = torch._C.TensorBase.device.__get__
_modes = torch._C._len_torch_function_stack
_watched = torch._C._len_torch_dispatch_stack


def install(tracer: CardTracer, memories: Sequence[Memory]) -> None:
    """Put all of it in its place."""
    _say_where(tracer)
    _devices()
    _move(tracer)
    _gradients(tracer)
    making.install(tracer.real)
    telling.install(tracer, memories)
    _parameters(tracer)


def _say_where(tracer: CardTracer) -> None:
    def device(self: torch.Tensor) -> torch.device:
        # Within an operator no mode is on: shape functions are to find the device that PyTorch has it on.
        if not has_no_data(self) or not _watched():
            if not _modes():
                plain: torch.device = _raw_device(self)
                return plain
            with torch._C.DisableTorchFunction():
                found: torch.device = _raw_device(self)
            return found
        known = tracer.found(self)
        return META if known is None else card(known.card) if known.place == "card" else HOST

    def of_type(kind: str) -> Any:
        return property(lambda self: device(self).type == kind)

    base: Any = torch._C.TensorBase
    replace("torch.Tensor.device", property(device))
    replace("torch.Tensor.is_cuda", of_type("cuda"))
    replace("torch.Tensor.is_cpu", of_type("cpu"))
    replace("torch.Tensor.is_meta", of_type("meta"))

    def number(self: torch.Tensor) -> int:
        found = device(self)
        return found.index if found.type == "cuda" else int(base.get_device(self))

    replace("torch.Tensor.get_device", number)


def _devices() -> None:
    """``torch.device(0)`` is the first card; PyTorch would ask a driver which kind of card there is."""
    real: Any = torch.device

    class Devices(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, real)

        def __call__(cls, *args: object, **kwargs: object) -> Any:
            if args and type(args[0]) is int:
                return real("cuda", args[0])
            return handed_on(real, *args, **kwargs)

    class device(metaclass=Devices):  # noqa: N801 -- torch's own name
        """``torch.device``."""

    device.__module__, device.__qualname__ = "torch", "device"
    replace("torch.device", device)


def _move(tracer: CardTracer) -> None:
    base: Any = torch._C.TensorBase
    to, cuda, cpu = base.to, base.cuda, base.cpu

    def moved(self: torch.Tensor, *args: object, **kwargs: object) -> Any:
        args, kwargs, kind = _aimed(args, kwargs)
        if kind is None:
            return handed_on(to, self, *args, **kwargs)
        if not has_no_data(self):
            if kind == "meta":
                with torch.utils._python_dispatch._disable_current_modes():
                    return handed_on(to, self, *args, **kwargs)
            return handed_on(to, self, *args, **kwargs)
        here = tracer.place(self)
        if kind == "meta" and here is not None:
            dtype = next((item for item in (*args, *kwargs.values()) if isinstance(item, torch.dtype)), self.dtype)
            return torch.empty_strided(self.shape, self.stride(), dtype=dtype, device=META)
        if kind == "cuda" and here == "card" and (aim := _aim(args, kwargs)) is not None and aim != self.device:
            if self.requires_grad and torch.is_grad_enabled():
                return _Across.apply(self, aim, args, kwargs)
            return handed_on(to, self, *args, **kwargs)
        if (kind == "cuda" and here == "card") or (kind == "cpu" and here == "host"):
            # To PyTorch both are the same device, and so nothing is copied that is there already.
            args = tuple(META if isinstance(item, torch.device) else item for item in args)
            kwargs = {**kwargs, "device": META} if "device" in kwargs else kwargs
            # A subclass would be asked, and would come here again with ``meta``, which means something else here.
            with torch._C.DisableTorchFunction():
                return handed_on(to, self, *args, **kwargs)
        elif here is None and kind in {"cuda", "cpu"}:
            raise emulated(
                NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
                    "torch.nn.Module.to() when moving module from meta to a different device."
                )
            )
        return handed_on(to, self, *args, **kwargs)

    def to_card(self: torch.Tensor, device: object = None, non_blocking: bool = False, **kwargs: object) -> Any:
        where = card() if device is None else whole(device)  # type: ignore[arg-type]
        return moved(self, where, non_blocking=non_blocking, **kwargs)

    data: Any = base.data

    def filled(self: torch.Tensor, other: torch.Tensor) -> None:
        # Weights that come to the host, as `_parameters` has them; a swap would take their gradients away.
        weights = isinstance(self, torch.nn.Parameter) or self.numel() > FEW
        if weights and has_no_data(self) and not has_no_data(other) and other.is_floating_point():
            other = without_data(tracer, other)
        # From the host to the card and back, to PyTorch from a real tensor to one on ``meta``, which it refuses.
        if has_no_data(self) == has_no_data(other):
            data.__set__(self, other)
            return
        torch._C._swap_tensor_impl(self, other.detach().requires_grad_(self.requires_grad))

    alike = torch._has_compatible_shallow_copy_type

    def movable(self: torch.Tensor, other: torch.Tensor) -> bool:
        # ``module.cpu()`` fills its parameters, which optimizers hold as well, and makes no new ones.
        plain = self.layout is torch.strided and other.layout is torch.strided
        return (plain and has_no_data(self) != has_no_data(other)) or bool(handed_on(alike, self, other))

    del cuda, cpu
    replace("torch._has_compatible_shallow_copy_type", movable)
    replace("torch.Tensor.data", property(data.__get__, filled))
    replace("torch.Tensor.to", moved)
    replace("torch.Tensor.cuda", to_card)
    replace("torch.Tensor.cpu", lambda self, **kwargs: moved(self, HOST, **kwargs))
    replace("torch.Tensor.pin_memory", lambda self, *_, **__: self)
    replace("torch.Tensor.is_pinned", lambda _self, *_, **__: False)
    replace("torch.Tensor.record_stream", lambda _self, *_: None)
    replace("torch.Tensor.is_shared", lambda self: not has_no_data(self) and base.is_shared(self), optional=True)


def _gradients(tracer: CardTracer) -> None:
    """``.grad = ...``: a parameter of the host may be without data and what ``.cpu()`` gave be real, or the other way.

    Source of the refusal: torch/csrc/autograd/python_variable.cpp, ``THPVariable_set_grad``.
    """
    grad: Any = torch._C.TensorBase.grad

    def given(self: torch.Tensor, other: Any) -> None:
        if isinstance(other, torch.Tensor) and other.layout is torch.strided:
            mine, its = self.device.type, other.device.type
            if mine != its:
                said = f"attempting to assign a gradient with device type '{its}' to a tensor with device type '{mine}'"
                raise emulated(
                    RuntimeError(f"{said}. Please ensure that the gradient and the tensor are on the same device")
                )
            if has_no_data(self) != has_no_data(other):
                other = without_data(tracer, other) if has_no_data(self) else tracer.real(other)
        handed_on(grad.__set__, self, other)

    replace("torch.Tensor.grad", property(grad.__get__, given, grad.__delete__))


def _aimed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any], str | None]:
    """The arguments of ``Tensor.to`` with a whole device in them, and its type; another tensor counts as its device."""
    if args and isinstance(args[0], torch.Tensor):
        args = (args[0].device, args[0].dtype, *args[1:])
    elif isinstance(other := kwargs.get("other"), torch.Tensor):
        kwargs = {name: value for name, value in kwargs.items() if name != "other"}
        args = (other.device, other.dtype, *args)
    found: torch.device | None = None
    if args and (isinstance(args[0], (str, int, torch.device))) and not isinstance(args[0], bool):
        found = whole(args[0])
        args = (found, *args[1:])
    elif kwargs.get("device") is not None:
        found = whole(kwargs["device"])
        kwargs = {**kwargs, "device": found}
    return args, kwargs, None if found is None else found.type


def _aim(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device | None:
    found: Any = kwargs.get("device")
    return next((item for item in args if isinstance(item, torch.device)), None) if found is None else found


class _Across(torch.autograd.Function):
    """From card to card. Its gradient goes back; to PyTorch's own formula both are the same device."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, aim: object, *given: object) -> torch.Tensor:
        """The copy, on ``aim``."""
        args: Any
        kwargs: Any
        args, kwargs = given
        del aim
        ctx.came, ctx.dtype = tensor.device, tensor.dtype
        moved: torch.Tensor = handed_on(torch._C.TensorBase.to, tensor, *args, **kwargs)
        return moved

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """The gradient, where the tensor came from."""
        return grads[0].to(ctx.came, ctx.dtype), None, None, None


def _parameters(tracer: CardTracer) -> None:
    """Parameters on the host lose their data as they are made; small ones keep it beside."""
    new = torch.nn.Parameter.__new__

    def made(cls: type, data: object = None, requires_grad: bool = True) -> Any:
        if (
            data is not None
            and isinstance(data, torch.Tensor)
            and not has_no_data(data)
            and data.layout is torch.strided
            and type(data) in {torch.Tensor, torch.nn.Parameter}
            and data.dtype.is_floating_point
            and _watched()
        ):
            data = without_data(tracer, data)
        return handed_on(new, cls, data, requires_grad)

    replace("torch.nn.Parameter.__new__", made)


def without_data(tracer: CardTracer, data: torch.Tensor) -> torch.Tensor:
    """A tensor of the host with the shape of a real one; its few values where they are few."""
    from inspector.simulate.script.child.storages import keep_values

    with torch.no_grad(), torch.utils._python_dispatch._disable_current_modes():
        out = torch.empty_strided(data.shape, data.stride(), dtype=data.dtype, device=META)
        found = tracer.put(out, "host")
        if worth_knowing(data.dtype, data.numel()) and data.numel() <= FEW and data.numel():
            keep_values(out, found, data.detach())
    return out


FEW = 64
"""Elements of a parameter that are kept: temperatures and scales, not the weights of a norm."""

"""How tensors and generators are made for the card: on the host and then moved, as PyTorch does it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext, _device_constructors

from inspector.simulate.script.child.errors import handed_on
from inspector.simulate.script.child.places import whole
from inspector.simulate.script.child.replaced import replace
from inspector.simulate.script.child.storages import HOST, has_no_data

if TYPE_CHECKING:
    from collections.abc import Callable

    Where = torch.device | str | int | None


def install(real: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Put all of it in its place; ``real`` gives numbers for a tensor without data."""
    _numbered()
    _make(real)


def _numbers(data: object, real: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A list with tensors of the card in it, such as losses: each is read, as ``item`` would."""
    if isinstance(data, torch.Tensor):
        return real(data) if has_no_data(data) else data
    if isinstance(data, (list, tuple)) and any(isinstance(each, (torch.Tensor, list, tuple)) for each in data):
        return [_numbers(each, real) for each in data]
    return data


def _default_device() -> torch.device | None:
    """That of ``with torch.device("cuda")`` or ``torch.set_default_device``; None where nothing was said."""
    if not torch._C._len_torch_function_stack():
        return None
    for mode in reversed(_get_current_function_mode_stack()):
        if isinstance(mode, DeviceContext):
            return mode.device
    return None


def _make(real: Callable[[torch.Tensor], torch.Tensor]) -> None:
    def on_host(make: Callable[..., Any]) -> Any:
        def made(data: object, *args: object, device: Where = None, **kwargs: object) -> Any:
            if not isinstance(data, torch.Tensor):
                data = _numbers(data, real)
            if device is None and not isinstance(data, torch.Tensor):
                device = _default_device()
            if device is None:
                return handed_on(make, data, *args, **kwargs)
            where = whole(device)
            if where.type != "cuda":
                return handed_on(make, data, *args, device=where, **kwargs)
            if isinstance(data, torch.Tensor):
                # ``as_tensor`` and ``asarray`` give back what is on the device already.
                needs = bool(kwargs.pop("requires_grad", False))
                kwargs.pop("pin_memory", None)
                dtype: Any = kwargs.get("dtype") or data.dtype
                moved = data.to(where, dtype)
                if make is tensor and moved is data:
                    moved = data.detach().clone()
                return handed_on(moved.requires_grad_, needs) if needs else moved
            needs = bool(kwargs.pop("requires_grad", False))
            out = handed_on(make, data, *args, device=HOST, **kwargs).to(where)
            return handed_on(out.requires_grad_, needs) if needs else out

        return made

    tensor = torch.tensor
    replace("torch.tensor", on_host(tensor))
    replace("torch.as_tensor", on_host(torch.as_tensor))
    replace("torch.asarray", on_host(torch.asarray))

    def new_tensor(
        self: torch.Tensor, data: object, *, dtype: torch.dtype | None = None, device: Where = None, **kwargs: object
    ) -> Any:
        where = self.device if device is None else device
        options: dict[str, Any] = {**kwargs, "dtype": dtype or self.dtype, "device": where}
        return torch.tensor(data, **options)

    replace("torch.Tensor.new_tensor", new_tensor)

    plain: Any = torch.Generator

    class Generator(plain):  # type: ignore[misc]
        """A generator for the card draws on the CPU; nobody sees the numbers of a tensor without data."""

        def __new__(cls, device: Where = None) -> Any:
            made = plain.__new__(cls, device="cpu")
            made.where = torch.device("cpu") if device is None else whole(device)
            return made

        @property
        def device(self) -> torch.device:
            """Where it says it is."""
            where: torch.device = self.where
            return where

    replace("torch.Generator", Generator)


_MADE_LIKE = ("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "randint_like")
_NEW = ("new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided")


def _numbered() -> None:
    """``device=0`` is the first card, as PyTorch takes a bare number when there is one."""
    # Asked now: a device context knows these functions as they are, by identity.
    constructors = _device_constructors()

    def numbered(make: Callable[..., Any]) -> Any:
        @functools.wraps(make)
        def made(*args: object, **kwargs: object) -> Any:
            number = kwargs.get("device")
            if type(number) is int:
                kwargs["device"] = torch.device("cuda", number)
            return handed_on(make, *args, **kwargs)

        return made

    for name in dir(torch):
        function = getattr(torch, name)
        mine = name in {"tensor", "as_tensor", "asarray"}
        if not mine and (name in _MADE_LIKE or (callable(function) and _is_among(function, constructors))):
            replace(f"torch.{name}", numbered(function))
    for name in _NEW:
        replace(f"torch.Tensor.{name}", numbered(getattr(torch._C.TensorBase, name)))


def _is_among(function: object, known: set[Any]) -> bool:
    try:
        return function in known
    except TypeError:
        return False

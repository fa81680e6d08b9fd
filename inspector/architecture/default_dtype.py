"""A default dtype on this thread alone. Imports torch.

``torch.set_default_dtype`` is the process's: transformers sets it while it makes a model
(transformers/modeling_utils.py, ``local_torch_dtype``), and tensors that other threads make meanwhile would get it too.
Here it, and what it returns, is this thread's, and a mode gives new tensors the dtype PyTorch would have given them.
"""

from __future__ import annotations

import contextlib
import linecache
import re
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules import module as registry
from torch.overrides import TorchFunctionMode

from inspector.patched import patched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EXPLICIT = frozenset({torch.Tensor.float, torch.Tensor.double, torch.Tensor.half, torch.Tensor.bfloat16})
"""Functions that say their dtype by their names."""

_CALLED = re.compile(r"\bTensor\(")
"""``torch.Tensor(``, of the default dtype, and not ``torch.FloatTensor(``: neither passes a mode, nor a device's."""

_HOOKS = ("_global_parameter_registration_hooks", "_global_buffer_registration_hooks")
_OURS = -2
"""The number of our hook; PyTorch counts its own up from 0, and `inspector.architecture.limits` has one."""


class _DefaultDtype(TorchFunctionMode):
    """Gives the results of functions that PyTorch would give its default dtype another one."""

    def __init__(self) -> None:
        super().__init__()
        self.dtype = self.process = torch.get_default_dtype()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self.dtype is self.process or not isinstance(out, torch.Tensor) or out.dtype is not self.process:
            return out
        if func in _EXPLICIT or any(_says_dtype(value) for value in (*args, *kwargs.values())):
            return out
        return _with_dtype(out, self.dtype)


def _says_dtype(value: Any) -> bool:
    """Whether an argument decides the dtype of a result: it is one, or a tensor (or array) of floating point."""
    if isinstance(value, (list, tuple)):
        return any(_says_dtype(item) for item in value)
    if isinstance(value, torch.Tensor):
        return bool(value.is_floating_point() or value.is_complex())
    return isinstance(value, (torch.dtype, str)) or hasattr(value, "__array__")


def _registered(mode: _DefaultDtype) -> Callable[..., Any]:
    """A hook that gives the mode's dtype to what ``torch.Tensor(...)`` made: on the CPU, whatever the device."""

    def hook(_module: Any, _name: str, tensor: Any) -> Any:
        if tensor is None or mode.dtype is mode.process or tensor.dtype is not mode.process:
            return None
        if tensor.device.type != "cpu" or not _CALLED.search(_calling_line()):
            return None
        made = tensor.detach().to(mode.dtype)
        return torch.nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, torch.nn.Parameter) else made

    return hook


def _calling_line() -> str:
    """The line of source that called into torch; torch's frames, and those of replacements, are between it and us."""
    frame = sys._getframe(2)
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] in {"torch", "inspector"}:
        frame = frame.f_back
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno)


def _with_dtype(tensor: Any, dtype: Any) -> Any:
    """The same tensor in another dtype, without a history.

    Without data a new one: ``to`` and ``empty_like`` go through Python on the meta device, ``empty_strided`` does not.
    """
    if tensor.device.type == "meta":
        made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype, device="meta")
    else:
        made = tensor.detach().to(dtype)
    return made.requires_grad_() if tensor.requires_grad else made


@contextlib.contextmanager
def own_default_dtype(dtype: torch.dtype | None = None) -> Iterator[None]:
    """While this runs, this thread's default dtype is its own: the given one, or what a library sets."""
    mode = _DefaultDtype()

    def set_default_dtype(chosen: Any) -> None:
        mode.dtype = chosen

    hooks = {_OURS: _registered(mode)}
    names = {
        "torch.set_default_dtype": set_default_dtype,
        "torch.get_default_dtype": lambda: mode.dtype,
        **{f"torch.nn.modules.module.{name}": {**getattr(registry, name), **hooks} for name in _HOOKS},
    }
    if dtype is not None:
        mode.dtype = dtype
    with patched(names), mode:
        yield

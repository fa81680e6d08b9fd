"""Composite operators that CUDA takes apart differently from the meta device, put in their place while tracing.

PyTorch decomposes these operators above autograd, and asks the tensor's device as it does. Registering our own
decomposition for the meta device's autograd key makes every caller, in Python or in C++, take CUDA's path.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.patched import acting, patched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

aten = torch.ops.aten


def dropout(x: torch.Tensor, p: float, train: bool) -> Any:
    """CUDA has a fused kernel that saves a mask of one byte an element.

    Source: aten/src/ATen/native/Dropout.cpp, ``is_fused_kernel_acceptable`` and ``dropout``.
    """
    if not train or p == 0 or not x.numel():
        return x
    return aten.native_dropout(x, p, True)[0]


def softmax(x: torch.Tensor, dim: int, dtype: torch.dtype | None = None) -> Any:
    """From float16 to float32 the CUDA kernel converts as it reads: no converted copy of the input.

    Source: aten/src/ATen/native/SoftMax.cpp, ``softmax(input, dim, dtype)``.
    """
    if x.dtype == torch.float16 and dtype == torch.float32:
        # The flag is ``half_to_float``.
        return aten._softmax(x, dim, True)
    return aten._softmax(x if dtype is None else x.to(dtype), dim, False)


def log_softmax(x: torch.Tensor, dim: int, dtype: torch.dtype | None = None) -> Any:
    """As `softmax`; same source, ``log_softmax(input, dim, dtype)``."""
    if x.dtype == torch.float16 and dtype == torch.float32:
        return aten._log_softmax(x, dim, True)
    return aten._log_softmax(x if dtype is None else x.to(dtype), dim, False)


CUDA: dict[str, Callable[..., Any]] = {"dropout": dropout, "softmax.int": softmax, "log_softmax.int": log_softmax}


@contextmanager
def decomposed_as(operators: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Take these operators apart in the given way on the meta device; other threads' meta tensors as ever."""
    with patched(), torch.library._scoped_library("aten", "IMPL") as library:
        for name, function in operators.items():
            library.impl(name, _here(name, function), "AutogradMeta")
        yield


def overload(name: str) -> torch._ops.OpOverload:
    """The operator called ``softmax.int``."""
    packet, _, which = name.partition(".")
    found: torch._ops.OpOverload = getattr(getattr(aten, packet), which or "default")
    return found


def _here(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    operator = overload(name)

    def decomposed(*args: object, **kwargs: object) -> Any:
        if acting():
            return function(*args, **kwargs)
        # Not ``operator.decompose``, which prefers a decomposition in Python that the dispatcher does not know.
        return operator._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)

    return decomposed

"""Which storages have no data and say that they are somewhere, and the values of the small ones that are known.

A *hollow* storage is PyTorch's meta storage with a place: the card, or the host (weights of a checkpoint that nobody
reads are not worth their memory). A meta storage without a place is one that the script itself made on ``meta``.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

Place = Literal["card", "host"]

META = torch.device("meta")
HOST = torch.device("cpu")

MOST_WHOLE = 1 << 18
"""Elements of integers and booleans whose values are carried: the token ids of a batch, not the masks of attention."""

MOST_BYTES = 1 << 23
"""The same for bytes: what ranks pickle for each other, such as the plan of a checkpoint."""

MOST_REAL = 1 << 12
"""The same for floats: learning rates, counts, weights of classes."""

_raw_meta: Callable[[torch.Tensor], bool] = torch._C.TensorBase.is_meta.__get__  # type: ignore[attr-defined]


def has_no_data(tensor: torch.Tensor) -> bool:
    """Whether a tensor is on the meta device for PyTorch, whatever it says to the script."""
    if type(tensor) in _PLAIN and not _modes():
        return _raw_meta(tensor)
    # A subclass with a ``__torch_function__``, or a device context, would be asked, and say what the script is told.
    with torch._C.DisableTorchFunction():
        return _raw_meta(tensor)


_modes = torch._C._len_torch_function_stack
_PLAIN = frozenset({torch.Tensor, torch.nn.Parameter})


def under_transforms(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor within those of ``torch.vmap`` and ``torch.func``, which have no storage of their own."""
    functorch: Any = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor


class Hollow(weakref.ref[Any]):
    """What is known of one hollow storage; dies with it.

    ``values`` is a real storage of the same size, ``uniform`` the one value of all elements where a whole copy would be
    too large; neither is there where nothing is known. ``block`` is its number among the traced ones, -1 for none;
    ``card`` is which card it is on.
    """

    __slots__ = ("assumed", "block", "card", "key", "place", "uniform", "values")
    block: int
    card: int
    key: int
    place: Place
    values: torch.UntypedStorage | None
    uniform: bool | int | float | None
    assumed: bool


def worth_knowing(dtype: torch.dtype, elements: int) -> bool:
    """Whether values of so many elements are carried."""
    if dtype.is_complex:
        return False
    if dtype is torch.uint8:
        return elements <= MOST_BYTES
    return elements <= (MOST_REAL if dtype.is_floating_point else MOST_WHOLE)


def as_known(tensor: torch.Tensor, hollow: Hollow) -> torch.Tensor | None:
    """A real tensor with what a hollow one is known to hold, over the same real storage; None for nothing."""
    if hollow.values is not None:
        seen = torch.empty(0, dtype=tensor.dtype, device=HOST)
        seen.set_(hollow.values, tensor.storage_offset(), tensor.size(), tensor.stride())
        return seen
    if hollow.uniform is not None:
        return torch.full((), hollow.uniform, dtype=tensor.dtype, device=HOST).expand(tensor.shape)
    return None


def keep_values(tensor: torch.Tensor, hollow: Hollow, real: torch.Tensor, *, assumed: bool = False) -> None:
    """Let a hollow tensor, which fills its storage, hold these values from now on."""
    nbytes = tensor.untyped_storage().nbytes()
    storage = torch.UntypedStorage(nbytes)
    seen = torch.empty(0, dtype=tensor.dtype, device=HOST)
    seen.set_(storage, tensor.storage_offset(), tensor.size(), tensor.stride())
    seen.copy_(real)
    hollow.values, hollow.uniform, hollow.assumed = storage, None, assumed

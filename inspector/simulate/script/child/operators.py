"""What is asked of an operator's schema once: what it writes, whether its result holds values whatever comes in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Facts:
    """``writes`` are the positions and names of arguments that are written into."""

    writes: tuple[int | str, ...]
    makes: bool
    random: bool
    empty: bool
    like: bool


_LIKE = ("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty",
         "new_empty_strided", "rand_like", "randn_like", "randint_like")  # fmt: skip
_RANDOM = ("rand", "randn", "randint", "randperm", "normal", "uniform_", "normal_", "random_", "bernoulli",
           "bernoulli_", "exponential_", "rand_like", "randn_like", "randint_like", "multinomial", "native_dropout",
           "geometric_", "log_normal_", "cauchy_", "poisson")  # fmt: skip
_EMPTY = ("empty", "empty_strided", "new_empty", "empty_like", "new_empty_strided", "empty_permuted")


@cache
def facts(func: Any) -> Facts:
    """The facts of an operator."""
    schema = func._schema
    writes: list[int | str] = []
    for position, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            writes.append(argument.name if argument.kwarg_only else position)
    name = schema.name.partition("::")[2]
    return Facts(
        writes=tuple(writes),
        makes=any(argument.name == "device" for argument in schema.arguments),
        random=name in _RANDOM,
        empty=name in _EMPTY,
        like=name in _LIKE,
    )


BY_VALUE = frozenset({
    aten.nonzero.default, aten.masked_select.default, aten._unique2.default, aten.unique_dim.default,
    aten.unique_consecutive.default, aten.repeat_interleave.Tensor, aten.repeat_interleave.self_Tensor,
    aten.bincount.default, aten.histc.default, aten.histogram.bin_ct, aten.equal.default,
    aten.nonzero_numpy.default, aten.is_nonzero.default,
})  # fmt: skip
"""Operators whose result has a size, or is a number, that only values say."""

INDEXED = frozenset({
    aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default,
    aten._unsafe_index.Tensor, aten._unsafe_index_put.default,
})  # fmt: skip
"""Operators that take masks as indices: a device looks up first which elements they name.

Source: aten/src/ATen/native/IndexingUtils.h, ``expandTensors``.
"""

TO_SPARSE = frozenset({
    aten._to_sparse.default, aten._to_sparse.sparse_dim, aten._to_sparse_csr.default, aten._to_sparse_csc.default,
    aten._to_sparse_bsr.default, aten._to_sparse_bsc.default,
})  # fmt: skip
"""Operators that make sparse tensors of dense ones."""

SEVERAL_DEVICES = frozenset({
    aten.copy_.default, aten._to_copy.default, aten.set_.source_Tensor, aten.set_.source_Storage,
    aten.set_.source_Storage_storage_offset, aten._has_compatible_shallow_copy_type.default,
    aten.is_pinned.default, *INDEXED,
})  # fmt: skip
"""Operators that take tensors of several devices (``device_check: NoCheck`` among those that scripts call)."""

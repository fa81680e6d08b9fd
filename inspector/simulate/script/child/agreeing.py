"""What tensors of one operator must agree in: their device, and dtypes that a card's kernels refuse to mix.

The functions of shapes alone do not ask for dtypes; and a model in 16 bits that meets inputs in 32 is among the
commonest mistakes, and would run here without a word. Sentences and order of the checks:
aten/src/ATen/native/LinearAlgebra.cpp (``ADDMM_META``, ``addmv``), cuda/Blas.cpp (``addmm_out_cuda_impl``),
Convolution.cpp (``check_input_same_type_as_parameters``), TensorAdvancedIndexing.cpp, cuda/layer_norm_kernel.cu and
group_norm_kernel.cu, which take weights of the input's own dtype.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.errors import InspectorError
from inspector.simulate.script.child.errors import emulated
from inspector.simulate.script.child.operators import TO_SPARSE
from inspector.simulate.script.child.storages import has_no_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch._ops import OpOverload

    from inspector.simulate.script.child.known_values import KnownValues

aten = torch.ops.aten

_SCALAR = {
    torch.float32: "Float", torch.float64: "Double", torch.float16: "Half", torch.bfloat16: "BFloat16",
    torch.int64: "Long", torch.int32: "Int", torch.int16: "Short", torch.int8: "Char", torch.uint8: "Byte",
    torch.bool: "Bool", torch.complex64: "ComplexFloat", torch.complex128: "ComplexDouble",
}  # fmt: skip
_IN_C = {
    "Float": "float", "Double": "double", "Half": "c10::Half", "BFloat16": "c10::BFloat16", "Long": "long int",
    "Int": "int", "Short": "short int", "Char": "signed char", "Byte": "unsigned char", "Bool": "bool",
}  # fmt: skip


def _mm(types: Sequence[str]) -> str:
    first, second = (_IN_C.get(name, name) for name in types)
    return f"expected mat1 and mat2 to have the same dtype, but got: {first} != {second}"


def _addmm(types: Sequence[str]) -> str:
    bias, first, second = types
    if first != second:
        return f"mat1 and mat2 must have the same dtype, but got {first} and {second}"
    return f"self and mat2 must have the same dtype, but got {bias} and {second}"


def _convolution(types: Sequence[str]) -> str:
    first, second = (f"torch.cuda.{name}Tensor" for name in types[:2])
    if first != second:
        return f"Input type ({first}) and weight type ({second}) should be the same"
    return f"Input type ({first}) and bias type (torch.cuda.{types[2]}Tensor) should be the same"


def _addmv(types: Sequence[str]) -> str:
    return f"addmv input tensors must have the same dtype, but got {', '.join(types[:-1])}, and {types[-1]}"


def _index_add(types: Sequence[str]) -> str:
    return f"index_add_(): self ({types[0]}) and source ({types[1]}) must have the same scalar type"


def _of_the_first(types: Sequence[str]) -> str:
    """As ``const_data_ptr<T>`` refuses a tensor of another dtype than the kernel's."""
    other = next(name for name in types if name != types[0])
    return f"expected scalar type {types[0]} but found {other}"


def _iterated(types: Sequence[str]) -> str:
    return f"Found dtype {types[1]} but expected {types[0]}"


def _index_put(types: Sequence[str]) -> str:
    return (
        f"Index put requires the source and destination dtypes match, got {types[0]} for the destination and "
        f"{types[1]} for the source."
    )


def _index_copy(types: Sequence[str]) -> str:
    return (
        f"index_copy_(): self and source expected to have the same dtype, but got (self) {types[0]} and (source) "
        f"{types[1]}"
    )


_ASKED: Mapping[OpOverload, tuple[tuple[int, ...], Callable[[Sequence[str]], str]]] = {
    aten.mm.default: ((0, 1), _mm),
    aten.addmm.default: ((0, 1, 2), _addmm),
    aten.addmv.default: ((0, 1, 2), _addmv),
    aten.mv.default: ((1, 0, 1), _addmv),  # of a vector of the second's dtype
    aten.convolution.default: ((0, 1, 2), _convolution),
    aten.index_add.default: ((0, 3), _index_add),
    aten.index_add_.default: ((0, 3), _index_add),
    aten.native_layer_norm.default: ((0, 2, 3), _of_the_first),
    aten.native_group_norm.default: ((0, 1, 2), _of_the_first),
    aten.nll_loss_forward.default: ((0, 2), _of_the_first),
    aten.nll_loss2d_forward.default: ((0, 2), _of_the_first),
    aten.grid_sampler_2d.default: ((0, 1), _of_the_first),
    aten.binary_cross_entropy.default: ((0, 1), _iterated),
    aten.huber_loss.default: ((0, 1), _iterated),
    aten.index_put.default: ((0, 2), _index_put),
    aten.index_put_.default: ((0, 2), _index_put),
    aten.index_copy.default: ((0, 3), _index_copy),
    aten.index_copy_.default: ((0, 3), _index_copy),
}


def one_dtype(func: OpOverload, args: Sequence[Any]) -> None:
    """Raise RuntimeError, as the card's kernel would, when an operator's tensors are of dtypes that it does not mix."""
    if func is aten.index_select.default and args[2].dtype not in {torch.int32, torch.int64}:
        raise emulated(RuntimeError("index_select(): Expected dtype int32 or int64 for index"))
    asked = _ASKED.get(func)
    if asked is None:
        return
    if func is aten.nll_loss_forward.default and args[1].dtype in {torch.int32, torch.int16, torch.int8}:
        raise emulated(RuntimeError(_classes(args)))
    positions, sentence = asked
    given = [args[at] for at in positions if at < len(args) and isinstance(args[at], torch.Tensor)]
    if len({tensor.dtype for tensor in given}) > 1:
        raise emulated(RuntimeError(sentence([_SCALAR.get(tensor.dtype, str(tensor.dtype)) for tensor in given])))


def _classes(args: Sequence[Any]) -> str:
    """Of labels that are whole numbers of too few bits. Source: cuda/NLLLoss.cu, the names of its dispatches."""
    how = "no_reduce_cuda_kernel" if args[3] == 0 else f"reduce_cuda_kernel_{args[0].dim()}d"
    return f"\"nll_loss_forward_{how}_index\" not implemented for '{_SCALAR.get(args[1].dtype, args[1].dtype)}'"


def same_kind(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
    """Raise RuntimeError where attention's inputs are of several dtypes. Source: transformers/attention.cpp."""
    kinds = [_SCALAR.get(each.dtype, str(each.dtype)) for each in (query, key, value)]
    if len(set(kinds)) > 1:
        first, second, third = (_IN_C.get(kind, kind) for kind in kinds)
        raise emulated(
            RuntimeError(
                f"Expected query, key, and value to have the same dtype, but got query.dtype: {first} key.dtype: "
                f"{second} and value.dtype: {third} instead."
            )
        )


def dense(func: OpOverload, args: Sequence[Any], kwargs: dict[str, Any], line: Callable[[], str]) -> None:
    """Raise InspectorError where a sparse tensor would be on the card: its blocks go by what is not zero in it."""
    first = args[0] if args and isinstance(args[0], torch.Tensor) else None
    if func in TO_SPARSE:
        sparse = first is not None and has_no_data(first)
    else:
        layout = kwargs.get("layout") or (torch.strided if first is None else first.layout)
        sparse = layout is not torch.strided and kwargs["device"].type != "cpu"
    if sparse:
        at = f"{line()}: " if line() else ""
        raise InspectorError(f"{at}sparse tensors on the card: not simulated", hint="use dense ones")


def one_device(args: tuple[Any, ...], kwargs: dict[str, Any], known: KnownValues) -> None:
    """Raise PyTorch's own error for tensors of two devices, a single number on the host aside."""
    found: dict[str, None] = {}
    for value in (*args, *kwargs.values()):
        several = isinstance(value, (list, tuple))
        for item in value if several else (value,):
            if not isinstance(item, torch.Tensor) or not item.dim():
                continue
            if not has_no_data(item):
                found["cpu"] = None
            # Optimizers hand tensors of several cards over at once: here they are of one device for PyTorch's C++.
            elif not several and (hollow := known.hollow(item)) is not None and hollow.place == "card":
                found[f"cuda:{hollow.card}"] = None
    if len(found) > 1 or (found.keys() == {"cpu"}):
        first, second = (*(name for name in found if name != "cpu"), *(["cpu"] if "cpu" in found else []), "cpu")[:2]
        said = first if first != "cpu" else "cuda:0"
        raise emulated(
            RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {said} and {second}!"
            )
        )

"""``torch.autocast("cuda")`` on the meta device, which has none: the same casts of the same operators, before autograd.

PyTorch's dispatcher runs autocast kernels above autograd. We register Python kernels with CUDA's policies under the
key of a device nobody has here, and switch that key on for every tensor while a region is entered. Which operators CUDA
casts is asked of the dispatcher itself; only their policies are written down.

Source: aten/src/ATen/autocast_mode.h (lists and policies), autocast_mode.cpp (``cached_cast``).
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from inspector.patched import patched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch._ops import OpOverload

KEY = torch._C.DispatchKey.AutocastHPU  # type: ignore[attr-defined]
DEVICE = "hpu"
"""A device type whose autocast key has no kernels of its own."""

_on_meta: Callable[[torch.Tensor], bool] = torch._C.TensorBase.is_meta.__get__  # type: ignore[attr-defined]

_DEVICES = frozenset({"cuda", "meta"})
"""Devices for which autocast is ours: that of the tensors, and that which libraries take them for."""

LOWER_PRECISION = frozenset({
    "_convolution.deprecated", "_convolution", "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d",
    "conv_transpose2d.input", "conv_transpose3d.input", "convolution", "prelu", "addmm", "addmv", "addr", "matmul",
    "einsum", "mm", "mv", "linalg_vecdot", "linear", "addbmm", "baddbmm", "bmm", "chain_matmul", "linalg_multi_dot",
    "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
    "_scaled_dot_product_flash_attention", "scaled_dot_product_attention",
})  # fmt: skip
"""``AT_FORALL_LOWER_PRECISION_FP``."""

PROMOTE = frozenset({
    "addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "vdot", "grid_sampler", "index_put", "tensordot",
    "scatter_add",
})  # fmt: skip
"""``AT_FORALL_PROMOTE``."""

OUTPUT_DTYPE = frozenset({
    "prod", "prod.dim_int", "softmax.int", "log_softmax.int", "cumprod", "cumsum", "linalg_vector_norm",
    "linalg_matrix_norm", "linalg_matrix_norm.str_ord", "sum", "sum.dim_IntList",
})  # fmt: skip
"""``AT_FORALL_FP32_SET_OPT_DTYPE``: computed in float32 by asking for that result, unless a dtype is asked for."""

IGNORED = frozenset({
    "binary_cross_entropy", "cudnn_convolution", "cudnn_convolution_transpose", "norm.Scalar", "norm.ScalarOpt_dim",
    "nuclear_norm", "nuclear_norm.dim", "frobenius_norm.dim",
})  # fmt: skip
"""Operators autocast forbids, or that no language model calls."""


def cuda_operators() -> frozenset[str]:
    """Names of the aten operators with a CUDA autocast kernel, as this build of PyTorch registers them."""
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    names = torch._C._dispatch_get_all_op_names()
    known = (name for name in names if name.startswith("aten::") and has(name, "AutocastCUDA"))
    return frozenset(name.removeprefix("aten::") for name in known)


class Autocast:
    """CUDA's autocast for one trace. Call it for a region: ``with autocast(): loss = model(...)``."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.depth = 0
        self._cast: dict[int, tuple[Any, Any]] = {}

    @contextmanager
    def registered(self) -> Iterator[None]:
        """While this runs, regions can be entered."""
        scoped = torch.library._scoped_library
        with scoped("_", "IMPL") as others, scoped("aten", "IMPL") as library:
            # What CUDA casts nothing of goes through untouched, as under its own key.
            others.fallback(torch.library.fallthrough_kernel, "AutocastHPU")
            # Sorted, as a set has another order in every process.
            for name in sorted(cuda_operators() - IGNORED):
                library.impl(name, self._kernel(name), "AutocastHPU")
            with patched(self._asked()):
                yield

    def _asked(self) -> dict[str, Any]:
        """Libraries ask torch whether autocast is on for a tensor's device, and switch it off for a while."""
        enabled, dtype = torch.is_autocast_enabled, torch.get_autocast_dtype

        def is_enabled(device_type: str = "cuda") -> bool:
            return bool(self.depth) if device_type in _DEVICES else enabled(device_type)

        return {
            "torch.is_autocast_enabled": is_enabled,
            "torch.get_autocast_dtype": lambda kind: self.dtype if kind in _DEVICES else dtype(kind),
            **_entered(_DEVICES, self.region),
        }

    def region(self, enabled: bool, dtype: torch.dtype | None) -> Any:
        """A region that a library enters by ``torch.autocast``, on or off."""
        return self() if enabled else self._off()

    @contextmanager
    def _off(self) -> Iterator[None]:
        depth, self.depth = self.depth, 0
        torch.set_autocast_enabled(DEVICE, False)
        try:
            with _without_autocast():
                yield
        finally:
            self.depth = depth
            torch.set_autocast_enabled(DEVICE, bool(depth))

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """A region; the casts of weights are kept until the outermost one ends."""
        torch.set_autocast_enabled(DEVICE, True)
        self.depth += 1
        try:
            with torch._C._IncludeDispatchKeyGuard(KEY):
                yield
        finally:
            self.depth -= 1
            if not self.depth:
                self._cast.clear()
                torch.set_autocast_enabled(DEVICE, False)

    def forget(self, *_: object) -> None:
        """The casts of weights are made anew: a forward that has a region of its own has ended."""
        self._cast.clear()

    def carried(self, checkpoint: Callable[..., Any]) -> Callable[..., Any]:
        """A checkpointing function that recomputes under the autocast its forward ran under, as CUDA's does."""

        def checkpointed(function: Callable[..., Any], *args: object, **kwargs: object) -> Any:
            if not self.depth:
                return checkpoint(function, *args, **kwargs)

            def region(*inner: object, **named: object) -> Any:
                if self.depth:
                    return function(*inner, **named)
                with self():
                    return function(*inner, **named)

            return checkpoint(region, *args, **kwargs)

        return checkpointed

    def _kernel(self, name: str) -> Callable[..., Any]:
        packet, _, overload = name.partition(".")
        operator = getattr(getattr(torch.ops.aten, packet), overload or "default")
        return self._output_kernel(operator) if name in OUTPUT_DTYPE else self._input_kernel(name, operator)

    def _input_kernel(self, name: str, operator: OpOverload) -> Callable[..., Any]:
        def kernel(*args: object, **kwargs: object) -> Any:
            with _without_autocast():
                to = self._target(name, (*args, *kwargs.values()))
                cast = {key: self._cast_to(to, value) for key, value in kwargs.items()}
                return operator(*(self._cast_to(to, value) for value in args), **cast)

        return kernel

    def _output_kernel(self, operator: OpOverload) -> Callable[..., Any]:
        def kernel(*args: object, **kwargs: object) -> Any:
            with _without_autocast():
                asked = kwargs.get("dtype")
                positional = any(isinstance(value, torch.dtype) for value in args)
                if asked is None and not positional and _eligible(args[0]):
                    names = [argument.name for argument in operator._schema.arguments]
                    # Given by name instead: where it stands there may be a None already.
                    args = args[: names.index("dtype")]
                    kwargs = {**kwargs, "dtype": torch.float32}
                return operator(*args, **kwargs)

        return kernel

    def _target(self, name: str, args: tuple[Any, ...]) -> Any:
        if name in LOWER_PRECISION:
            return self.dtype
        if name in PROMOTE:
            wide = any(_eligible(value) and value.dtype == torch.float32 for value in args)
            return torch.float32 if wide else self.dtype
        return torch.float32

    def _cast_to(self, dtype: torch.dtype, value: Any) -> Any:
        """Source: ``cached_cast``. Only leaves that are trained, in float32, are cast once and kept."""
        if isinstance(value, (list, tuple)):
            return type(value)(self._cast_to(dtype, item) for item in value)
        if not _eligible(value) or value.dtype == dtype:
            return value
        keep = dtype == self.dtype and value.dtype == torch.float32 and value.requires_grad and value.is_leaf
        if not keep or value._is_view():
            return value.to(dtype)
        if id(value) not in self._cast or self._cast[id(value)][1].dtype != dtype:
            # With the weight itself, so that no other tensor comes by its id while the cast is kept.
            self._cast[id(value)] = (value, value.to(dtype))
        return self._cast[id(value)][1]


@contextmanager
def no_autocast() -> Iterator[None]:
    """Without autocast, it is off for the meta device too, and a region that switches it off is no region.

    PyTorch refuses to name the meta device. FlashAttention asks for float32 queries, as a model prepared for k-bit
    training has them (transformers/integrations/flash_attention.py, ``get_target_dtype``).
    """
    enabled = torch.is_autocast_enabled

    def is_enabled(device_type: str = "cuda") -> bool:
        return device_type != "meta" and bool(enabled(device_type))

    regions = _entered(frozenset({"meta"}), lambda _on, _dtype: nullcontext())
    with patched({"torch.is_autocast_enabled": is_enabled, **regions}):
        yield


def _entered(devices: frozenset[str], region: Callable[[bool, torch.dtype | None], Any]) -> dict[str, Any]:
    """Methods of ``torch.autocast`` that enter a region of ours for these devices; the class itself stays what it is.

    ``region`` makes one, from whether it switches autocast on and the dtype that was asked for.
    """
    cls = torch.amp.autocast_mode.autocast
    init, enter, leave = cls.__init__, cls.__enter__, cls.__exit__

    def begin(
        self: Any,
        device_type: str,
        dtype: torch.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if device_type not in devices:
            init(self, device_type, dtype, enabled, cache_enabled)
            return
        self._ours, self._entered = (lambda: region(enabled, dtype)), []

    def enter_ours(self: Any) -> Any:
        if "_ours" not in vars(self):
            return enter(self)
        self._entered.append(self._ours())
        self._entered[-1].__enter__()
        return self

    def leave_ours(self: Any, *said: object) -> Any:
        return self._entered.pop().__exit__(*said) if "_ours" in vars(self) else leave(self, *said)

    name = "torch.amp.autocast_mode.autocast"
    return {f"{name}.__init__": begin, f"{name}.__enter__": enter_ours, f"{name}.__exit__": leave_ours}


def _without_autocast() -> Any:
    """Inside an autocast kernel, operators are called as they are (``no_autocast``)."""
    return torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(KEY))


def _eligible(value: object) -> bool:
    """A floating-point tensor of the device, but not float64 (``is_eligible``)."""
    return (
        isinstance(value, torch.Tensor)
        and _on_meta(value)
        and value.is_floating_point()
        and value.dtype != torch.float64
    )

"""What kernels of a device allocate besides their results: the one table of differences from the meta device.

Each entry names the source it was read from (paths in the PyTorch and bitsandbytes repositories). Operators that CUDA
takes apart differently are in `composites`; attention is in `attention`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.bitsandbytes import bitsandbytes_operators

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

aten = torch.ops.aten

CUBLAS_WORKSPACE_BYTES = (2 * 4096 + 8 * 16) * 1024
"""``:4096:2:16:8``, one for each handle and stream.

Source: aten/src/ATen/cuda/CublasHandlePool.cpp, ``parseChosenWorkspaceSize``.
"""

CUBLAS_WORKSPACE_HOPPER_BYTES = 32 * 1024 * 1024
"""The same on Hopper and Blackwell (compute capability 9.0 and above), in the same function."""

GEMMS = frozenset({aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default})


@dataclass(slots=True)
class Kernels:
    """A device's kernels, as far as their memory goes.

    ``temporaries`` maps an operator to a function of its result and arguments that lists the bytes of storages which
    live only inside the kernel. ``replaced`` maps an operator to the Python that the device's library runs for it.
    ``host`` names the devices whose tensors share the memory. ``bf16`` says that the device computes in bfloat16.
    """

    temporaries: Mapping[Any, Callable[..., list[int]]] = field(default_factory=dict)
    replaced: Mapping[Any, Callable[..., Any]] = field(default_factory=dict)
    gemms: frozenset[Any] = frozenset()
    workspace_bytes: int = 0
    host: tuple[str, ...] = ()
    bf16: bool = True
    _threads: set[str] = field(default_factory=set)

    def workspace(self, thread: str) -> int:
        """Bytes of the workspace that this thread's BLAS handle takes now; 0 when it has it already."""
        if thread in self._threads:
            return 0
        self._threads.add(thread)
        return self.workspace_bytes


def cpu_kernels() -> Kernels:
    """The CPU: no handles, no workspaces; tensors a script keeps on the CPU count too."""
    return Kernels(host=("cpu",))


def cuda_kernels(capability: tuple[int, int], multiprocessors: int) -> Kernels:
    """The kernels of a CUDA device.

    Args:
        capability: compute capability, such as ``(7, 5)`` for a T4.
        multiprocessors: number of streaming multiprocessors; bitsandbytes chooses kernels by it.
    """
    return Kernels(
        temporaries=TEMPORARIES,
        replaced={**bitsandbytes_operators(capability, multiprocessors), aten._grouped_mm.default: _grouped_mm},
        gemms=GEMMS,
        bf16=capability >= (8, 0),
        workspace_bytes=CUBLAS_WORKSPACE_HOPPER_BYTES if capability >= (9, 0) else CUBLAS_WORKSPACE_BYTES,
    )


def _bytes(tensor: Any, itemsize: int = 0) -> int:
    return int(tensor.numel()) * (itemsize or int(tensor.element_size()))


def _softmax_backward(_out: Any, grad: Any, output: Any, *_: Any) -> list[int]:
    """``Tensor tmp = grad * output`` in aten/src/ATen/native/cuda/SoftMax.cu, ``softmax_backward_cuda_out``."""
    return [_bytes(grad, max(grad.element_size(), output.element_size()))]


def _flash_backward(_out: Any, _grad: Any, query: Any, key: Any, *_: Any, **__: Any) -> list[int]:
    """Row sums, a float32 accumulator for the query's gradient, and expanded gradients of grouped keys and values.

    Source: aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, ``mha_bwd`` (``softmax_d``, ``dq_accum``,
    ``dk_expanded``, ``dv_expanded``).
    """
    batch, heads, length, size = query.shape
    rounded_length = -(-length // 128) * 128
    step = 32 if size <= 128 else 64
    rounded_size = -(-size // step) * step
    temporaries = [batch * heads * rounded_length * 4, batch * heads * rounded_length * rounded_size * 4]
    if key.size(1) != heads:
        temporaries += [batch * key.size(2) * heads * size * key.element_size()] * 2
    return temporaries


def _efficient_backward(_out: Any, grad: Any, query: Any, *_: Any, **__: Any) -> list[int]:
    """Row sums, and a float32 accumulator for the query's gradient, a tile and a lock at a time.

    Source: aten/src/ATen/native/transformers/cuda/attention_backward.cu, ``_efficient_attention_backward`` (``delta``,
    ``workspace``), and mem_eff_attention/kernel_backward.h, ``workspace_elements_gq`` and ``GradQTempStorage``. Tiles
    are 64 x 64; the 128 x 128 ones of half-precision heads of 65 to 128 on Ampere take as much. Keys and values need
    none while a head fits a tile's registers (``kOutputInRF``).
    """
    batch, heads, length, size = query.shape
    tiles = -(-length // 64) * -(-size // 64)
    workspace = batch * heads * tiles * (64 * 64 + 4) * 4
    delta = batch * heads * length * 4
    if query.element_size() == 4:
        return [_bytes(grad), delta, delta, workspace]
    return [delta, workspace]


TEMPORARIES: dict[Any, Callable[..., list[int]]] = {
    aten._softmax_backward_data.default: _softmax_backward,
    aten._scaled_dot_product_flash_attention_backward.default: _flash_backward,
    aten._scaled_dot_product_efficient_attention_backward.default: _efficient_backward,
}


def _grouped_mm(a: Any, b: Any, offs: Any = None, bias: Any = None, out_dtype: Any = None) -> Any:  # noqa: ARG001
    """One product for each expert. The result does not depend on how tokens spread over the experts.

    Source: aten/src/ATen/native/GroupedMMUtils.h, ``create_grouped_gemm_output_tensor`` (rows padded to 16 bytes);
    dtypes other than bfloat16 take ``_grouped_mm_fallback``, which the shape function of 2.13 does not know.
    """
    if a.dim() == 2 and b.dim() == 2:
        size: tuple[int, ...] = (offs.size(0), a.size(0), b.size(1))
    elif a.dim() == 2:
        size = (a.size(0), b.size(-1))
    elif b.dim() == 2:
        size = (a.size(1), b.size(1))
    else:
        size = (a.size(0), a.size(1), b.size(-1))
    dtype = out_dtype or a.dtype
    step = 16 // dtype.itemsize
    row = -(-size[-1] // step) * step
    strides = (row, 1) if len(size) == 2 else (size[1] * row, row, 1)
    return torch.empty_strided(size, strides, dtype=dtype, device=a.device)

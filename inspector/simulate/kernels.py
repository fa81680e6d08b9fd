"""What kernels of a device allocate besides their results: the one table of differences from the meta device.

Each entry names the source it was read from (paths in the PyTorch and bitsandbytes repositories). Operators that CUDA
takes apart differently are in `composites`; attention is in `attention`.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

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
    live only inside the kernel. ``host`` names the devices whose tensors share the memory. ``replaced`` maps an operator to the Python that the device's library runs for it.
    """

    temporaries: Mapping[Any, Callable[..., list[int]]] = field(default_factory=dict)
    replaced: Mapping[Any, Callable[..., Any]] = field(default_factory=dict)
    gemms: frozenset[Any] = frozenset()
    workspace_bytes: int = 0
    host: tuple[str, ...] = ()
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
        replaced={**_bitsandbytes(capability, multiprocessors), aten._grouped_mm.default: _grouped_mm},
        gemms=GEMMS,
        workspace_bytes=CUBLAS_WORKSPACE_HOPPER_BYTES if capability >= (9, 0) else CUBLAS_WORKSPACE_BYTES,
    )


def _bytes(tensor: Any, itemsize: int = 0) -> int:
    return int(tensor.numel()) * (itemsize or int(tensor.element_size()))


def _softmax_backward(out: Any, grad: Any, output: Any, *_: Any) -> list[int]:
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


TEMPORARIES: dict[Any, Callable[..., list[int]]] = {
    aten._softmax_backward_data.default: _softmax_backward,  # noqa: SLF001
    aten._scaled_dot_product_flash_attention_backward.default: _flash_backward,  # noqa: SLF001
}


def _grouped_mm(a: Any, b: Any, offs: Any = None, bias: Any = None, out_dtype: Any = None) -> Any:  # noqa: ARG001
    """One product for each expert. The result does not depend on how tokens spread over the experts.

    Source: aten/src/ATen/native/GroupedMMUtils.h, ``create_grouped_gemm_output_tensor`` (rows padded to 16 bytes);
    dtypes other than bfloat16 take ``_grouped_mm_fallback``, which the shape function of 2.13 does not know.
    """
    if a.dim() == 2 and b.dim() == 2:
        size = (offs.size(0), a.size(0), b.size(1))
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


def _bitsandbytes(capability: tuple[int, int], multiprocessors: int) -> dict[Any, Callable[..., Any]]:
    """bitsandbytes' own Python for CUDA, where its shape-only kernels hide storages or make them in another order.

    Source: bitsandbytes/backends/cuda/ops.py, ``gemm_4bit``, ``_dequant_linear_fallback``,
    ``quantize_4bit``, ``quantize_blockwise`` and ``_gemm_4bit_use_custom_cuda`` (which of the two runs is the library's own heuristic, called here).
    """
    import bitsandbytes  # noqa: F401  (registers its operators)

    ops = torch.ops.bitsandbytes
    fused = _fused_4bit(capability, multiprocessors)

    def gemm_4bit(
        a: Any, b: Any, shape: Any, absmax: Any, blocksize: int, quant_type: str, bias: Any = None,
        absmax_8bit: Any = None, absmax_code: Any = None, absmax_offset: Any = None,
    ) -> Any:  # fmt: skip
        k, n = a.shape[-1], shape[0]
        if fused(a.dtype, a.numel() // k, n, k, blocksize):
            return torch.empty((*a.shape[:-1], n), dtype=a.dtype, device=a.device)
        if absmax_8bit is not None:
            absmax = ops.dequantize_blockwise.default(absmax_8bit, absmax, absmax_code, 256, torch.float32)
            absmax = absmax + absmax_offset
        weight = ops.dequantize_4bit.default(b, absmax, blocksize, quant_type, shape, a.dtype)
        return torch.nn.functional.linear(a, weight, bias)

    def quantize_4bit(a: Any, blocksize: int, quant_type: str, quant_storage: Any) -> Any:  # noqa: ARG001
        a = a.contiguous()
        absmax = torch.empty((-(a.numel() // -blocksize),), device=a.device, dtype=torch.float32)
        rows = (a.numel() + 1) // (quant_storage.itemsize * 2)
        return torch.empty((rows, 1), device=a.device, dtype=quant_storage), absmax

    def quantize_blockwise(a: Any, code: Any, blocksize: int) -> Any:  # noqa: ARG001
        a = a.contiguous()
        absmax = torch.empty((-(a.numel() // -blocksize),), device=a.device, dtype=torch.float32)
        return torch.empty_like(a, dtype=torch.uint8), absmax

    return {
        ops.gemm_4bit.default: gemm_4bit,
        ops.quantize_4bit.default: quantize_4bit,
        ops.quantize_blockwise.default: quantize_blockwise,
    }


def _fused_4bit(capability: tuple[int, int], multiprocessors: int) -> Callable[[Any, int, int, int, int], bool]:
    """Whether bitsandbytes multiplies packed weights directly; it dequantizes the whole weight when it does not."""
    scope = _bitsandbytes_functions("_gemm_4bit_use_custom_cuda")
    scope["_gpu_dispatch_props"] = lambda _index: (multiprocessors, *capability)
    heuristic, most = scope["_gemm_4bit_use_custom_cuda"], scope["_gemm_4bit_custom_max_m"]

    def fused(dtype: Any, m: int, n: int, k: int, blocksize: int) -> bool:
        return m <= most and k % blocksize == 0 and bool(heuristic(0, dtype, m, n, k))

    return fused


def _bitsandbytes_functions(*names: str) -> dict[str, Any]:
    """Functions and plain constants of bitsandbytes' CUDA file, which cannot be imported without CUDA."""
    spec = importlib.util.find_spec("bitsandbytes")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "backends" / "cuda" / "ops.py").read_text(encoding="utf-8")
    scope: dict[str, Any] = {"torch": torch, "functools": functools}
    for node in ast.walk(ast.parse(source)):
        wanted = isinstance(node, ast.FunctionDef) and node.name in names
        constant = isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if wanted or (constant and not _assigned(scope, node)):
            exec(compile(ast.Module([node], []), spec.origin, "exec"), scope)  # type: ignore[list-item]  # noqa: S102
    return scope


def _assigned(scope: dict[str, Any], node: Any) -> bool:
    """Whether a constant was set before: the first branch is CUDA's, a later one ROCm's."""
    return any(not isinstance(target, ast.Name) or target.id in scope for target in node.targets)

"""What kernels of a device allocate besides their results: the one table of differences from the meta device.

Each entry names the source it was read from (paths in the PyTorch and bitsandbytes repositories). Operators that CUDA
takes apart differently are in `composites`; attention is in `attention` and `attention_kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.device.attention_kernels import attention_temporaries
from inspector.simulate.device.bitsandbytes import bitsandbytes_operators, bitsandbytes_operators_on_cpu
from inspector.simulate.device.products import PRODUCTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inspector.simulate.device.questions import Chip, Device

aten = torch.ops.aten

CUBLAS_WORKSPACE_BYTES = (2 * 4096 + 8 * 16) * 1024
"""``:4096:2:16:8``, one for each handle and stream.

Source: aten/src/ATen/cuda/CublasHandlePool.cpp, ``parseChosenWorkspaceSize``. They are kept from the first product on
(torch 2.14 still does, as measured on a T4); sources of August 2026 (pull request 194311) give them back after each.
Products with a bias go through cuBLASLt, which shares them since January 2026 (pull request 168175, torch 2.11) and
took 1 MiB of its own before; that is not counted.
"""

CUBLAS_WORKSPACE_HOPPER_BYTES = 32 * 1024 * 1024
"""The same on Hopper and, since torch 2.12 (pull request 175344), on Blackwell, in the same function."""

# What multiplies through cuBLAS, and so takes its workspace.
GEMMS = frozenset(
    getattr(operator, overload)
    for operator in (aten.mm, aten.addmm, aten.bmm, aten.baddbmm)
    for overload in ("default", "out")
)


@dataclass(slots=True)
class Kernels:
    """A device's kernels, as far as their memory goes.

    ``temporaries`` maps an operator to a function of its result and arguments that lists the bytes of storages which
    live only inside the kernel, phase by phase: those of one phase are gone before the next begins. ``replaced`` maps
    an operator to the Python that the device's library runs for it. ``host`` names the devices whose tensors share the
    memory. ``device`` is the card that is asked what differs from card to card; the CPU has none.
    """

    temporaries: Mapping[Any, Callable[..., list[list[int]]]] = field(default_factory=dict)
    replaced: Mapping[Any, Callable[..., Any]] = field(default_factory=dict)
    gemms: frozenset[Any] = frozenset()
    host: tuple[str, ...] = ()
    device: Device | None = None
    _threads: set[str] = field(default_factory=set)

    def workspace(self, thread: str) -> int:
        """Bytes of the workspace that this thread's BLAS handle takes now; 0 when it has it already."""
        if thread in self._threads or self.device is None:
            return 0
        # A handle is a thread's own (``PoolWindow``), and the backward pass of a card runs on another than the
        # script's.
        self._threads.add(thread)
        return self.device.ask(workspace_bytes)

    @property
    def bf16(self) -> bool:
        """Whether the device computes in bfloat16."""
        return self.device is None or self.device.ask(has_bf16)


def cpu_kernels() -> Kernels:
    """The CPU: no handles, no workspaces; tensors a script keeps on the CPU count too."""
    return Kernels(
        temporaries={
            aten._safe_softmax.default: _safe_softmax,
            aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _attention_backward_on_cpu,
            aten.embedding_dense_backward.default: lambda _out, grad, *_: [_in_rows(grad)],
        },
        replaced={**bitsandbytes_operators_on_cpu(), aten._grouped_mm.default: _grouped_mm},
        host=("cpu",),
    )


def cuda_kernels(device: Device) -> Kernels:
    """The kernels of a CUDA device."""
    return Kernels(
        temporaries={**TEMPORARIES, **attention_temporaries(device)},
        replaced={**bitsandbytes_operators(device), aten._grouped_mm.default: _grouped_mm},
        gemms=GEMMS,
        device=device,
    )


def workspace_bytes(chip: Chip, /) -> int:
    """Bytes of a BLAS handle's workspace."""
    return CUBLAS_WORKSPACE_HOPPER_BYTES if chip.capability >= (9, 0) else CUBLAS_WORKSPACE_BYTES


def has_bf16(chip: Chip, /) -> bool:
    """bfloat16 in hardware (CUDA C++ Programming Guide, "Arithmetic Instructions")."""
    return chip.capability >= (8, 0)


def has_grouped_mm(chip: Chip, /) -> bool:
    """Whether torch has a grouped product for it; before Ampere transformers goes through the experts one by one.

    Source: transformers/integrations/moe.py, ``_can_use_grouped_mm``.
    """
    return chip.capability >= (8, 0)


def _bytes(tensor: torch.Tensor, itemsize: int = 0) -> int:
    return int(tensor.numel()) * (itemsize or int(tensor.element_size()))


def _softmax_backward(_out: object, grad: torch.Tensor, output: torch.Tensor, *_: object) -> list[list[int]]:
    """``Tensor tmp = grad * output`` in aten/src/ATen/native/cuda/SoftMax.cu, ``softmax_backward_cuda_out``."""
    # A softmax from 16 to 32 bits has a gradient and an output of different widths: the product is the wider.
    return [[_bytes(grad, max(grad.element_size(), output.element_size()))]]


def _safe_softmax(_out: object, scores: torch.Tensor, dim: int, *_: object) -> list[list[int]]:
    """Which scores are masked, and which rows have no other: a byte each.

    Source: aten/src/ATen/native/transformers/attention.cpp, ``_safe_softmax``.
    """
    return [[scores.numel(), scores.numel() // scores.size(dim)]]


def _in_rows(grad: torch.Tensor) -> list[int]:
    """A copy of a gradient that does not lie in rows, as that of a relative position's bias (``grad_.contiguous()``).

    Source: aten/src/ATen/native/Embedding.cpp and cuda/Embedding.cu, ``embedding_dense_backward_cpu`` and ``_cuda``.
    """
    return [] if grad.is_contiguous() else [_bytes(grad)]


def _attention_backward_on_cpu(_out: object, grad: torch.Tensor, *_: object, **__: object) -> list[list[int]]:
    """A copy of a gradient whose heads do not lie token by token (``grad_out.contiguous()``).

    Source: aten/src/ATen/native/cpu/FlashAttentionKernel.cpp, ``flash_attention_backward_kernel_impl``.
    """
    return [] if grad.transpose(1, 2).is_contiguous() else [[_bytes(grad)]]


EMBEDDING_WITHOUT_SORT = 3072
"""Up to so many tokens the embedding's gradient is added row by row (``embedding_dense_backward_cuda``)."""

_ROWS_PER_THREAD = 10
"""``NROWS_PER_THREAD`` of EmbeddingBackwardKernel.cu."""


def _embedding_backward(
    _out: object, grad: torch.Tensor, indices: torch.Tensor, rows: int, *_: object
) -> list[list[int]]:
    """Tokens are sorted, and float32 sums of up to ten rows each are kept before they are added up.

    Which tokens repeat is data: the kernel makes room for the most sums there can be. The sort's own scratch memory,
    less than the sums, is not counted. Source: aten/src/ATen/native/cuda/Embedding.cu,
    ``embedding_dense_backward_cuda``, and EmbeddingBackwardKernel.cu, ``embedding_backward_cuda_kernel``.
    """
    tokens, width = int(indices.numel()), grad.size(-1)
    copied = _in_rows(grad)
    if tokens <= EMBEDDING_WITHOUT_SORT:
        return [copied] if copied else []
    segments = min(tokens, rows)
    # The most there can be: whole tens, and one broken ten for every distinct token.
    sums = tokens // _ROWS_PER_THREAD + segments
    index = indices.element_size()
    kept = [*copied, *[tokens * index] * 3]  # sorted tokens, where they were, where each begins
    return [[*kept, segments * index, segments * index, sums * index, sums * width * max(grad.element_size(), 4)]]


def _svd(_out: object, matrix: torch.Tensor, *_: object, **__: object) -> list[list[int]]:
    """A copy by columns, which cuSOLVER overwrites; its workspace beside it only the library itself can say.

    Source: aten/src/ATen/native/cuda/linalg/BatchLinearAlgebraLib.cpp, ``svd_cusolver`` (``cloneBatchedColumnMajor``).
    """
    return [[_bytes(matrix)]]


FOREACH_CHUNK = 65536
"""Elements that one block of a multi-tensor kernel works on (``kChunkSize``, MultiTensorApply.cuh)."""


def _foreach_norm(_out: object, tensors: Sequence[torch.Tensor], *_: object, **__: object) -> list[list[int]]:
    """A float32 for every chunk that the largest tensor has, for every tensor.

    Source: aten/src/ATen/native/cuda/ForeachReduceOp.cu, ``foreach_tensor_norm_cuda`` (``output_per_tensor``).
    """
    chunks = max(-(-tensor.numel() // FOREACH_CHUNK) for tensor in tensors)
    return [[len(tensors) * chunks * max(tensors[0].element_size(), 4)]]


TEMPORARIES: dict[Any, Callable[..., list[list[int]]]] = {
    aten._softmax_backward_data.default: _softmax_backward,
    aten._safe_softmax.default: _safe_softmax,
    aten.embedding_dense_backward.default: _embedding_backward,
    aten._foreach_norm.Scalar: _foreach_norm,
    aten._linalg_svd.default: _svd,
    **PRODUCTS,
}


def _grouped_mm(
    a: torch.Tensor,
    b: torch.Tensor,
    offs: Any = None,
    bias: torch.Tensor | None = None,  # noqa: ARG001
    out_dtype: torch.dtype | None = None,
) -> Any:
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
    # TMA, which loads the tiles, wants rows aligned to 16 bytes.
    step = 16 // dtype.itemsize
    row = -(-size[-1] // step) * step
    strides = (row, 1) if len(size) == 2 else (size[1] * row, row, 1)
    return torch.empty_strided(size, strides, dtype=dtype, device=a.device)

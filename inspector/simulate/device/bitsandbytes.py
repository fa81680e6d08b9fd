"""bitsandbytes' operators as its CUDA backend runs them, where its shape-only kernels hide what they allocate.

Source: bitsandbytes/backends/cuda/ops.py and backends/default/ops.py; every function here names the one it follows.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.libraries import need
from inspector.patched import patched
from inspector.simulate.setup.outliers import outlier_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from inspector.simulate.device.questions import Chip, Device


def bitsandbytes_operators(device: Device) -> dict[Any, Callable[..., Any]]:
    """Python in the place of the operators, in the order CUDA allocates."""
    if find_spec("bitsandbytes") is None:  # a step at 16 bits has none of them
        return {}
    with _compiling_later():
        need("bitsandbytes")  # registers its operators

    ops = torch.ops.bitsandbytes
    return {
        ops.gemm_4bit.default: _gemm_4bit(functools.partial(device.ask, fused_4bit)),
        ops.quantize_4bit.default: quantize_4bit,
        ops.quantize_blockwise.default: quantize_blockwise,
        ops.int8_vectorwise_quant.default: int8_vectorwise_quant,
        ops.int8_scaled_mm.default: int8_scaled_mm,
        ops.int8_mixed_scaled_mm.default: int8_mixed_scaled_mm,
    }


def bitsandbytes_operators_on_cpu() -> dict[Any, Callable[..., Any]]:
    """The 4-bit product on a CPU dequantizes the whole weight; none where the library has not been imported."""
    if "bitsandbytes" not in sys.modules:
        return {}
    return {torch.ops.bitsandbytes.gemm_4bit.default: _gemm_4bit(lambda *_: False)}


def map_apart() -> dict[str, Any]:
    """For `inspector.patched.patched`: a trace begins as a fresh process does, and the library keeps what it had.

    bitsandbytes keeps the code of the double quantization for the process (functional.py, ``name2qmap``): one without
    data would be handed to the next real tensor that is quantized.
    """
    return {"bitsandbytes.functional.name2qmap": {}} if "bitsandbytes" in sys.modules else {}


@contextlib.contextmanager
def _compiling_later() -> Iterator[None]:
    """Let ``torch.compile`` wait for the first call of what it is to compile.

    bitsandbytes compiles its CPU kernels as it is imported, which loads the compiler; a dry run calls none of them.
    """
    compile_now = torch.compile

    def compile_later(function: Callable[..., Any] | None = None, **options: Any) -> Any:
        if function is None:
            return functools.partial(compile_later, **options)
        # Once, at the first call: the kernel is compiled when somebody runs it, and not again.
        compiled = functools.cache(lambda: compile_now(function, **options))
        return functools.wraps(function)(lambda *args, **kwargs: compiled()(*args, **kwargs))  # noqa: PLW0108 -- later

    with patched({"torch.compile": compile_later}):
        yield


def _gemm_4bit(fused: Callable[[Any, int, int, int, int], bool]) -> Callable[..., Any]:
    def gemm_4bit(  # noqa: PLR0913, PLR0917 -- the operator's own signature
        a: torch.Tensor,
        b: torch.Tensor,
        shape: Sequence[int],
        absmax: torch.Tensor,
        blocksize: int,
        quant_type: str,
        bias: torch.Tensor | None = None,
        absmax_8bit: torch.Tensor | None = None,
        absmax_code: torch.Tensor | None = None,
        absmax_offset: torch.Tensor | None = None,
    ) -> Any:
        """``_dequant_linear_fallback``, or the fused kernel, which needs nothing but its result."""
        k, n = a.shape[-1], shape[0]
        if fused(a.dtype, a.numel() // k, n, k, blocksize):
            return torch.empty((*a.shape[:-1], n), dtype=a.dtype, device=a.device)
        ops = torch.ops.bitsandbytes
        if absmax_8bit is not None and absmax_offset is not None:  # they come together
            # 256 is the block size of the second quantization (``compress_statistics``, bitsandbytes/functional.py).
            absmax = ops.dequantize_blockwise.default(absmax_8bit, absmax, absmax_code, 256, torch.float32)
            absmax = absmax + absmax_offset
        weight = ops.dequantize_4bit.default(b, absmax, blocksize, quant_type, shape, a.dtype)
        return torch.nn.functional.linear(a, weight, bias)

    return gemm_4bit


def quantize_4bit(a: torch.Tensor, blocksize: int, quant_type: str, quant_storage: torch.dtype) -> Any:  # noqa: ARG001
    """``bitsandbytes::quantize_4bit`` on CUDA: the constants first, then the packed weight."""
    a = a.contiguous()
    absmax = torch.empty((-(a.numel() // -blocksize),), device=a.device, dtype=torch.float32)
    # Two values of 4 bits in a byte of whatever dtype they are stored as.
    rows = (a.numel() + 1) // (quant_storage.itemsize * 2)
    return torch.empty((rows, 1), device=a.device, dtype=quant_storage), absmax


def quantize_blockwise(a: torch.Tensor, code: torch.Tensor, blocksize: int) -> Any:  # noqa: ARG001
    """``bitsandbytes::quantize_blockwise`` on CUDA."""
    a = a.contiguous()
    absmax = torch.empty((-(a.numel() // -blocksize),), device=a.device, dtype=torch.float32)
    return torch.empty_like(a, dtype=torch.uint8), absmax


def int8_vectorwise_quant(a: torch.Tensor, threshold: float = 0.0) -> Any:
    """``bitsandbytes::int8_vectorwise_quant`` on CUDA; which columns have outliers is data (`outlier_columns`)."""
    rows, columns = a.numel() // a.shape[-1], a.shape[-1]
    stats = torch.empty(rows, device=a.device, dtype=torch.float32)
    out = torch.empty(a.shape, device=a.device, dtype=torch.int8)
    if threshold <= 0.0:
        return out, stats, None
    # Alive until the function returns there, beside what follows.
    outliers = a.abs() >= threshold
    if not (found := outlier_columns(rows, columns)):
        return out, stats, torch.empty(0, device=a.device, dtype=torch.int64)
    outliers.any(dim=0)
    apart = torch.empty(found, device=a.device, dtype=torch.int64)  # argwhere's
    if rows > 1:
        out[:, apart] = 0
    return out, stats, apart


def int8_scaled_mm(
    a: torch.Tensor,
    b: torch.Tensor,
    row_stats: torch.Tensor,
    col_stats: torch.Tensor,
    bias: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Any:
    """``int8_linear_matmul`` to int32, then ``int8_mm_dequant`` to float16, then the dtype asked for."""
    wide = torch.empty((*a.shape[:-1], b.shape[0]), device=a.device, dtype=torch.int32)
    del row_stats, col_stats, bias
    out = torch.empty_like(wide, dtype=torch.float16)
    return out.to(dtype or torch.float16)


def int8_mixed_scaled_mm(
    a: torch.Tensor,
    ca: torch.Tensor,
    cb: torch.Tensor,
    sca: torch.Tensor,
    scb: torch.Tensor,
    outlier_cols: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> Any:
    """``bitsandbytes::int8_mixed_scaled_mm``: columns with outliers are multiplied apart, in the activations' dtype."""
    if outlier_cols is None or not outlier_cols.numel():
        rest = torch.empty(0, device=a.device, dtype=a.dtype)
        return int8_scaled_mm(ca, cb, sca, scb, bias, a.dtype), rest
    apart = a[:, outlier_cols].contiguous()
    # ``int8_vectorwise_dequant``, whose shape-only kernel hides the product before it is scaled.
    whole = cb[:, outlier_cols].contiguous() * scb.view(-1, 1) * (1 / 127)
    weights = whole.to(a.dtype).t()
    del whole
    out = int8_scaled_mm(ca, cb, sca, scb, bias, a.dtype)
    return out.addmm(apart, weights), apart


def fused_4bit(chip: Chip, dtype: torch.dtype, m: int, n: int, k: int, blocksize: int, /) -> bool:
    """Whether bitsandbytes multiplies packed weights directly; it dequantizes the whole weight when it does not.

    Args:
        chip: the library chooses its kernel by the compute capability and by the number of multiprocessors.
        dtype: the activations'.
        m: rows of the activations.
        n: rows of the weight.
        k: its columns.
        blocksize: weights that share a constant.
    """
    heuristic, most = _heuristic(chip)
    return m <= most and k % blocksize == 0 and bool(heuristic(0, dtype, m, n, k))


@functools.cache
def _heuristic(chip: Chip) -> tuple[Callable[..., Any], int]:
    """The library's own choice for a chip, and the most rows it is made for."""
    scope = _bitsandbytes_functions("_gemm_4bit_use_custom_cuda")
    # Instead of asking CUDA for the card's properties: the rest of the choice is the library's code.
    scope["_gpu_dispatch_props"] = lambda _index: (chip.multiprocessors, *chip.capability)
    return scope["_gemm_4bit_use_custom_cuda"], scope["_gemm_4bit_custom_max_m"]


def _bitsandbytes_functions(*names: str) -> dict[str, Any]:
    """Functions and plain constants of bitsandbytes' CUDA file, which cannot be imported without CUDA."""
    scope: dict[str, Any] = {"torch": torch, "functools": functools}
    for node in _bitsandbytes_nodes(*names):
        exec(node, scope)  # noqa: S102
    return scope


@functools.cache
def _bitsandbytes_nodes(*names: str) -> tuple[Any, ...]:
    """The same as code, in the order of the file; read once."""
    spec = importlib.util.find_spec("bitsandbytes")
    assert spec is not None
    assert spec.origin is not None
    # It looks up functions of the CUDA library as it is imported (``_setup_ctypes``): so its text is read.
    source = (Path(spec.origin).parent / "backends" / "cuda" / "ops.py").read_text(encoding="utf-8")
    found: list[Any] = []
    assigned = {"torch", "functools"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            assigned.add(node.name)
            found.append(node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            constants = {target.id for target in node.targets if isinstance(target, ast.Name)}
            # The first branch is CUDA's, a later one ROCm's.
            if len(constants) == len(node.targets) and not constants & assigned:
                assigned |= constants
                found.append(node)
    return tuple(compile(ast.Module([node], []), spec.origin, "exec") for node in found)


def quantization_constants(parameter: torch.Tensor) -> Iterator[Any]:
    """The tensors bitsandbytes keeps beside a quantized weight; neither parameters nor buffers."""
    state = getattr(parameter, "quant_state", None)
    # Double quantization quantizes the constants again: the state of those hangs on the first.
    while state is not None:
        for name in ("absmax", "code", "offset"):
            if isinstance(tensor := getattr(state, name, None), torch.Tensor):
                yield tensor
        state = getattr(state, "state2", None)
    if isinstance(scales := getattr(parameter, "SCB", None), torch.Tensor):
        yield scales

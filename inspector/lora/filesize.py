"""The size of a safetensors file, to the byte, from the names, shapes and dtypes in it.

The format: 8 bytes that give the header's length, a JSON header padded with spaces to a multiple of 8, the data.
Source: https://github.com/huggingface/safetensors#format; the order (widest dtype first, then by name) is that of
``prepare`` in ``safetensors/src/tensor.rs``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from inspector.skeleton import DTYPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inspector.lora.tensor import AdapterTensor

_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip


def safetensors_bytes(tensors: Iterable[AdapterTensor]) -> int:
    """Bytes of the file that ``save_file(tensors, metadata={"format": "pt"})`` writes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in sorted(tensors, key=lambda tensor: (-DTYPE_BYTES[tensor.dtype], tensor.name)):
        end = offset + tensor.nbytes
        header[tensor.name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    # The library is Rust: its JSON has no spaces, and letters beyond ASCII as they are.
    length = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + -(-length // 8) * 8 + offset

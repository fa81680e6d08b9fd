"""The bytes of files that a save writes: by the libraries' own writers, or by the rule of their format.

Sources: safetensors 0.8 (``serialize``: a header of names, dtypes, shapes and offsets, padded to 8 bytes, then the
data); huggingface_hub's own split into shards; torch's own ``torch.save``, told to leave
out the data and keep its room.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.reports.saved import SavedFile

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARD = "50GB"
"""``max_shard_size`` (transformers/modeling_utils.py, 5.23, ``save_pretrained``)."""
_TAGS = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip
_ORDER = ("F64", "I64", "F32", "I32", "F16", "BF16", "I16", "F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL")
"""The widest first, as the format aligns them; of one width it does not matter to the size."""


def tensors_bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    """A file of safetensors with these in it, by their names."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in sorted(tensors, key=lambda name: (_ORDER.index(_TAGS[tensors[name].dtype]), name)):
        tensor = tensors[name]
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _TAGS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, at + size],
        }  # fmt: skip
        at += size
    said = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + -(-said // 8) * 8 + at


def weights_files(tensors: Mapping[str, torch.Tensor], parameters: int) -> tuple[SavedFile, ...]:
    """``model.safetensors``, or its shards and their index."""
    from huggingface_hub import split_torch_state_dict_into_shards

    pattern = "model{suffix}.safetensors"
    split = split_torch_state_dict_into_shards(dict(tensors), filename_pattern=pattern, max_shard_size=SHARD)
    found = [
        SavedFile(name, tensors_bytes({each: tensors[each] for each in names}))
        for name, names in split.filename_to_tensors.items()
    ]
    if split.is_sharded:
        index = {"metadata": {"total_parameters": parameters, **split.metadata}, "weight_map": split.tensor_to_filename}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        found.append(SavedFile("model.safetensors.index.json", len(text.encode())))
    return tuple(found)


def state_bytes(state: object, device: str) -> int:
    """A file of ``torch.save`` with a state in it, called ``optimizer.pt``; tensors on shapes are on a ``device``."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode()

    def told(value: object) -> Any:
        if isinstance(value, torch.Tensor):
            # Numbers that count steps are on the host, and are what they are.
            if value.device.type == "cpu" or device == "cpu":
                return torch.empty(value.shape, dtype=value.dtype)
            with mode:
                return torch.empty(value.shape, dtype=value.dtype, device=device)
        if isinstance(value, dict):
            return {name: told(each) for name, each in value.items()}
        return type(value)(told(each) for each in value) if isinstance(value, (list, tuple)) else value

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "optimizer.pt")
        # A file with holes: it takes no room of its size.
        with torch.serialization.skip_data(materialize_fake_tensors=True):
            torch.save(told(state), place)
        return place.stat().st_size

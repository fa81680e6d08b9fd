"""The card of a dry run that trains: NVIDIA's, or AMD's as far as its rules are the same code.

HIP's caching allocator is CUDA's, translated word by word when PyTorch is built (c10/cuda/CUDACachingAllocator.cpp,
tools/amd_build/build_amd.py); hipBLAS's workspaces and AOTriton's attention are code of their own.
"""

from __future__ import annotations

from dataclasses import replace

from inspector.errors import InspectorError
from inspector.gpus.cards import Gpu, card_of_size, find_gpu
from inspector.gpus.other_makers import find_accelerator

AS_CUDA = (
    "computed with CUDA's kernels, as an A100's: HIP's allocator is the same code, its workspaces and attention "
    "kernels are not, and what its context takes is not known (CUDA's largest is taken)"
)


def training_card(text: str) -> Gpu:
    """A card by its name; of AMD's, one of its size with an A100's abilities, and `Gpu.notes` say so.

    Raises InspectorError for no card, and for one of a maker whose allocator's rules are others.
    """
    try:
        return find_gpu(text)
    except InspectorError:
        other = find_accelerator(text)
        if other is None or other.maker != "AMD":
            raise
    return replace(
        card_of_size(f"{other.label_gb}GiB"), name=other.name, usable_bytes=other.usable_bytes, sources=other.sources,
        label_gb=other.label_gb, unified=other.unified, notes=(*other.notes, f"{other.name}: {AS_CUDA}"),
    )  # fmt: skip

"""Whose a failure is while a real model is built and trained: memory's, another's code or device, or ours."""

from __future__ import annotations

import sys

from inspector.architecture.error_origin import frames, package_of, passes_on, runs_operator

_ANOTHERS = frozenset(
    {"torch", "transformers", "transformers_modules", "peft", "bitsandbytes", "accelerate", "safetensors", "triton"}
)
"""Packages whose code fails for itself here: all of it is real, nothing of it replaced as in a dry run."""

_DEVICE = ("CUDA error", "CUBLAS", "cuBLAS", "CUDNN", "cuDNN", "CUDA driver", "no kernel image")
"""How torch's RuntimeErrors begin to tell of a device (c10/cuda/CUDAException.h, aten/src/ATen/cuda/Exceptions.h)."""


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA says it with a type of its own, Python with another, the CPU allocator only in words."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error)
    # Of c10/core/impl/alloc_cpu.cpp: the second is what Windows says.
    return isinstance(error, RuntimeError) and ("can't allocate memory" in said or "not enough memory" in said)


def is_anothers(error: BaseException) -> bool:
    """Whether a library, the model's code, the device or this machine failed, which is a result; else it is our fault.

    The innermost frame decides that is a library's or ours, so that what we hand to the standard library is ours. An
    operator that ran under `LiveStorages` is decided by who called it.
    """
    if isinstance(error, OSError) or _of_the_device(error):
        return True
    for frame in reversed(list(frames(error))):
        if passes_on(frame) or runs_operator(frame):
            continue
        package = package_of(frame)
        if package in _ANOTHERS:
            return True
        if package == "inspector":
            return False
    return False


def _of_the_device(error: BaseException) -> bool:
    """A kernel's failure comes up at whatever asks the device next, so no frame tells of it."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    own = getattr(torch, "AcceleratorError", None)  # from torch 2.8 on
    return (own is not None and isinstance(error, own)) or any(word in str(error) for word in _DEVICE)

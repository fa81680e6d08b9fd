"""What functions take at most and what they leave: as ``torch.cuda`` counts it, or on a CPU as the profiler saw it."""

import gc
import os
from bisect import bisect_left

import torch

DEVICE = os.environ.get("DEVICE", "cuda")


def warm():
    """So that the first that is measured has not the workspaces of products, one for each thread that makes some."""
    x = torch.ones(2, 2, device=DEVICE, requires_grad=True)
    (x @ x).sum().backward()


def measured(functions):
    """For each function by its name: its name, the bytes at its peak and what is left while its result is held."""
    # What was there before is no piece's: else each collection walks through all that the imports left.
    gc.collect()
    gc.freeze()
    if DEVICE == "cpu":
        yield from on_cpu(functions)
        return
    for name, function in functions.items():
        gc.collect()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        kept = function()
        yield name, torch.cuda.max_memory_allocated() - before, torch.cuda.memory_allocated() - before
        del kept


def on_cpu(functions):
    """In blocks of 512 bytes, as a card hands them out. One profile for all: to begin and end one takes longest."""
    # Not torch.profiler's, which imports a compiler to say how it is set.
    from torch.autograd.profiler import profile, record_function

    with profile(profile_memory=True) as profiled:
        for name, function in functions.items():
            gc.collect()
            with record_function(f"measured {name}"):
                kept = function()
            del kept
    blocks, spans = [], {}
    for event in profiled.kineto_results.events():
        name = event.name()
        # A Python number becomes a tensor of 8 bytes on a CPU, and an argument of a kernel on a card.
        if name == "[memory]" and abs(nbytes := event.nbytes()) != 8:
            blocks.append((event.start_ns(), nbytes))
        elif name.startswith("measured "):
            spans[name] = event.start_ns(), event.start_ns() + event.duration_ns()
    blocks.sort()
    for name in functions:
        begin, end = spans[f"measured {name}"]
        level = peak = 0
        for _, nbytes in blocks[bisect_left(blocks, (begin,)) : bisect_left(blocks, (end + 1,))]:
            size = -(-abs(nbytes) // 512) * 512
            level += size if nbytes > 0 else -size
            peak = max(peak, level)
        yield name, peak, level

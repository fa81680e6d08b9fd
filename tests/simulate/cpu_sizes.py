"""What a real CPU step allocates and frees, and what its trace does: bytes in order, those freed below zero."""

from __future__ import annotations

from torch.profiler import ProfilerActivity, profile

from inspector.simulate.events import Alloc, Free
from inspector.simulate.tracing.on_cpu import trace_on_cpu

WRAPPED_NUMBER = 8
"""Bytes of a Python number that an operator makes a tensor of; a trace of tensors does not see them."""

SMALLEST = 4096
"""Bytes from which every single allocation is compared; below, sorting and counting have scratch memory."""


def profiled_sizes(run):
    """As PyTorch's profiler sees the step."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


def traced_sizes(run, existing, prepare=lambda _: None):
    """As it is traced, with the tensors that are there before; ``prepare`` is given the tracer first."""
    alive, sizes = {}, []
    for event in trace_on_cpu(run, existing, prepare):
        if isinstance(event, Alloc):
            alive[event.block] = event.nbytes
            sizes.append(event.nbytes)
        elif isinstance(event, Free):
            sizes.append(-alive.pop(event.block))
    return sizes


def levels(sizes, above=WRAPPED_NUMBER):
    """Highest and last level, of tensors that are more than a wrapped number."""
    level = peak = 0
    for size in sizes:
        if abs(size) > above:
            level += size
            peak = max(peak, level)
    return peak, level

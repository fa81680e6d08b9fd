"""What a convolution takes while it runs is not known here, and a trace that has one says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.simulate.tracing.tracer import Tracer

NOT_COUNTED = "a convolution's workspace, whose size cuDNN chooses on the card, is not counted"


def note_convolutions(tracer: Tracer) -> None:
    """Say what is missing where a convolution was traced.

    PyTorch allocates what the plan asks for that cuDNN's heuristics prefer, and lets go of it when the kernel is
    queued; no rule says how much that is. Source: aten/src/ATen/native/cudnn/Conv_v8.cpp, ``run_conv_plan``.
    """
    if any("convolution" in source for _bytes, _kind, _module, source in tracer.rows):
        tracer.notes.append(NOT_COUNTED)

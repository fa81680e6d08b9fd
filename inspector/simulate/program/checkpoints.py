"""Activation checkpointing that an error ended."""

from __future__ import annotations

import traceback


def end_checkpoints(error: BaseException) -> None:
    """Take back what ``checkpoint`` had begun in the frames of an error: its hooks for saved tensors, innermost first.

    PyTorch 2.10 has its generator suspended as long as somebody holds the traceback, and so long its thread's next
    backward runs a layer of ours. Source: torch/utils/checkpoint.py, ``checkpoint``, which ends it itself in 2.13.
    """
    for frame in reversed([frame for frame, _ in traceback.walk_tb(error.__traceback__)]):
        place = frame.f_globals.get("__name__"), frame.f_code.co_name
        if place == ("torch.utils.checkpoint", "checkpoint") and (made := frame.f_locals.get("gen")) is not None:
            made.close()

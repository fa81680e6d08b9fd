"""What the numbers of a dry run take for granted, in lines for its page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from inspector.gpus import shared
from inspector.simulate.setup.outliers import assumed_in_words
from inspector.units import gibibytes

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.simulate.setup.objective import ObjectiveSetup
    from inspector.simulate.setup.training import TrainSetup

MICRO_BATCHES = 16
"""Accumulated micro-batches that are traced at the most: more take their time and say nothing more."""


THREADS = "threads that load are as fast as each other: what they leave and reserve changes from run to run"
"""Of `inspector.simulate.program.threads`."""


def few_micro_batches(setup: TrainSetup, most: int) -> TrainSetup:
    """The setup with so many accumulated micro-batches at most, one more where they are odd.

    Each takes and frees what the one before did: allocated peaks are the same, reserved memory may wander by a segment
    of 2 MiB, as a test shows.
    """
    accumulated = setup.loop.grad_accum
    return replace(setup, loop=replace(setup.loop, grad_accum=min(accumulated, most + accumulated % 2)))


def assumptions(setup: TrainSetup, gpu: Gpu, inputs: str = "") -> tuple[str, ...]:
    """What the numbers take for granted; ``inputs`` is a micro-batch in words, where it is not tokens alone."""
    batch = f"every micro-batch is {inputs}" if inputs else f"every sequence has {setup.batch.seq_len:,} tokens"
    said = [
        f"{batch}; one process, one {gpu.name}, nothing else on it",
        "kernels and libraries as in the versions named; "
        + ("loading is sequential, as transformers quantizes" if not setup.load.threads else THREADS),
    ]
    if setup.load.quantization is not None and setup.load.quantization.scheme == "int8":
        said.append(assumed_in_words())
    if setup.loop.grad_accum > (traced := few_micro_batches(setup, MICRO_BATCHES).loop.grad_accum):
        said.append(
            f"of {setup.loop.grad_accum:,} accumulated micro-batches {traced} are simulated: each is as the one before"
        )
    if setup.objective is not None:
        said.append("TRL's own calls in their order (1.16; with --loss full 0.24), without the figures of its log")
    if setup.objective is not None and setup.objective.engine:
        said.append(of_engine(setup.objective))
    if "8bit" in setup.loop.optimizer and setup.loop.optimizer_by == "loop" and setup.adapters is None:
        said.append(
            "a plain loop: its 8-bit optimizer has 8 bits for embeddings too; transformers' Trainer leaves them 32"
            " (--optimizer-by trainer)"
        )
    if setup.loop.optimizer.startswith(("galore_", "apollo_")):
        workspace = "; cuSOLVER's workspace is not counted" if setup.loop.optimizer.startswith("galore_") else ""
        said.append(f"{setup.loop.optimizer} projects the gradients of all linear layers, to rank 128{workspace}")
    if setup.loop.optimizer.startswith("paged"):
        said.append("paged optimizer state is managed memory: it moves to the card when used and is not counted")
    return (*said, *shared(gpu))


def of_engine(setup: ObjectiveSetup) -> str:
    """What is taken for granted of a vLLM in the same process, in a line."""
    held = {name: gibibytes(size) for name, size in setup.engine}
    parts = ", ".join(f"{name} {size}" for name, size in held.items())
    awake = (
        "asleep while the model trains: PyTorch's own counters go on counting what it unmaps"
        if (setup.engine_sleeps)
        else "awake throughout"
    )
    return f"vLLM in the same process ({parts}), {awake}"

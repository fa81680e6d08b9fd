"""One trace a rank: the program of one card, in the wrappers of several, in a world of one process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.architecture.libraries import need
from inspector.architecture.quiet import quiet
from inspector.errors import CannotSimulateError, in_one_line
from inspector.simulate.device.cuda import as_on
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.parallel.collectives import collectives
from inspector.simulate.parallel.context import ContextParallel
from inspector.simulate.parallel.ddp import DataParallel
from inspector.simulate.parallel.distinct import MOST_NAMED, Alike, cuts_of, groups
from inspector.simulate.parallel.experts import ExpertParallel
from inspector.simulate.parallel.fsdp1 import FlatSharded
from inspector.simulate.parallel.fsdp2 import FullyShard
from inspector.simulate.parallel.rank_trace import RankTrace
from inspector.simulate.parallel.rank_tracer import RankTracer
from inspector.simulate.parallel.tensor import TensorParallel
from inspector.simulate.parallel.world import as_rank
from inspector.simulate.parallel.zero import Zero
from inspector.simulate.program import objectives, routing
from inspector.simulate.program.convolutions import note_convolutions
from inspector.simulate.program.inputs import described
from inspector.simulate.program.load import keeps_fp8
from inspector.simulate.program.training import Loop
from inspector.simulate.tracing.answers import answers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspector.simulate.parallel.distinct import Cut
    from inspector.simulate.parallel.spreading import Spread
    from inspector.simulate.setup.parallel import ParallelSetup
    from inspector.simulate.setup.training import TrainSetup

WAYS: dict[str, type[Spread]] = {
    "ddp": DataParallel, "fsdp1": FlatSharded, "fsdp2": FullyShard, "hsdp": FullyShard,
    "zero1": Zero, "zero2": Zero, "zero3": Zero, "tp": TensorParallel, "tp+fsdp2": TensorParallel,
    "ep": ExpertParallel, "ep+fsdp2": ExpertParallel, "cp+fsdp2": ContextParallel,
}  # fmt: skip


ZERO_STEPS = 3
"""Steps until DeepSpeed is steady: the first records which weights are used when, the second is the first that knows
(partitioned_param_coordinator.py)."""

UNUSED = "Expected to have finished reduction in the prior iteration"
"""What DDP says at the second step of a model of which a part took none: the images' part, on text
(torch/csrc/distributed/c10d/reducer.cpp, ``ensure_prior_reduction_finished``)."""

REGATHERED = "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata"
"""What PyTorch says of a frozen weight that stage 3 has let go again when a layer is recomputed without reentrance. TRL
forces ``use_reentrant`` there (trl/trainer/sft_trainer.py: PEFT with ZeRO-3); transformers' Trainer does not."""


def trace_ranks(
    config: Mapping[str, Any],
    setup: TrainSetup,
    parallel: ParallelSetup,
    capability: tuple[int, int],
    multiprocessors: int,
    ranks: Sequence[int],
) -> list[RankTrace]:
    """`trace_rank` of some ranks; what a wrapper refuses raises CannotSimulateError in the library's words."""
    try:
        return [trace_rank(config, setup, parallel, rank, capability, multiprocessors) for rank in ranks]
    except CannotSimulateError as error:
        # Weights are left cut for both, and a product has a part of its columns: four gloo ranks end at the same line.
        both = setup.adapters is not None and parallel.strategy == "tp+fsdp2"
        if not both or not isinstance(error.__cause__, RuntimeError):
            raise
        raise CannotSimulateError(
            f"{parallel.words} refuses PEFT's adapters: {in_one_line(error.__cause__)}",
            hint=f"--parallel tp:{parallel.tp}, or fsdp2, or --method full",
        ) from error
    except ValueError as error:
        if not _refused_by_a_wrapper(error):
            raise
        raise CannotSimulateError(
            f"{parallel.words} refuses: {' '.join(str(error).split())}",
            hint="one unit has one dtype: --wrap trainer, --adapter-dtype auto, --no-prepare-kbit",
        ) from error
    except RuntimeError as error:
        said = " ".join(str(error).split())
        if said.startswith(UNUSED):
            raise CannotSimulateError(
                f"{parallel.words} refuses: {said.partition(' You can enable')[0]}",
                hint="--parallel-option find_unused_parameters=true, as transformers' trainer sets it, or "
                "--parallel-option static_graph=true",
            ) from error
        if said.startswith(REGATHERED) and parallel.strategy == "zero3":
            first = said.removeprefix("torch.utils.checkpoint: ").partition(" tensor at ")[0]
            raise CannotSimulateError(
                f"{parallel.words} refuses: {first}",
                hint="frozen weights are let go before the backward: --reentrant, as TRL has it with adapters, or "
                "--no-gradient-checkpointing",
            ) from error
        # An operator that knows no cut tensors, as bitsandbytes' optimizers (torch/distributed/tensor/_dispatch.py, and
        # _sharding_prop.py since 2.13).
        if "bitsandbytes" not in said or not any(word in said for word in ("DTensor", "sharding strategy")):
            raise
        raise CannotSimulateError(
            f"{parallel.words} refuses {setup.loop.optimizer}: {said}",
            hint="its weights are cut into DTensors: --optimizer adamw_torch, or --parallel fsdp1",
        ) from error


def _refused_by_a_wrapper(error: ValueError) -> bool:
    """Whether PyTorch's or DeepSpeed's own check raised it, and no line of ours or of the model."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    file = Path(last.tb_frame.f_code.co_filename).as_posix() if last is not None else ""
    return "/torch/distributed/" in file or "/deepspeed/" in file


def trace_rank(
    config: Mapping[str, Any],
    setup: TrainSetup,
    parallel: ParallelSetup,
    rank: int,
    capability: tuple[int, int],
    multiprocessors: int,
) -> RankTrace:
    """Everything that loading a model and training it allocates and frees on the card of one rank.

    Args:
        config: content of the model's ``config.json``.
        setup: how it is trained; the batch is a rank's own.
        parallel: over how many cards it is spread, and how.
        rank: whose card, from 0 on.
        capability: the card's compute capability.
        multiprocessors: its number of multiprocessors.

    Raises:
        CannotSimulateError: where the library refuses the model, or a way is not built.
        InspectorError: in a process that is a rank itself.
    """
    way = WAYS.get(parallel.strategy)
    if way is None:
        raise CannotSimulateError(f"{parallel.words} is not simulated yet", hint=f"choose from {', '.join(WAYS)}")
    if parallel.strategy.startswith("zero"):
        need("deepspeed")
        # Its prefetcher has seen all that it looks ahead by only then.
        steps = max(setup.loop.steps, ZERO_STEPS)
        # Trainer leaves precision to the engine, which casts the weights.
        setup, half = replace(setup, loop=replace(setup.loop, steps=steps, autocast="none")), setup.loop.autocast
    else:
        half = "none"
    device = Device(capability, multiprocessors)
    loop = setup.loop
    with quiet():
        tracer = RankTracer(cuda_kernels(device), cards=parallel.world_size // parallel.nodes)
    config = objectives.of_its_class(config, setup.objective)
    tracer.answer = answers(lambda: setup.batch.seq_len, masks=not (setup.batch.packed or setup.batch.padded))
    routing.install(tracer, config, setup.routing, shared_by=parallel.ep)
    on_cpu = setup.load.via_cpu and setup.load.quantization is None
    worst = setup.routing == "worst"
    spread = way(parallel, tracer, loaded_on_cpu=on_cpu, grad_accum=loop.grad_accum, half=half, worst=worst)
    kernels: dict[str, Any] = {
        "sdpa_backend": loop.sdpa_backend, "autocast": loop.autocast, "fp8": keeps_fp8(setup.load),
    }  # fmt: skip
    with (
        as_on(device, tracer.page, **kernels, routing=setup.routing) as autocast,
        as_rank(tracer, rank, parallel.world_size),
        spread.surroundings(),
    ):
        training = Loop(config, setup, tracer, autocast, spread)
        training.run()
        units, replicated = spread.units(), spread.replicated_bytes()
        cuts = cuts_of(training.model.parameters())
    note_convolutions(tracer)
    inputs = "" if training.next_tokens else described(training.inputs)
    if asked := setup.objective:
        inputs = asked.words(setup.batch.size, setup.batch.seq_len, adapted=setup.adapters is not None)
    return RankTrace(
        rank=rank,
        world_size=parallel.world_size,
        events=tracer.events(),
        steps=loop.steps,
        units=units,
        replicated_bytes=replicated,
        collectives=collectives(tracer.messages[loop.steps - 1]),
        streams=tuple(tracer.streams.names),
        host_bytes=tracer.host.most,
        paged_bytes=tracer.paged_bytes,
        notes=tuple(tracer.notes),
        questions=device.questions,
        inputs=inputs,
        cuts=cuts,
    )


def alike(parallel: ParallelSetup, cuts: tuple[Cut, ...]) -> tuple[Alike, ...]:
    """The ranks that have traces of their own, each with those that are as it is, by any rank's `RankTrace.cuts`."""
    world = parallel.world_size
    if parallel.strategy == "zero3" and parallel.zero_init and world > 1:
        # Partitions are padded to one size; the first rank has the checkpoint in its memory besides.
        return Alike(0, 1, (0,)), Alike(1, world - 1, tuple(range(1, world)) if world <= MOST_NAMED else ())
    return groups(() if parallel.strategy.startswith("zero") else cuts, world, ring=parallel.cp)

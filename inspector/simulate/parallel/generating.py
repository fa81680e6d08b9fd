"""One rank of a generation that several cards share layer by layer: the program of one card, its weights cut."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.architecture.quiet import quiet
from inspector.errors import InspectorError
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.parallel.collectives import collectives
from inspector.simulate.parallel.distinct import cuts_of, groups
from inspector.simulate.parallel.experts import ExpertParallel
from inspector.simulate.parallel.rank_tracer import RankTracer
from inspector.simulate.parallel.tensor import TensorParallel
from inspector.simulate.parallel.world import as_rank
from inspector.simulate.program.decoding import traced_generation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transformers import PreTrainedModel

    from inspector.simulate.parallel.distinct import Alike, Cut
    from inspector.simulate.parallel.rank_trace import Collective
    from inspector.simulate.program.decoding import GenerateTrace
    from inspector.simulate.program.stored.loader import Loader
    from inspector.simulate.setup.generation import GenerateSetup
    from inspector.simulate.setup.parallel import ParallelSetup

WAYS: dict[str, type[TensorParallel]] = {"tp": TensorParallel, "ep": ExpertParallel}


@dataclass(frozen=True, slots=True)
class GeneratingRank:
    """One rank's generation; ``sent`` is what its last token sends."""

    rank: int
    trace: GenerateTrace
    sent: tuple[Collective, ...]
    cuts: tuple[Cut, ...]


def trace_generating(
    config: Mapping[str, Any],
    setup: GenerateSetup,
    parallel: ParallelSetup,
    capability: tuple[int, int],
    multiprocessors: int,
) -> tuple[tuple[GeneratingRank, ...], tuple[Alike, ...]]:
    """The ranks that differ, each with those that are as it is; as ``from_pretrained(distributed_config=...)``.

    Raises:
        InspectorError: for a way that no generation is shared by.
        CannotSimulateError: where transformers refuses the model.
    """
    if parallel.strategy not in WAYS:
        raise InspectorError(
            f"--parallel {parallel.words} is for training: a generation is shared by tp:N, or ep:N of experts",
            hint="--parallel tp:2, or --device-map auto for layers in turn",
        )
    asked = (config, setup, parallel, capability, multiprocessors)
    first = _traced(*asked, 0)
    alike = groups(first.cuts, parallel.world_size)
    return (first, *(_traced(*asked, group.first) for group in alike[1:])), alike


def _traced(
    config: Mapping[str, Any], setup: GenerateSetup, parallel: ParallelSetup, capability: tuple[int, int],
    multiprocessors: int, rank: int,
) -> GeneratingRank:  # fmt: skip
    device = Device(capability, multiprocessors)
    with quiet():
        tracer = RankTracer(cuda_kernels(device), cards=parallel.world_size // parallel.nodes)
    spread = WAYS[parallel.strategy](parallel, tracer, worst=setup.routing == "worst")
    found: list[Cut] = []

    def loads(model: PreTrainedModel, loader: Loader | None) -> None:
        spread.loads(model, loader)
        found.extend(cuts_of(model.parameters()))

    @contextmanager
    def among_others() -> Iterator[None]:
        with as_rank(tracer, rank, parallel.world_size), spread.surroundings():
            yield

    trace = traced_generation(config, setup, device, tracer, around=among_others(), loads=loads)
    assert trace is not None  # only a map of several cards is refused
    return GeneratingRank(rank, trace, collectives(tracer.messages[trace.last_step]), tuple(found))

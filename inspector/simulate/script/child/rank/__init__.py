"""A script as one of several ranks: what its launcher tells it, its groups, its streams and its wrappers."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from inspector.simulate.script.job import SAID

if TYPE_CHECKING:
    from pathlib import Path

    from inspector.simulate.script.child.world import World


def as_rank(world: World) -> None:
    """Put what a rank has of its own in its place."""
    from inspector.simulate.script.child.rank import fsdp_states, group, streams, wrappers, zero
    from inspector.simulate.script.child.rank.spread import units_of
    from inspector.simulate.script.child.rank.tracer import RankCardTracer

    tracer = world.tracer
    assert isinstance(tracer, RankCardTracer)
    streams.install(tracer)
    group.install(tracer.exchange)
    wrappers.install(tracer, world.imports)
    fsdp_states.install(world.imports)
    zero.install(world.imports)
    world.stages.at_first_step = lambda root: tracer.units.update(units_of(root))


def told(world: World, folder: Path) -> dict[str, Any]:
    """What is to be known of the rank besides its events; and what it sent is left for those after it."""
    from inspector.simulate.parallel.collectives import collectives
    from inspector.simulate.script.child.rank.tracer import RankCardTracer

    tracer = world.tracer
    assert isinstance(tracer, RankCardTracer)
    tracer.exchange.tell(folder / SAID)
    # The last step has what comes after it, too; of one or two there is no better.
    steady = max(world.stages.step - (2 if world.stages.step > 2 else 1), 0)
    return {
        "sent": [(each.kind, each.nbytes, each.group_size, each.times)
                 for each in collectives(tracer.messages[steady])],
        "units": [astuple(unit) for unit in tracer.units.get("units", ())],
        "replicated_bytes": sum(tracer.units.get("whole", ())),
        "host_bytes": tracer.host_bytes,
        "streams": tracer.streams.names,
    }  # fmt: skip

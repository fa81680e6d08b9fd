"""What the page of a script's ranks says of how they share a model."""

from types import SimpleNamespace

import pytest

from inspector.render.script_ranks import sharing


@pytest.mark.parametrize(
    ("whole", "sent", "said"),
    [
        (8, (), "The weights are sharded"),
        (4, (("all-gather", 2),), "The weights are sharded"),  # half of it in float32, all of it in bfloat16
        (4, (("all-gather", 1),), "There are units, and nothing is cut"),
        (4, (), "There are units, and nothing is cut"),
    ],
)
def test_units_are_sharded_where_they_are_gathered(whole, sent, said):
    unit = SimpleNamespace(whole_bytes=whole, rank_bytes=4)
    collectives = [SimpleNamespace(collective=SimpleNamespace(kind=kind, group_size=size)) for kind, size in sent]
    assert sharing(SimpleNamespace(heaviest=SimpleNamespace(units=[unit]), sent=collectives)).startswith(said)

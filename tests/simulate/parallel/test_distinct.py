"""Which ranks differ, held to PyTorch's own cutting of a tensor."""

from __future__ import annotations

from random import Random

import pytest
import torch

from inspector.simulate.parallel.distinct import MOST_NAMED, Axis, Cut, groups


def chunk(length, parts, place):
    """The length of one of ``torch.chunk``'s parts; those it does not make are empty."""
    made = torch.empty(length, device="meta").chunk(parts)
    return made[place].numel() if place < len(made) and length else 0


@pytest.mark.parametrize("seed", range(8))
def test_ranks_of_a_group_have_the_same_parts_and_those_of_two_have_not(seed):
    drawn = Random(seed)  # noqa: S311
    outer, inner = drawn.randint(1, 6), drawn.randint(1, 4)
    rows, columns = Axis(outer, inner), Axis(inner, 1)
    lengths = [drawn.randint(1, 40) for _ in range(3)]
    cuts = [Cut(lengths[0], (columns, rows)), Cut(lengths[1], (rows,)), Cut(lengths[2], (columns,))]

    def parts(rank):
        row, column = rank // inner, rank % inner
        gathered = chunk(lengths[0], inner, column)
        return gathered, chunk(gathered, outer, row), chunk(lengths[1], outer, row), chunk(lengths[2], inner, column)

    found = groups(cuts, outer * inner)
    assert sorted(rank for group in found for rank in group.ranks) == list(range(outer * inner))
    assert found[0].first == 0
    assert len({parts(group.first) for group in found}) == len(found)
    for group in found:
        assert {parts(rank) for rank in group.ranks} == {parts(group.first)}
        assert (group.count, group.first) == (len(group.ranks), min(group.ranks))


def test_a_world_of_a_million_is_counted_and_not_named():
    world = 1 << 20
    assert world > MOST_NAMED
    found = groups([Cut(1 << 21, (Axis(world, 1),)), Cut(1_500_000, (Axis(world, 1),))], world)
    assert [(group.first, group.count) for group in found] == [(0, 750_000), (750_000, world - 750_000)]
    assert found[0].ranks == ()
    assert [group.count for group in groups((), world)] == [world]

"""Which layers of a model two small ones are made of, so that every role stands beside every other as in the whole.

Layers are told apart by a number for each sort. The first and the last layer of a model and of each sort are edges and
stand for themselves; the layers between are the middle, of which any number is as a few.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Pair = tuple[tuple[int, ...], tuple[int, ...]]

_LONGEST_TURN = 8
"""Sorts of layers that take turns are looked for up to so many."""


def roles_of(sorts: Sequence[int], kinds: Sequence[int], width: int = 1) -> tuple[int, ...]:
    """The role of each layer: its sort, or for an edge a number of its own below 0.

    Args:
        sorts: the sort of each layer, from 0 on.
        kinds: what each layer is, more finely than its sort: the first of a kind may do what the others find done.
        width: how many layers are the edge at each end of the model.
    """
    layers = range(len(sorts))
    firsts = {kind: layer for layer, kind in reversed(list(enumerate(kinds)))}
    lasts = {sort: layer for layer, sort in enumerate(sorts)}
    edges = {*layers[:width], *layers[-width:], *firsts.values(), *lasts.values()}
    return tuple(-1 - layer if layer in edges else sorts[layer] for layer in layers)


def chosen(roles: Sequence[int], kinds: Sequence[int], weights: Sequence[int], least: int) -> Pair | None:
    """The layers of a small model and of one that has some more; None when no smaller model says it.

    Layers are left out in loops, from a layer to before the next of its role: what is then side by side was so before.

    Args:
        roles: of each layer of the whole.
        kinds: what each layer is, more finely than its role: every pair of both is in the larger one.
        weights: layers with the same number have weights of the same shapes, and so add the same to what grows with
            the number of layers. Others are left out only in the proportion in which they take turns.
        least: fewest layers of the smaller one.
    """
    turn = _turn(kinds, weights)
    for most in range(least + 1, len(roles)):
        long = list(range(len(roles)))
        while loop := _loop(long, roles, kinds, weights, turn, most, keep=True):
            del long[loop[0] : loop[1]]
        if loop := _loop(long, roles, kinds, weights, turn, least, keep=False):
            return tuple(long[: loop[0]] + long[loop[1] :]), tuple(long)
    return None


def _loop(
    word: list[int],
    roles: Sequence[int],
    kinds: Sequence[int],
    weights: Sequence[int],
    turn: Counter[int],
    least: int,
    *,
    keep: bool,
) -> tuple[int, int] | None:
    """The longest loop that can be left out and all roles are beside one another as before, ``least`` layers at least.

    Without ``keep`` the shortest one that leaves every role.
    """
    beside = Counter((roles[one], roles[two]) for one, two in pairwise(word))
    among = Counter((roles[at], kinds[at]) for at in word)
    count = Counter(roles[at] for at in word)
    lengths = range(1, len(word) - least + 1)
    for length in reversed(lengths) if keep else lengths:
        for begin in range(len(word) - length):
            cut = word[begin : begin + length]
            if roles[word[begin]] != roles[word[begin + length]] or not _in_proportion(cut, weights, turn):
                continue
            if keep:
                steps = Counter((roles[one], roles[two]) for one, two in pairwise([*cut, word[begin + length]]))
                gone = Counter((roles[at], kinds[at]) for at in cut)
                if _left(beside, steps) and _left(among, gone):
                    return begin, begin + length
            elif _left(count, Counter(roles[at] for at in cut)):
                return begin, begin + length
    return None


def _left(all_of: Counter[Any], some: Counter[Any]) -> bool:
    """Whether something of each is left without some of them."""
    return all(all_of[what] > many for what, many in some.items())


def _turn(kinds: Sequence[int], weights: Sequence[int]) -> Counter[int]:
    """How many layers of which weights are in a turn of those that take turns, or are all alike."""
    count = len(kinds)
    odd = {
        turn: next(at for at in range(count) if kinds[at : count - turn] == kinds[at + turn :])
        for turn in range(1, min(_LONGEST_TURN, count - 1) + 1)
    }
    # Fewest odd layers first, then the shortest turn: a turn of four is also one of eight.
    begin, turn = min((odd[turn], turn) for turn in odd)
    return Counter(weights[begin : begin + turn])


def _in_proportion(cut: Sequence[int], weights: Sequence[int], turn: Counter[int]) -> bool:
    """Whether the cut has as many layers of each weight as some turns."""
    found = Counter(weights[layer] for layer in cut)
    return all(found[weight] * turn.total() == turn[weight] * len(cut) for weight in {*found, *turn})

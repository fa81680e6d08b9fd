"""What every layer of a model does in a trace, learned from two small models, and the whole model's trace made of it.

A layer has a role: one of those in the middle, which are alike, of a sort, or an edge (the first, the last, the first
or last of its sort), which stands for itself. All that a role does must be the same wherever it occurs in the two
small traces. When a block is freed is said relative to the layer that allocated it, or by the edge it happens at; where
both are true of the small models they must say the same of the whole.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from inspector.simulate.events import Alloc, Event, Free

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from inspector.simulate.repeated_layers.normal_form import ByLayers, Part, Place, Stretch

    Roles = Sequence[int]
    """The role of each layer: a number from 0 on for a sort of layers in the middle, one below 0 for an edge."""


class NoPatternError(Exception):
    """The small models do not say what the whole does."""


@dataclass(frozen=True, slots=True)
class Small:
    """A small model: its trace, and the role of each of its layers."""

    trace: ByLayers
    roles: Roles


@dataclass(frozen=True, slots=True)
class _Death:
    """When blocks are freed: in which part, at which layer (several ways to say the same), after which event there."""

    part: int
    ways: frozenset[tuple[str, int]]
    at: dict[int | None, int]
    """The event, by the role of the layer; None for what has no layer."""


class _Row(NamedTuple):
    """An event of a role: ``start`` bytes, and ``growth`` for every layer that the model has more."""

    name: Any
    start: int
    growth: int
    death: _Death | None


def whole_events(short: Small, long: Small, roles: Roles) -> tuple[Event, ...]:
    """The events of the model whose layers have these roles.

    Args:
        short: a small model.
        long: another one, with more layers.
        roles: of each layer of the whole model; all are roles of the small ones, too.

    Raises NoPatternError when the two do not say.
    """
    return tuple(_Whole(short, long, roles).events())


def alike(small: Small) -> bool:
    """Whether all layers but the first and the last allocate the same in every sweep of one trace."""
    between = range(1, len(small.roles) - 1)
    for part in small.trace.parts:
        stretches = [part.stretches[layer] for layer in between if layer in part.stretches]
        if any((each.names, each.sizes) != (stretches[0].names, stretches[0].sizes) for each in stretches):
            return False
    return True


class _Whole:
    """The whole model's trace, from the rules that hold in both small ones."""

    def __init__(self, short: Small, long: Small, roles: Roles) -> None:
        self._small = short, long
        self._roles = roles
        self._edges = {role: layer for layer, role in enumerate(roles) if role < 0}
        if len(short.trace.parts) != len(long.trace.parts):
            raise NoPatternError
        if not set(roles) <= {*short.roles, *long.roles}:
            raise NoPatternError
        self._steps: list[int] = []
        self._rows: list[dict[int | None, list[_Row]]] = []
        for pair in zip(short.trace.parts, long.trace.parts, strict=True):
            self._steps.append(self._step(pair))
            self._rows.append(self._learned(pair))

    def _step(self, pair: tuple[Part, Part]) -> int:
        one, other = pair[0].step, pair[1].step
        if one and other and one != other:
            raise NoPatternError
        return one or other or 1

    def _learned(self, pair: tuple[Part, Part]) -> dict[int | None, list[_Row]]:
        """The rows of every role in a part of the trace."""
        samples: dict[int | None, list[tuple[Small, Stretch]]] = {}
        for small, part in zip(self._small, pair, strict=True):
            for layer, stretch in part.stretches.items():
                samples.setdefault(None if layer is None else small.roles[layer], []).append((small, stretch))
        for small, part in zip(self._small, pair, strict=True):
            # A role takes part in a sweep always or never.
            if (None in samples) != (None in part.stretches):
                raise NoPatternError
            if any(role in samples and layer not in part.stretches for layer, role in enumerate(small.roles)):
                raise NoPatternError
        found = {role: self._row_list(each) for role, each in samples.items()}
        seen_once = {role for role, each in samples.items() if len({id(small) for small, _ in each}) == 1}
        known = {
            (row.name, row.start)
            for role, rows in found.items()
            for row in rows
            if role not in seen_once and not row.growth
        }
        for role in seen_once:
            # What is of no layer may depend on their number: it is known to be the same from another role.
            if any(not _is_of_its_layer(row) and (row.name, row.start) not in known for row in found[role]):
                raise NoPatternError
        return _settled(found)

    def _row_list(self, samples: list[tuple[Small, Stretch]]) -> list[_Row]:
        names = samples[0][1].names
        if any(stretch.names != names for _, stretch in samples):
            raise NoPatternError
        return [
            _Row(
                name,
                *self._size([(small, stretch.sizes[at]) for small, stretch in samples]),
                self._death([(small, stretch.layer, stretch.deaths[at]) for small, stretch in samples]),
            )
            for at, name in enumerate(names)
        ]

    def _size(self, sizes: list[tuple[Small, int]]) -> tuple[int, int]:
        """Bytes in the longer model, and by how many they grow with a layer."""
        found = {id(small): size for small, size in sizes}
        if any(found[id(small)] != size for small, size in sizes):
            raise NoPatternError
        if len(set(found.values())) == 1:  # also where only one of the two has this role
            return sizes[0][1], 0
        short, long = self._small
        growth, left = divmod(found[id(long)] - found[id(short)], len(long.roles) - len(short.roles))
        if left:
            raise NoPatternError
        return found[id(long)], growth

    def _death(self, samples: list[tuple[Small, int | None, Place | None]]) -> _Death | None:
        if all(death is None for _, _, death in samples):
            return None
        part: int | None = None
        ways: set[tuple[str, int]] | None = None
        at: dict[int | None, int] = {}
        for small, own, death in samples:
            if death is None or part not in {None, death[0]}:
                raise NoPatternError
            part, layer, event = death
            role = None if layer is None else small.roles[layer]
            if at.setdefault(role, event) != event:
                raise NoPatternError
            here: set[tuple[str, int]] = set()
            if layer is not None and role is not None:
                if role < 0:
                    here.add(("edge", role))
                if own is not None:
                    here.add(("from here", layer - own))
            ways = here if ways is None else ways & here
            # In the middle of the model nothing is said but from a layer's own place.
            if not ways and role is not None:
                raise NoPatternError
        if part is None or (None in at and len(at) > 1):
            raise NoPatternError
        return _Death(part, frozenset(ways or ()), at)

    def events(self) -> Iterator[Event]:
        """All of them, frees of one moment in the order of their blocks."""
        stretches, begins = self._laid_out()
        extra = len(self._roles) - len(self._small[1].roles)
        freed: defaultdict[int, list[int]] = defaultdict(list)
        others: list[Event] = []
        born = 0
        for layer, rows in stretches:
            for name, start, growth, death in rows:
                if not isinstance(name, tuple):
                    others.append(name)
                    continue
                if death is not None:
                    end = self._end(death, layer, begins)
                    if end < len(others):
                        raise NoPatternError
                    freed[end].append(born)
                kind, before, numbered, after, source = name
                others.append(
                    Alloc(born, start + growth * extra, kind, f"{before}{layer}{after}" if numbered else before, source)
                )
                born += 1
        for number, event in enumerate(others):
            yield event
            if number in freed:
                yield from map(Free, freed[number])

    def _laid_out(self) -> tuple[list[tuple[int | None, list[_Row]]], dict[tuple[int, int | None], int]]:
        """Each layer's stretch in each part, in order, and how many events other than frees come before it."""
        stretches: list[tuple[int | None, list[_Row]]] = []
        begins: dict[tuple[int, int | None], int] = {}
        count = 0
        for number, (rows, step) in enumerate(zip(self._rows, self._steps, strict=True)):
            layers: Iterable[int | None] = [None] if None in rows else range(len(self._roles))[::step]
            for layer in layers:
                role = None if layer is None else self._roles[layer]
                if role in rows:
                    stretches.append((layer, rows[role]))
                    begins[number, layer] = count
                    count += len(rows[role])
        return stretches, begins

    def _end(self, death: _Death, own: int | None, begins: dict[tuple[int, int | None], int]) -> int:
        """The number of the event after which it happens, of all but frees."""
        if not death.ways:
            return begins[death.part, None] + death.at[None]
        layer = None
        for way, value in death.ways:
            said = self._edges[value] if way == "edge" else (own or 0) + value
            # Two ways that agree in the small models, and here do not.
            if layer not in {None, said}:
                raise NoPatternError
            layer = said
        begin = begins.get((death.part, layer))
        event = None if begin is None or layer is None else death.at.get(self._roles[layer])
        if begin is None or event is None:
            raise NoPatternError
        return begin + event


def _settled(rows: dict[int | None, list[_Row]]) -> dict[int | None, list[_Row]]:
    """The rows of a part, the ways of few layers narrowed down to those in which another sort does the same thing."""
    certain: dict[Any, set[tuple[str, int]]] = {}
    for role, some in rows.items():
        for row in some:
            if role is not None and role >= 0 and row.death is not None and len(row.death.ways) == 1:
                certain.setdefault((row.name, row.death.part), set()).update(row.death.ways)

    def narrowed(row: _Row) -> _Row:
        if row.death is None or len(row.death.ways) < 2:
            return row
        ways = row.death.ways & certain.get((row.name, row.death.part), set())
        return row._replace(death=replace(row.death, ways=ways)) if ways else row

    return {role: [narrowed(row) for row in some] if role is None or role >= 0 else some for role, some in rows.items()}


def _is_of_its_layer(row: _Row) -> bool:
    """Whether the layer that it belongs to is named in an event."""
    return isinstance(row.name, tuple) and bool(row.name[2])

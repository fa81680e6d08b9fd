"""vLLM's cache blocks: groups of alike layers, pages, what one request needs, and what bytes then hold.

Source: vLLM v1/core/kv_cache_utils.py and v1/kv_cache_interface.py (commit 001cabc).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["full", "window", "chunked", "state"]


@dataclass(frozen=True, slots=True)
class Spec:
    """What layers of one sort ask of the block manager: a page of ``block`` tokens takes ``page`` bytes a layer.

    ``window`` is the window or the chunk; a state's ``held`` blocks are those one request keeps, 0 for all of its
    length (mode ``all``).
    """

    kind: Kind
    block: int
    page: int
    window: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Groups of layers that share one pool of blocks. ``groups`` names the spec of each; ``size`` layers in each."""

    groups: tuple[Spec, ...]
    size: int
    block_bytes: int
    padding_layers: int = 0

    @property
    def block(self) -> int:
        """Tokens of a block of the attention."""
        return max((group.block for group in self.groups if group.kind != "state"), default=self.groups[0].block)

    def blocks(self, available: int) -> int:
        """Blocks in so many bytes."""
        return max(available, 0) // self.block_bytes

    def request_blocks(self, length: int, in_flight: int, width: int = 1) -> int:
        """Blocks that one request of the longest length keeps at most; ``width`` ranks share the context."""
        return sum(_needed(group, -(-length // width), in_flight) for group in self.groups)

    def request_bytes(self, length: int, in_flight: int, width: int = 1) -> int:
        """Bytes that one request of the longest length needs."""
        return self.request_blocks(length, in_flight, width) * self.block_bytes

    def longest(self, available: int, in_flight: int, most: int, width: int = 1) -> int:
        """The largest length of which one request fits, 0 for none (``estimate_max_model_len``)."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            if self.request_bytes(middle, in_flight, width) <= available:
                low = middle
            else:
                high = middle - 1
        return low


def plan(specs: Sequence[Spec], stages: Sequence[int] = ()) -> Plan:
    """The groups of a model's layers, and a block's bytes on the pipeline stage where it takes the most.

    Groups are of the whole model, and each stage holds its layers of them (``_project_kv_cache_groups_to_worker``).

    Args:
        specs: one a layer that keeps something, in order.
        stages: the stage of each; all on one when left out.

    Raises:
        InspectorError: where pages of different sizes have no common one, as vLLM does.
    """
    if not specs:
        raise InspectorError("no layer of this model keeps a cache", hint="an engine for decoders serves it not")
    specs, stages = _of_one_page(specs), stages or (0,) * len(specs)
    counts = Counter(specs)
    if len(counts) == 1 or len({(spec.kind, spec.window, spec.block) for spec in counts}) == 1:
        # Of one kind: one group, whose page is the sum of all layers', also where their widths differ.
        pages: Counter[int] = Counter()
        for spec, stage in zip(specs, stages, strict=True):
            pages[stage] += spec.page
        return Plan((replace(specs[0], page=0),), len(specs), max(pages.values()))
    sizes = counts.values()
    least, most = min(sizes), max(sizes)
    # A class a little larger than the smallest, as a draft layer makes it, does not open groups of one layer.
    size = most if most < least * 1.5 else least
    groups = tuple(spec for spec, count in counts.items() for _ in range(-(-count // size)))
    padding = sum(-(-count // size) * size - count for count in sizes)
    return Plan(groups, size, _most_together(specs, stages, counts, size) * max(spec.page for spec in specs), padding)


def _most_together(specs: Sequence[Spec], stages: Sequence[int], counts: Counter[Spec], size: int) -> int:
    """The most layers that a group has on one stage: every n-th layer of a sort goes to the same of its n groups."""
    if len(set(stages)) == 1:
        return size
    seen: Counter[Spec] = Counter()
    together: Counter[tuple[Spec, int, int]] = Counter()
    for spec, stage in zip(specs, stages, strict=True):
        together[spec, seen[spec] % -(-counts[spec] // size), stage] += 1
        seen[spec] += 1
    return max(together.values())


def _of_one_page(specs: Sequence[Spec]) -> list[Spec]:
    """Specs of one page size: the block of the smaller page is made longer (``unify_kv_cache_spec_page_size``)."""
    kinds = {(spec.kind, spec.window, spec.block) for spec in specs}
    if len(kinds) == 1:
        return list(specs)
    largest = max(spec.page for spec in specs)
    made = []
    for spec in specs:
        times, left = divmod(largest, spec.page)
        if left:
            raise InspectorError(
                "the page size of the layer is not divisible by the maximum page size: vLLM cannot unify them",
                hint="--disable-hybrid-kv-cache-manager keeps every window layer whole",
            )
        made.append(replace(spec, block=spec.block * times, page=largest) if times > 1 else spec)
    return made


def _needed(spec: Spec, length: int, in_flight: int) -> int:
    if spec.kind == "full":
        return -(-length // spec.block)
    if spec.kind == "window":
        # One more, as the window's first block may be begun in its middle.
        return -(-min(spec.window - 1 + in_flight, length) // spec.block) + 1
    if spec.kind == "chunked":
        return -(-min(spec.window + in_flight, length) // spec.block)
    return spec.held or -(-length // spec.block)

"""The skeleton as a person wants to read it: a tree in which identical layers are one line."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar

from inspector.reporting import TableReport
from inspector.skeleton import in_tower
from inspector.skeleton.identical_layers import Entry, Run, fold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.skeleton import Skeleton, Tensor
    from inspector.skeleton.identical_layers import Block


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One line of the listing.

    ``path`` is the full path (of the first layer, inside a run); ``name`` is what to show at ``depth``. ``is_layer``
    marks the line of a layer, or of a run of them, itself; ``same_as`` names an earlier run of the same layers, whose
    contents are not repeated; ``span`` says which layers a line stands for. ``parameters`` counts the whole subtree of
    one such module, tied tensors not at all; ``count`` is how many of it there are, so that ``parameters * count``
    adds up. ``tied_to`` names the tensor a module's weight is shared with.
    """

    path: str
    name: str
    cls: str
    part: str
    depth: int
    shapes: tuple[tuple[int, ...], ...]
    parameters: int
    active_parameters: int
    count: int = 1
    tied_to: str | None = None
    is_layer: bool = False
    same_as: str = ""
    span: str = ""

    @property
    def full_name(self) -> str:
        """The path with the layers it stands for: ``model.layers.0-31.mlp.up_proj``."""
        # Once: the first number is the layer's, later ones are parts inside it, such as experts.
        return re.sub(r"\.\d+(?=\.|$)", f".{self.span}", self.path, count=1) if self.span else self.path

    @property
    def total_parameters(self) -> int:
        """Parameters of all ``count`` copies."""
        return self.parameters * self.count


@dataclass(frozen=True)
class LayersReport(TableReport):
    """A model's modules in order. Rows one level deeper, times their ``count``, add up to the row above them."""

    kind: ClassVar[str] = "layers"

    model: str
    architecture: str
    source: str
    num_parameters: int
    num_active_parameters: int
    buffer_elements: int
    tied: tuple[tuple[str, str], ...]
    runs: tuple[Run, ...]
    rows: tuple[LayerRow, ...]
    assumptions: tuple[str, ...]

    @property
    def decoder_runs(self) -> tuple[Run, ...]:
        """Runs of the language model's layers; towers for images and sound are left out."""
        return tuple(run for run in self.runs if not in_tower(run.stack))


def layers(
    skeleton: Skeleton, *, expand: bool = False, depth: int | None = None, pattern: str | None = None
) -> LayersReport:
    """The listing of a model.

    Args:
        skeleton: the model.
        expand: show every layer instead of runs of identical ones.
        depth: deepest level to show; 1 shows the top-level modules only.
        pattern: show only modules whose path, or whose ending, matches this glob; ``*`` crosses dots.
    """
    rows = tuple(row for row in _rows(skeleton, expand=expand) if depth is None or row.depth < depth)
    if pattern is not None:
        # Out of its tree, a line needs its whole path: `model.layers.0-31.mlp.up_proj`.
        rows = tuple(replace(row, name=row.full_name, depth=0) for row in rows if _matches(row, pattern))
    return LayersReport(
        model=skeleton.model_id,
        architecture=skeleton.architecture,
        source=skeleton.source,
        num_parameters=skeleton.num_parameters,
        num_active_parameters=skeleton.num_active_parameters,
        buffer_elements=sum(tensor.numel for tensor in skeleton.own_tensors if not tensor.is_parameter),
        tied=tuple((tensor.name, tensor.tied_to) for tensor in skeleton.tensors if tensor.tied_to),
        runs=tuple(item for item in fold(skeleton) if isinstance(item, Run)),
        rows=rows,
        assumptions=_assumptions(skeleton),
    )


class _Counts:
    """Parameters of every subtree, summed once."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.total: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        for tensor in skeleton.parameters:
            active = skeleton.active_parameters(tensor)
            # From each tensor up: from each line down, a large model's tensors would be gone through once a line.
            for path in _with_parents(tensor.owner):
                self.total[path] += tensor.numel
                self.active[path] += active


def _with_parents(path: str) -> Iterator[str]:
    """A path and every path above it, down to the model itself (``''``)."""
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def _rows(skeleton: Skeleton, *, expand: bool) -> Iterator[LayerRow]:
    counts = _Counts(skeleton)
    seen: dict[Block, str] = {}
    for item in fold(skeleton):
        if isinstance(item, Entry):
            if item.module.path:  # the model itself is the report's heading
                yield _row(item, counts)
            continue
        for run in _singles(item) if expand else (item,):
            # Who asked for every layer is not sent back to an earlier one.
            same_as = "" if expand else seen.get(run.block, "")
            seen.setdefault(run.block, run.span)
            head, *inside = run.block.at(f"{run.stack}.{run.first}")
            line = replace(_row(head, counts, count=run.count), span=run.span)
            yield replace(line, name=run.label, is_layer=True, same_as=same_as)
            if not same_as:
                yield from (replace(_row(entry, counts, count=run.count), span=run.span) for entry in inside)


def _singles(run: Run) -> Iterator[Run]:
    """The layers of a run, one by one."""
    return (Run(run.stack, index, 1, run.block) for index in range(run.first, run.first + run.count))


def _row(entry: Entry, counts: _Counts, *, count: int = 1) -> LayerRow:
    module, tensors = entry.module, [tensor for tensor in entry.tensors if tensor.is_parameter]
    return LayerRow(
        path=module.path,
        name=module.path.rpartition(".")[2],
        cls=module.cls,
        part=module.part,
        depth=module.path.count("."),
        shapes=tuple(tensor.shape for tensor in tensors),
        parameters=counts.total[module.path],
        active_parameters=counts.active[module.path],
        count=count,
        tied_to=_tied(tensors),
    )


def _tied(tensors: list[Tensor]) -> str | None:
    return next((tensor.tied_to for tensor in tensors if tensor.tied_to), None)


def _matches(row: LayerRow, pattern: str) -> bool:
    # Not fnmatch, which ignores case on Windows: a pattern would find other modules there.
    return fnmatchcase(row.path, pattern) or fnmatchcase(row.path, f"*.{pattern}")


def _assumptions(skeleton: Skeleton) -> tuple[str, ...]:
    said = ["parameters are logical: what the architecture has, whatever the checkpoint stores"]
    if skeleton.num_active_parameters != skeleton.num_parameters:
        facts = skeleton.facts
        routed = f"{facts.experts_per_token} of {facts.num_experts}"
        said.append(f"active: all but the routed experts, of which a token uses {routed}")
    return (*said, *skeleton.notes)

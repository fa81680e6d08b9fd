"""Weight memory of a skeleton under a scheme: from the naive figure to the true bytes, with every step named."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from inspector.precision.as_published import NAME as PUBLISHED
from inspector.precision.stored import NAME as STORED
from inspector.skeleton.identical_layers import Run, fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inspector.precision import Piece, Scheme
    from inspector.skeleton import Module, Part, Skeleton, Tensor

Grouping = Literal["module", "layer", "kind", "component"]

_WHY_UNQUANTIZED = {
    "embedding": "the embedding", "head": "the output head", "norm": "norms", "expert": "fused experts",
    "attention": "attention's other tensors", "mlp": "the MLP's other tensors", "other": "other tensors",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor as a scheme stores it. A tied tensor is not here: it has no storage of its own."""

    tensor: Tensor
    module: Module
    quantized: bool
    pieces: tuple[Piece, ...]

    @property
    def weight_bytes(self) -> int:
        """Bytes of the values themselves."""
        return sum(piece.nbytes for piece in self.pieces if piece.role == "weight")

    @property
    def footprint_bytes(self) -> int:
        """Bytes that ``get_memory_footprint()`` counts."""
        return sum(piece.nbytes for piece in self.pieces if piece.in_footprint)

    @property
    def tensor_bytes(self) -> int:
        """Every byte, with the quantization constants."""
        return sum(piece.nbytes for piece in self.pieces)

    @property
    def allocated_bytes(self) -> int:
        """Bytes the CUDA allocator holds: every storage in blocks of 512."""
        return sum(piece.allocated_bytes for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the waterfall: a cause and the bytes it adds (or saves, below zero)."""

    cause: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Group:
    """A share of the model: its parameters and what they take."""

    name: str
    parameters: int
    quantized_parameters: int
    footprint_bytes: int
    tensor_bytes: int
    allocated_bytes: int


@dataclass(frozen=True)
class WeightsReport:
    """What the weights of one model take under one scheme. All sizes in bytes.

    ``naive_bytes`` is parameters times bits; ``footprint_bytes`` what ``get_memory_footprint()`` prints;
    ``tensor_bytes`` every byte with the constants; ``allocated_bytes`` what the CUDA allocator holds after loading.
    ``steps`` lead from the first to the last but one, ``rounding_bytes`` from there to the last.
    """

    model: str
    scheme: str
    title: str
    bits: int
    parameters: int
    quantized_parameters: int
    naive_bytes: int
    footprint_bytes: int
    tensor_bytes: int
    allocated_bytes: int
    footprint_steps: tuple[Step, ...]
    constant_steps: tuple[Step, ...]
    assumptions: tuple[str, ...]

    @property
    def coverage(self) -> float:
        """Share of the parameters stored at the scheme's bits, 0 to 1."""
        return self.quantized_parameters / self.parameters if self.parameters else 0.0

    @property
    def steps(self) -> tuple[Step, ...]:
        """The waterfall from ``naive_bytes`` to ``tensor_bytes``; it adds up exactly."""
        return self.footprint_steps + self.constant_steps

    @property
    def rounding_bytes(self) -> int:
        """What the allocator adds to ``tensor_bytes``."""
        return self.allocated_bytes - self.tensor_bytes

    @property
    def bits_per_parameter(self) -> float:
        """True bytes in bits, a parameter."""
        return 8 * self.tensor_bytes / self.parameters if self.parameters else 0.0


def stored_tensors(skeleton: Skeleton, scheme: Scheme) -> tuple[StoredTensor, ...]:
    """Every tensor with storage of its own, as the scheme stores it, in the model's order."""
    rows = []
    # Once for all tensors: GGUF's types depend on where in the whole model a tensor is.
    scheme = scheme.for_model(skeleton)
    for tensor in skeleton.own_tensors:
        module = skeleton.module_of(tensor)
        rows.append(StoredTensor(tensor, module, scheme.quantizes(module, tensor), scheme.pieces(module, tensor)))
    return tuple(rows)


def weights(skeleton: Skeleton, scheme: Scheme) -> WeightsReport:
    """What a model's weights take under a scheme."""
    rows = stored_tensors(skeleton, scheme)
    parameters = skeleton.num_parameters
    naive = scheme.naive_bytes(parameters)
    footprint = sum(row.footprint_bytes for row in rows)
    shared = sum(piece.allocated_bytes for piece in scheme.shared())
    return WeightsReport(
        model=skeleton.model_id,
        scheme=scheme.name,
        title=scheme.title,
        bits=scheme.bits,
        parameters=parameters,
        quantized_parameters=sum(row.tensor.numel for row in rows if row.quantized and row.tensor.is_parameter),
        naive_bytes=naive,
        footprint_bytes=footprint,
        tensor_bytes=sum(row.tensor_bytes for row in rows),
        # Here alone: what a library keeps for itself is no tensor of the model.
        allocated_bytes=sum(row.allocated_bytes for row in rows) + shared,
        footprint_steps=_footprint_steps(rows, scheme, footprint - naive),
        constant_steps=_constant_steps(rows),
        assumptions=_assumptions(skeleton, scheme),
    )


def grouped(skeleton: Skeleton, scheme: Scheme, by: Grouping) -> tuple[Group, ...]:
    """The same bytes by module, by decoder layer, by kind of part or by component, in the model's order; they add up.

    A component is what the model holds at its top: the UNet, the VAE and the text encoders of a diffusers pipeline.
    The allocator's shared constants belong to no part and are left out.
    """
    key = _keys(skeleton, by)
    groups: dict[str, list[StoredTensor]] = {}
    for row in stored_tensors(skeleton, scheme):
        groups.setdefault(key(row), []).append(row)
    return tuple(_group(name, rows) for name, rows in groups.items())


def _keys(skeleton: Skeleton, by: Grouping) -> Callable[[StoredTensor], str]:
    if by == "kind":
        return lambda row: row.module.part if row.tensor.is_parameter else "buffers"
    if by == "component":
        return lambda row: row.module.path.partition(".")[0]
    if by == "module":
        return lambda row: row.module.path
    labels = {
        layer: f"{item.stack}.{item.label}"
        for item in fold(skeleton)
        if isinstance(item, Run)
        for layer in item.layers()
    }
    # One label for a run, as in the listing: 80 equal layers are one line.
    return lambda row: labels[row.module.layer] if row.module.layer else row.module.path


def _group(name: str, rows: Iterable[StoredTensor]) -> Group:
    rows = tuple(rows)
    return Group(
        name=name,
        parameters=sum(row.tensor.numel for row in rows if row.tensor.is_parameter),
        quantized_parameters=sum(row.tensor.numel for row in rows if row.quantized and row.tensor.is_parameter),
        footprint_bytes=sum(row.footprint_bytes for row in rows),
        tensor_bytes=sum(row.tensor_bytes for row in rows),
        allocated_bytes=sum(row.allocated_bytes for row in rows),
    )


def _footprint_steps(rows: Iterable[StoredTensor], scheme: Scheme, difference: int) -> tuple[Step, ...]:
    """Why the footprint is not the naive figure: parts that keep more bits, scales, buffers, and what is left over."""
    # By dtype as well: what is pinned to float32 stands in one part with what follows the scheme.
    unquantized: Counter[tuple[Part, str]] = Counter()
    scales = buffers = 0
    for row in rows:
        if not row.tensor.is_parameter:
            buffers += row.footprint_bytes
        elif not row.quantized:
            unquantized[row.module.part, row.pieces[0].dtype] += (
                row.footprint_bytes * 8 - row.tensor.numel * scheme.bits
            )
        else:
            scales += row.footprint_bytes - row.weight_bytes
    # In bits until here: rounded tensor by tensor, 4-bit shares of odd sizes would not add up.
    steps = [
        Step(f"{_WHY_UNQUANTIZED[part]} in {dtype}", bits // 8) for (part, dtype), bits in unquantized.items() if bits
    ]
    steps += [Step("scales", scales), Step("buffers", buffers)]
    # Last, as it is what the others leave over: so the steps add up exactly.
    steps.append(Step("packing to whole bytes", difference - sum(step.nbytes for step in steps)))
    return tuple(step for step in steps if step.nbytes)


def _constant_steps(rows: Iterable[StoredTensor]) -> tuple[Step, ...]:
    """The constants the footprint does not see, by their name in the library."""
    constants: Counter[str] = Counter()
    for row in rows:
        for piece in row.pieces:
            if not piece.in_footprint:
                constants[f"{piece.role} ({piece.dtype})"] += piece.nbytes
    return tuple(Step(cause, nbytes) for cause, nbytes in constants.items())


def _assumptions(skeleton: Skeleton, scheme: Scheme) -> tuple[str, ...]:
    said = [f"{scheme.title} ({scheme.source})", "weights and buffers only: no activations, gradients or CUDA context"]
    if any(tensor.tied_to for tensor in skeleton.tensors):
        said.append("tied weights are counted once")
    notes = skeleton.notes_on_files if scheme.name in {PUBLISHED, STORED} else skeleton.notes
    return (*said, *scheme.said_of(skeleton), *notes)

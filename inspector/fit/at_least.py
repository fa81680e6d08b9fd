"""What training or generation takes at the least on accelerators whose kernels are not simulated.

Tensors that any program keeps are counted: weights, adapters, gradients, optimizer state, the KV cache. Activations,
workspaces and what an allocator adds come on top, so that "does not fit" is certain and its contrary is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Unpack

from inspector.errors import InspectorError
from inspector.lenses.weights import weights
from inspector.lora.report import lora
from inspector.lora.sets import target_sets
from inspector.lora.spec import LoraSpec
from inspector.precision import scheme_named
from inspector.reporting import TableReport
from inspector.simulate.generation import answer, question
from inspector.sources.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.gpus import Accelerator
    from inspector.simulate.setup.options import GenerateSettingsOptions
    from inspector.skeleton import Skeleton

Ruled = Literal["does not fit", "over the recommended", "not ruled out", "does not run"]
STANDS_IN = "A100-80GB"
"""A card on which the model is run on shapes: weights and cache are the same on every one."""
RANK = 8
"""PEFT's own default, as in the table of CUDA cards."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that stay on the device."""

    name: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Way:
    """A way to train or to generate: what it keeps. ``bitsandbytes`` is whether it stands on that library."""

    name: str
    parts: tuple[Part, ...]
    bitsandbytes: bool = False

    @property
    def nbytes(self) -> int:
        """All of it."""
        return sum(part.nbytes for part in self.parts)


@dataclass(frozen=True)
class AtLeastReport(TableReport):
    """Ways by accelerators: what each takes at the least. Sizes in bytes."""

    kind: ClassVar[str] = "at_least"

    model: str
    what: str
    accelerators: tuple[Accelerator, ...]
    ways: tuple[Way, ...]
    assumptions: tuple[str, ...]

    def ruled(self, way: Way, device: Accelerator) -> Ruled:
        """Whether a way can be ruled out on a device."""
        if way.bitsandbytes and not device.bitsandbytes:
            return "does not run"
        if way.nbytes > device.refused_bytes:
            return "does not fit"
        return "over the recommended" if way.nbytes > device.usable_bytes else "not ruled out"

    @property
    def fits(self) -> bool:
        """Whether any way is not ruled out on any of them."""
        return any(self.ruled(way, device) == "not ruled out" for way in self.ways for device in self.accelerators)


_LEAST = (
    "at the least: tensors that stay; activations, workspaces and the allocator's own come on top, and no kernel of "
    "these devices was simulated"
)


def train_at_least(reference: str, devices: Sequence[Accelerator]) -> AtLeastReport:
    """What the usual ways of training keep, in bfloat16, on each device. Imports no torch for a bundled model.

    Raises InspectorError for a model that is nowhere.
    """
    skeleton = resolve(reference)
    base = weights(skeleton, scheme_named("bf16")).tensor_bytes
    four = weights(skeleton, scheme_named("nf4")).tensor_bytes
    # AdamW's two moments have the dtype of what they belong to.
    full = (Part("weights", base), Part("gradients", base), Part("optimizer state", 2 * base))
    adapters = _adapters(skeleton)
    ways = (
        Way("full, AdamW", full),
        Way("LoRA", (Part("weights", base), *adapters)),
        Way("QLoRA", (Part("weights", four), *adapters), bitsandbytes=True),
    )
    return AtLeastReport(skeleton.model_id, f"training in bfloat16, rank {RANK}", tuple(devices), ways,
                         (_LEAST, *_of(devices)))  # fmt: skip


def _adapters(skeleton: Skeleton) -> tuple[Part, ...]:
    sets = {found.name: found for found in target_sets(skeleton)}
    chosen = sets.get("default") or sets.get("all-linear")
    if chosen is None:
        raise InspectorError(f"{skeleton.model_id} has no layer that LoRA is put on")
    (row,) = lora(skeleton, [RANK], [chosen], LoraSpec()).rows
    return (Part("adapters", row.weight_bytes), Part("gradients", row.gradient_bytes),
            Part("optimizer state", row.adam_bytes))  # fmt: skip


def generate_at_least(reference: str, device: Accelerator, **options: Unpack[GenerateSettingsOptions]) -> AtLeastReport:
    """Weights and KV cache of a generation, read off the real model on shapes, beside what a device has.

    Raises InspectorError as `inspector.simulate.generation.simulate_generate`, and where the weights are to be
    quantized by a library that does not run on it.
    """
    asked = question(reference, gpu=STANDS_IN, **options)
    stored = asked.setup.load.quantization
    if stored is not None and not device.bitsandbytes and stored.scheme in {"nf4", "fp4", "int8"}:
        raise InspectorError(f"bitsandbytes does not run on {device.name}", hint="leave out --bits, or take 16")
    report = answer(asked)
    setup = report.setup
    what = f"{setup.batch_size} x {setup.prompt_len:,} tokens, {setup.max_new_tokens:,} new"
    parts = (Part("weights", report.weights_bytes), Part("KV cache", report.cache_bytes))
    return AtLeastReport(report.model, f"generation of {what}", (device,), (Way("generate", parts),),
                         (_LEAST, *_of([device])))  # fmt: skip


def _of(devices: Sequence[Accelerator]) -> tuple[str, ...]:
    notes = [note for device in devices for note in device.notes]
    notes += [f"{device.name}: bitsandbytes from {device.bitsandbytes} on" for device in devices if device.bitsandbytes]
    return tuple(dict.fromkeys(notes))

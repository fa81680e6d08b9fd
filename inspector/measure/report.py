"""A measurement beside its prediction. No torch here: the child process has it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.errors import InspectorError, in_one_line
from inspector.lenses.weights import grouped, weights
from inspector.measure.spec import MeasuredLora, MeasureSpec, Order, cut_config
from inspector.precision import scheme_named
from inspector.reporting import TableReport
from inspector.skeleton.vocabulary import resizing
from inspector.units import MiB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.skeleton import Skeleton

COMPARED = ("tensor_bytes", "footprint_bytes", "allocated_bytes")
EQUAL = (
    "tensor_bytes", "footprint_bytes", "lora_bytes", "allocated_bytes", "reserved_bytes", "load_peak_allocated_bytes",
    "load_peak_reserved_bytes", "lora_allocated_bytes",
)  # fmt: skip
"""Must be equal to the byte on every device; on a CPU a training step's live bytes must, too (`STEPS`)."""
STEPS = ("step_load_bytes", "step_forward_bytes", "step_backward_bytes", "step_optimizer_bytes", "step_reserved_bytes")
"""Peaks of the stages of a training step. On CUDA, and for int8, they are compared and a difference is shown."""
GLOO = "gloo's own threads let go of what was sent a moment later"
HELD = ("step_backward_bytes",)
"""Where ranks send while they compute; how long what is sent is held is the time of a thread's."""
OUTLIERS = "int8 keeps columns with outliers apart, and which have them is data"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure, predicted and measured, in bytes. ``cause`` names what a difference comes from."""

    name: str
    predicted: int
    measured: int
    cause: str = ""

    @property
    def difference(self) -> int:
        """Measured less predicted."""
        return self.measured - self.predicted

    @property
    def percent(self) -> float:
        """The difference in percent of the prediction."""
        return 100 * self.difference / self.predicted if self.predicted else 0.0


@dataclass(frozen=True)
class Measurement(TableReport):
    """What a measurement found, beside what was predicted of it when this object was made.

    ``result`` is what the measuring process said, as it is kept in records; ``predicted`` and ``measured`` have the
    same keys. What an allocator counts is there on CUDA, the ``step_*`` peaks after training steps; ``unpredicted``
    says why the program could not be traced for them, when it could not.
    """

    kind: ClassVar[str] = "measure"

    spec: MeasureSpec
    result: Mapping[str, Any]
    predicted: Mapping[str, int] = field(default_factory=dict)
    measured: Mapping[str, int] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    kinds: tuple[Comparison, ...] = ()
    date: str = ""
    unpredicted: str = ""
    fault: Exception | None = field(default=None, compare=False, repr=False)
    """Our own, while predicting: for who asked, once the measurement is safe."""

    @property
    def status(self) -> str:
        """``measured``, ``out of memory`` or ``failed``."""
        return str(self.result.get("status", "failed"))

    @property
    def agrees(self) -> bool:
        """Whether it was measured, and every figure that must be equal was predicted and is."""
        # A GPU's kernels and int8's outliers make a step differ in ways shapes do not tell.
        shapes_decide = self.result.get("device", {}).get("type") != "cuda" and self.spec.scheme != "int8"
        decides: tuple[str, ...] = (*EQUAL, *STEPS) if shapes_decide else EQUAL
        if self.spec.parallel:
            decides = tuple(name for name in decides if name not in HELD)
        exact = [each for each in self.comparisons if each.name in decides]
        whole = self.status == "measured" and bool(exact) and not self.unpredicted
        return whole and not any(each.difference for each in exact)

    @property
    def missing_bytes(self) -> int | None:
        """After running out of memory: how much more the whole would have taken, by the prediction; else None."""
        if self.status != "out of memory":
            return None
        reached = self.result.get("at_failure", {}).get("allocated_bytes")
        if reached is None:
            limit = self.spec.limit_bytes
            return None if limit is None else max(0, self.predicted["tensor_bytes"] - limit)
        return max(0, self.predicted["tensor_bytes"] - int(reached))


def measure(
    spec: MeasureSpec | None = None,
    *,
    progress: Callable[[dict[str, Any]], None] | None = None,
    **options: Any,
) -> Measurement:
    """Build the real model of a spec on a real device, in a process of its own, and weigh it.

    Running out of memory is a result and not an error, and so is a failure of a library, the model or the device.

    Args:
        spec: what to measure; or leave it out and give its fields as ``options``.
        progress: called with what the child is at: ``stage``, ``done``, ``total``, ``name``.
        options: fields of `MeasureSpec`.

    Raises:
        InspectorError: for a spec, a device or weights that cannot be used, or too little memory for the prediction.
    """
    spec = spec or MeasureSpec(**options)
    with resizing(spec.vocabulary):
        return _measured(spec, progress)


def _measured(spec: MeasureSpec, progress: Callable[[dict[str, Any]], None] | None) -> Measurement:
    import datetime as dt

    from inspector.measure.machine import available_host_bytes
    from inspector.measure.runner import run_order

    order = make_order(spec)
    free = available_host_bytes()
    # A GPU's memory is asked in the child: asking here would make a CUDA context that outlives the measurement.
    if on_cpu(spec) and free is not None and order.needed_bytes > free and spec.limit_bytes is None:
        raise InspectorError(
            f"this needs {order.needed_bytes:,} bytes, but the machine has {free:,} available",
            hint="choose a scheme with fewer bits, or --layers N for a part of the model",
        )
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return judged(spec, run_order(order, progress), date=now.isoformat())


def on_cpu(spec: MeasureSpec) -> bool:
    """Whether a spec is for the CPU. Asks torch, in this process, only when the spec leaves it open."""
    if spec.device != "auto":
        return spec.device == "cpu"
    import torch

    return not torch.cuda.is_available()


def judged(spec: MeasureSpec, result: Mapping[str, Any], *, date: str = "") -> Measurement:
    """A result beside today's prediction for its spec."""
    skeleton = skeleton_of(spec)
    scheme = scheme_named(spec.scheme)
    report = weights(skeleton, scheme)
    predicted = {name: getattr(report, name) for name in COMPARED}
    if not (model := result.get("model")):
        return Measurement(spec, result, predicted, date=date)
    measured = {name: model[name] for name in COMPARED if name in model}
    # Blocks one by one leave out what the allocator does not split off: only the traced figure is compared.
    del predicted["allocated_bytes"]
    measured.pop("allocated_bytes", None)
    if lora := result.get("lora"):
        predicted["lora_bytes"] = lora_bytes(skeleton, spec.lora or MeasuredLora())
        measured["lora_bytes"] = lora["tensor_bytes"]
    traced, unpredicted, fault = _traced(spec, result)
    found = counted(result)
    for name in (each for each in (*EQUAL, *STEPS) if each in traced and each in found):
        predicted[name], measured[name] = traced[name], found[name]
    parts = {group.name: group.tensor_bytes for group in grouped(skeleton, scheme, "kind")}
    kinds = tuple(
        Comparison(name, parts.get(name, 0), model["kinds"].get(name, 0))
        for name in dict.fromkeys([*parts, *model["kinds"]])
        if parts.get(name) or model["kinds"].get(name)
    )
    compared = tuple(
        Comparison(
            name,
            predicted[name],
            measured[name],
            _cause(name, kinds, spec.scheme, shared=bool(spec.parallel)) if predicted[name] != measured[name] else "",
        )
        for name in predicted
    )
    return Measurement(spec, result, predicted, measured, compared, kinds, date, unpredicted, fault)


def counted(result: Mapping[str, Any]) -> dict[str, int]:
    """What a result says of allocated and reserved bytes, and of the steps' stages, by the names of the prediction."""
    found = {}
    if "allocated_bytes" in (steady := result.get("steady", {})):
        load = result["after_build"]
        found["allocated_bytes"] = steady["allocated_bytes"]
        found["reserved_bytes"] = steady["reserved_bytes"]
        found["load_peak_allocated_bytes"] = load["allocated_peak_bytes"]
        found["load_peak_reserved_bytes"] = load["reserved_peak_bytes"]
    if "allocated_bytes" in (lora := result.get("lora", {})):
        found["lora_allocated_bytes"] = lora["allocated_bytes"]
    if step := result.get("step"):
        keys = ("after_load_allocated", "peak_forward", "peak_backward", "peak_optimizer", "peak_reserved")
        values = zip(STEPS, (step.get(f"{key}_mib") for key in keys), strict=True)
        # Nothing is lost: a number of bytes over a power of two is exact in a float.
        found |= {name: round(value * MiB) for name, value in values if value is not None}
    return found


def _traced(spec: MeasureSpec, result: Mapping[str, Any]) -> tuple[dict[str, int], str, Exception | None]:
    """What tracing the measuring program predicts of this device; why it could not be traced, and our fault, if so."""
    device = result["device"]
    if device["type"] != "cuda" and "step" not in result:
        return {}, "", None
    from inspector.sources.resolve import resolve_config
    from inspector.store.answers import answered

    config = cut_config(resolve_config(spec.model), spec.layers)
    # Without the card's name or its free memory: answers are kept, and serve any card alike.
    facts = {name: device.get(name) for name in ("type", "capability", "multiprocessors", "alloc_conf")}
    # A measurement that ran out of memory has only its first parts.
    done = replace(spec, lora=spec.lora if "lora" in result else None, step=spec.step if "step" in result else None)

    def make() -> dict[str, int]:
        from inspector.measure.predict import predicted_memory

        return predicted_memory(config, done, facts)

    try:
        return answered(("measure", config, done.to_dict(), facts), dict, make), "", None
    except InspectorError as error:
        return {}, f"not traced: {error.message}", None
    except Exception as error:  # noqa: BLE001 -- a measurement is not lost because our prediction is wrong
        return {}, f"not traced, by a fault of ours: {type(error).__name__}: {in_one_line(error)}", error


def _cause(name: str, kinds: tuple[Comparison, ...], scheme: str, *, shared: bool) -> str:
    """What a difference comes from, as far as the measurement can tell."""
    if name in STEPS and scheme == "int8":
        return OUTLIERS
    if name in HELD and shared:
        return GLOO
    differing = [f"{each.name} {each.difference:+,} B" for each in kinds if each.difference]
    return ", ".join(differing) if name == "tensor_bytes" else ""


def lora_bytes(skeleton: Skeleton, lora: MeasuredLora) -> int:
    """Bytes of the adapter's new tensors, float32 as PEFT makes them."""
    from inspector.lora import adapter_tensors

    tensors = adapter_tensors(skeleton, lora.counted)
    return sum(tensor.nbytes for tensor in tensors if tensor.new)


def skeleton_of(spec: MeasureSpec) -> Skeleton:
    """The skeleton of a spec's model, with its layers cut."""
    from inspector.sources.resolve import resolve, resolve_config

    if spec.layers is None:
        return resolve(spec.model)
    from inspector.store.skeletons import kept_skeleton

    config = cut_config(resolve_config(spec.model), spec.layers)
    name = f"{spec.model}, {spec.layers} layers"

    return kept_skeleton(config, name, "cut")


def make_order(spec: MeasureSpec) -> Order:
    """A spec with its config, its weights' folder and what it will need, all checked."""
    from inspector.sources.resolve import resolve_config

    config = cut_config(resolve_config(spec.model), spec.layers)
    skeleton = skeleton_of(spec)
    scheme = scheme_named(spec.scheme)
    report = weights(skeleton, scheme)
    if spec.lora:
        lora_bytes(skeleton, spec.lora)  # says now, and well, when the targets match nothing
    # While the model is built, one tensor at a time is there unquantized as well.
    largest = max((tensor.loaded_bytes(scheme.rest) for tensor in skeleton.own_tensors), default=0)
    parts: dict[str, str] = {module.path: module.part for module in skeleton.modules}
    return Order(spec, config, parts, _weights_folder(spec), report.allocated_bytes + largest)


def _weights_folder(spec: MeasureSpec) -> str:
    if spec.weights == "random":
        return ""
    if spec.weights == "hub":
        from inspector.measure.hub import download

        return str(download(spec.model))
    path = Path(spec.weights).expanduser()
    if not path.exists():
        raise InspectorError(f"no such folder of weights: {path}", hint="--weights takes random, hub or a folder")
    return str(path.resolve())

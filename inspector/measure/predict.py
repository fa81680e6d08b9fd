"""What measuring a spec will take on a device: the measuring program itself, traced on shapes. Imports torch.

`build`, `add_lora` and `run_steps` run as they are, on tensors without data, under the simulator's `Tracer`; its model
of the caching allocator then replays every block they asked for, in their order. So the allocator's unsplit
remainders, which depend on that order, are predicted and not explained away.
"""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.own_random import own_random_numbers
from inspector.architecture.quiet import quiet
from inspector.measure import train
from inspector.measure.build import fill, meta_model
from inspector.measure.ranks import spread
from inspector.measure.weigh import _tensors, own_part
from inspector.measure.weightsource import Shapes
from inspector.patched import patched
from inspector.precision import scheme_named
from inspector.simulate.allocator.settings import parse_settings
from inspector.simulate.allocator.timeline import StagePeak, replay
from inspector.simulate.device import attention, bitsandbytes, decompositions
from inspector.simulate.device.cuda import as_on, multi_tensor
from inspector.simulate.device.kernels import cpu_kernels, cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.device.random_numbers import NOT_THE_CALLERS
from inspector.simulate.events import Alloc, Free, Mark
from inspector.simulate.parallel.rank_tracer import RankTracer
from inspector.simulate.parallel.world import as_rank
from inspector.simulate.program import routing
from inspector.simulate.program.adapters import without_values
from inspector.simulate.program.refusals import of_the_model
from inspector.simulate.tracing.answers import answers
from inspector.simulate.tracing.following import follow_modules
from inspector.simulate.tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from inspector.measure.spec import MeasureSpec
    from inspector.simulate.device.kernels import Kernels
    from inspector.simulate.events import Event

META = torch.device("meta")


def predicted_memory(config: Mapping[str, Any], spec: MeasureSpec, device: Mapping[str, Any]) -> dict[str, int]:
    """What the allocator will say of a measurement on CUDA; of its steps' live storages on a CPU. In bytes.

    Args:
        config: the config that is built, layers cut.
        spec: what is measured.
        device: the device as `inspector.measure.machine.describe` says it.

    Returns:
        ``allocated_bytes`` and ``reserved_bytes`` after the build, ``load_peak_*`` of it, ``lora_allocated_bytes``,
        and the steps' ``step_*_bytes``, as far as the device and the spec have them.
    """
    with of_the_model("the measured program does not run on shapes without data"):
        events = traced(config, spec, device)
    if device["type"] != "cuda":
        return _of_steps(exact(events)) if spec.step else {}
    timeline = replay(events, parse_settings(device.get("alloc_conf", "")))
    at = {stage.step: stage for stage in timeline.stages if stage.stage == "load"}
    found = {
        "allocated_bytes": at[LOAD].end_allocated,
        "reserved_bytes": at[STEADY].end_reserved,
        "load_peak_allocated_bytes": at[LOAD].peak_allocated,
        "load_peak_reserved_bytes": at[LOAD].peak_reserved,
    }
    if spec.lora:
        found["lora_allocated_bytes"] = at[ADAPTED].end_allocated - at[PREPARED].end_allocated
    return found | (_of_steps(timeline.stages) if spec.step else {})


LOAD, STEADY, PREPARED, ADAPTED, READY = -5, -4, -3, -2, -1
"""Numbers of what comes before the first step, as `Mark` has them."""


def traced(config: Mapping[str, Any], spec: MeasureSpec, device: Mapping[str, Any]) -> tuple[Event, ...]:
    """Everything the measuring program allocates and frees on a device, in order."""
    cuda = device["type"] == "cuda"
    with quiet(), ExitStack() as stack:
        if cuda:
            tracer = _on_cuda(stack, config, spec, tuple(device["capability"]), device["multiprocessors"])
        else:
            tracer = _on_cpu(stack, spec)
        if isinstance(tracer, RankTracer):
            stack.enter_context(as_rank(tracer, spec.rank, spec.world_size))
        stack.enter_context(patched(_quantizing_on_meta()))
        _run(config, spec, tracer, cuda=cuda)
    return tracer.events()


def _run(config: Mapping[str, Any], spec: MeasureSpec, tracer: Tracer, *, cuda: bool) -> None:
    """What `inspector.measure.child` does to the device's memory; on a CPU, only what its steps do."""
    # A real CPU's meter begins with the loaded model (`LiveStorages`): loading goes to a tracer that nobody asks.
    model = load(config, spec, tracer if cuda else Tracer(tracer.kernels), clears_cache=cuda and train.clears_cache())
    if isinstance(tracer, RankTracer):
        for *_, tensor in _tensors(model):
            tracer.follow(tensor, "the model")
        with tracer:
            model = spread(model, spec, META, tracer)
        if not cuda:
            tracer.forget_all_but([each for *_, each in _tensors(model)])
    tracer.mark("load", READY)
    for *_, tensor in _tensors(model):
        tracer.follow(own_part(tensor), "the model")
    if spec.step:
        with follow_modules(tracer, list(model.named_modules()), ""), tracer:
            train.run_steps(model, spec.step, META, lambda _stage: None, _Marks(tracer))
    tracer.stop()


def load(config: Mapping[str, Any], spec: MeasureSpec, tracer: Tracer, *, clears_cache: bool) -> Any:
    """The model of a spec, built, prepared and adapted as it is measured."""
    tracer.mark("load", LOAD)
    scheme = scheme_named(spec.scheme)
    model, quantizer = meta_model(config, scheme, attention=spec.step.attention if spec.step else "sdpa")
    tracer.ignore((*model.parameters(), *model.buffers()))
    with _replaced(tracer, {torch.ops.aten._to_copy.default: _through_host(tracer)}), tracer:
        fill(model, quantizer, scheme, META, Shapes())
    with tracer:
        tracer.mark("load", STEADY)
        tracer.empty_cache()
        tracer.mark("load", PREPARED)
        if spec.step:
            quantized = train.needs_preparing(model, spec.scheme)
            model = train.prepare(model, spec.step, quantized=quantized)
            if quantized and clears_cache:
                tracer.empty_cache()
        tracer.mark("load", ADAPTED)
        if spec.lora:
            with without_values():
                model = train.add_lora(model, spec.lora, seed=spec.seed)
    return model


class _Marks(train.Meter):
    """Says to the tracer which stage runs, in the place of a real meter."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.step = 0

    def now(self) -> int:
        return 0

    @contextlib.contextmanager
    def stage(self, name: str, peaks: list[int]) -> Iterator[None]:
        # A real meter resets its counter before every stage.
        self.tracer.mark(name, self.step, reset=True)  # type: ignore[arg-type]
        yield
        self.step += name == train.STAGES[-1]
        # `run_steps` wants a number for every step; the events have the true ones.
        peaks.append(0)


def _tracer(kernels: Kernels, spec: MeasureSpec) -> Tracer:
    """Of one card by itself, or of one rank."""
    return RankTracer(kernels, cards=spec.world_size) if spec.parallel else Tracer(kernels)


def _on_cuda(
    stack: ExitStack, config: Mapping[str, Any], spec: MeasureSpec, capability: tuple[int, int], multiprocessors: int
) -> Tracer:
    """A tracer of the card, and the libraries choosing as they would on it until the stack unwinds."""
    device = Device(capability, multiprocessors)
    tracer = _tracer(cuda_kernels(device), spec)
    length = spec.step.seq_len if spec.step else 1
    tracer.answer = answers(lambda: length)
    routing.install(tracer, config, "balanced")
    stack.enter_context(as_on(device, tracer.page))
    return tracer


def _on_cpu(stack: ExitStack, spec: MeasureSpec) -> Tracer:
    """A tracer that sees what `LiveStorages` sees: what operators return, not what they need for a while."""
    tracer = _tracer(cpu_kernels(), spec)
    import bitsandbytes as _registers_operators  # noqa: F401

    ops = torch.ops.bitsandbytes
    tracer.kernels.replaced = {
        ops.int8_vectorwise_quant.default: _whole(tracer, bitsandbytes.int8_vectorwise_quant),
        ops.int8_mixed_scaled_mm.default: _whole(tracer, bitsandbytes.int8_mixed_scaled_mm),
    }
    stack.enter_context(decompositions.decomposed_as({"scaled_dot_product_attention": attention.sdpa_on_cpu}))
    # On a CPU torch takes multi-tensor kernels only when told to, but the patch would make them the default.
    chosen = multi_tensor() if spec.step and spec.step.optimizer.endswith("fused") else {}
    stack.enter_context(own_random_numbers())
    stack.enter_context(patched({**chosen, **NOT_THE_CALLERS}))
    return tracer


def _whole(tracer: Tracer, operator: Callable[..., Any]) -> Any:
    """An operator whose result is seen, and nothing it made on the way."""

    def run(*args: object, **kwargs: object) -> Any:
        with torch.utils._python_dispatch._disable_current_modes():
            results = operator(*args, **kwargs)
        for result in results:
            if result is not None:
                tracer.follow(result, operator.__name__)
        return results

    return run


def _of_steps(stages: Sequence[StagePeak]) -> dict[str, int]:
    """The peaks of the steps after the first, as `run_steps` takes them."""
    peaks = {
        name: max(stage.max_allocated for stage in stages if stage.step >= 1 and stage.stage == name)
        for name in train.STAGES
    }
    ready = next(stage for stage in stages if stage.step == READY)
    found = {"step_load_bytes": ready.end_allocated} | {f"step_{name}_bytes": peak for name, peak in peaks.items()}
    # An exact count has no allocator, and so nothing reserved.
    if reserved := max(stage.max_reserved for stage in stages if stage.step >= 0):
        found["step_reserved_bytes"] = reserved
    return found


def exact(events: Sequence[Event]) -> tuple[StagePeak, ...]:
    """The stages' peaks in bytes as they were asked for, without an allocator: what a CPU's live storages hold."""
    alive: dict[int, int] = {}
    level = 0
    found: list[StagePeak] = []
    for number, event in enumerate(events):
        if isinstance(event, Mark):
            found.append(StagePeak(event.stage, event.step, level, 0, level, 0, level, 0, number))
            continue
        if isinstance(event, Alloc):
            alive[event.block] = event.nbytes
            level += event.nbytes
        elif isinstance(event, Free):
            level -= alive.pop(event.block)
        if found:
            peak = max(found[-1].peak_allocated, level)
            found[-1] = replace(found[-1], peak_allocated=peak, max_allocated=peak, end_allocated=level)
    return tuple(found)


def _quantizing_on_meta() -> dict[str, Any]:
    """Let weights be quantized when they arrive on meta; bitsandbytes does it on every other device.

    Source: bitsandbytes nn/modules.py, ``Params4bit.to``, ``Int8Params.to``.
    """
    from bitsandbytes.nn import Int8Params, Params4bit

    return {
        "bitsandbytes.nn.Params4bit.to": _arriving(Params4bit.to, lambda weight: not weight.bnb_quantized),
        "bitsandbytes.nn.Int8Params.to": _arriving(Int8Params.to, lambda weight: weight.data.dtype != torch.int8),
        **bitsandbytes.map_apart(),
    }


def _arriving(usual: Callable[..., Any], fresh: Callable[[Any], bool]) -> Any:
    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        device = torch._C._nn._parse_to(*args, **kwargs)[0]
        return self._quantize(device) if device == META and fresh(self) else usual(self, *args, **kwargs)

    return to


def _through_host(tracer: Tracer) -> Any:
    """``aten::_to_copy``, also from meta to the host: bitsandbytes sends a weight there and back before int8."""

    def to_copy(
        tensor: torch.Tensor, *, dtype: torch.dtype | None = None, device: torch.device | None = None, **_: object
    ) -> Any:
        if tensor.device != META or device is None or device.type != "cpu":
            return torch.empty_like(tensor, dtype=dtype or tensor.dtype, device=device or tensor.device)
        # Not on the device, and another dtype than the one it comes back in, so that coming back is a copy.
        with torch.utils._python_dispatch._disable_current_modes():
            out = torch.empty_like(tensor, dtype=torch.float32)
        tracer.ignore([out])
        return out

    return to_copy


@contextlib.contextmanager
def _replaced(tracer: Tracer, operators: dict[Any, Any]) -> Iterator[None]:
    """Python in the place of operators, for a while."""
    usual = tracer.kernels.replaced
    tracer.kernels.replaced = {**usual, **operators}
    try:
        yield
    finally:
        tracer.kernels.replaced = usual

"""The measuring program, traced: its build against the profiler's events, its steps against live storages."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig

from inspector.architecture.quiet import quiet
from inspector.errors import CannotSimulateError, InspectorError
from inspector.measure import MeasuredLora, MeasureSpec, StepSetup, predict, train
from inspector.measure.build import build, fill, meta_model
from inspector.measure.report import counted, judged
from inspector.measure.weightsource import RandomWeights
from inspector.patched import patched
from inspector.precision import scheme_named
from inspector.simulate.allocator.allocator import CachingAllocator
from inspector.simulate.device.kernels import cpu_kernels
from inspector.simulate.events import Alloc, Free
from inspector.simulate.tracing.tracer import Tracer
from inspector.units import MiB

CONFIG = LlamaConfig(
    hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=320, architectures=["LlamaForCausalLM"],
).to_dict()  # fmt: skip
H100 = {"type": "cuda", "capability": [9, 0], "multiprocessors": 132, "alloc_conf": ""}
SMALLEST = 1024
"""Bytes below which the profiler also sees Python numbers, tables of codes and other odds and ends."""


def sizes(events):
    """Allocations as positive, frees as negative bytes, in order, small ones left out."""
    alive, found = {}, []
    for event in events:
        if isinstance(event, Alloc):
            alive[event.block] = event.nbytes
            found.append(event.nbytes)
        elif isinstance(event, Free):
            found.append(-alive.pop(event.block))
    return [size for size in found if abs(size) > SMALLEST]


def traced_build(scheme):
    tracer = Tracer(cpu_kernels())
    with quiet():
        model, quantizer = meta_model(CONFIG, scheme_named(scheme))
        tracer.ignore((*model.parameters(), *model.buffers()))
        with patched(predict._quantizing_on_meta()), tracer:
            fill(model, quantizer, scheme_named(scheme), predict.META, predict.Shapes())
    tracer.stop()
    return tracer.events()


def profiled_build(scheme):
    with quiet():
        model, quantizer = meta_model(CONFIG, scheme_named(scheme))
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            fill(model, quantizer, scheme_named(scheme), torch.device("cpu"), predict.Shapes())
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    return [
        event.nbytes() for event in sorted(events, key=lambda each: each.start_ns()) if abs(event.nbytes()) > SMALLEST
    ]


@pytest.mark.parametrize("scheme", ["bf16", "fp32", "fp8"])
def test_the_build_allocates_and_frees_what_the_profiler_saw_in_that_order(scheme):
    assert sizes(traced_build(scheme)) == profiled_build(scheme)


@pytest.mark.parametrize("scheme", ["nf4", "fp4", "nf4-dq"])
def test_four_bits_end_at_the_profilers_level(scheme):
    """bitsandbytes' CPU kernels have temporaries of their own; what is left is the same."""
    assert sum(sizes(traced_build(scheme))) == sum(profiled_build(scheme))


@pytest.mark.parametrize("scheme", ["nf4-dq", "int8", "bf16"])
def test_the_build_is_the_same_every_time(scheme):
    spec = MeasureSpec("x", scheme=scheme, lora=MeasuredLora(r=4), step=StepSetup(seq_len=16))
    assert predict.predicted_memory(CONFIG, spec, H100) == predict.predicted_memory(CONFIG, spec, H100)


RUNS = {
    "qlora": ("nf4-dq", MeasuredLora(r=4), {}),
    "qlora, kept activations": ("nf4", MeasuredLora(r=4), {"gradient_checkpointing": False}),
    "lora, eager": ("bf16", MeasuredLora(r=4), {"attention": "eager", "gradient_checkpointing": False}),
    "lora, dropout": ("bf16", MeasuredLora(r=4, dropout=0.1), {}),
    "lora, some layers and ranks": (
        "bf16",
        MeasuredLora(
            r=4, layers_to_transform=(0,), exclude_modules=("o_proj",), rank_pattern=(("q_proj", 8),), use_rslora=True
        ),
        {},
    ),
    "full": ("bf16", None, {"gradient_checkpointing": False}),
    "full, fused": ("fp32", None, {"optimizer": "adamw_torch_fused"}),
    "full, sgd, two rows": ("bf16", None, {"optimizer": "sgd", "batch_size": 2}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_the_steps_hold_what_live_storages_counted(name):
    scheme, lora, options = RUNS[name]
    spec = MeasureSpec("x", scheme=scheme, device="cpu", lora=lora, step=StepSetup(seq_len=24, **options))
    model = build(CONFIG, scheme, RandomWeights(), attention=spec.step.attention)
    model = train.prepare(model, spec.step, quantized=train.needs_preparing(model, scheme))
    if lora:
        model = train.add_lora(model, lora)
    found = train.run_steps(model, spec.step, torch.device("cpu"), lambda _: None)
    assert predict.predicted_memory(CONFIG, spec, {"type": "cpu"}) == counted({"step": found})


def test_a_trace_leaves_bitsandbytes_as_it_was():
    from bitsandbytes import functional

    before = build(CONFIG, "nf4-dq", RandomWeights()).model.layers[0].mlp.up_proj.weight
    predict.predicted_memory(CONFIG, MeasureSpec("x", scheme="nf4-dq"), H100)
    assert functional.name2qmap["dynamic"].device.type == "cpu"
    after = build(CONFIG, "nf4-dq", RandomWeights()).model.layers[0].mlp.up_proj.weight
    assert torch.equal(before, after)


def test_the_allocator_does_not_split_what_is_left_of_a_reused_large_block():
    """Why allocated bytes depend on the order, and rounding each tensor to 512 bytes is not enough."""
    allocator = CachingAllocator()
    source = allocator.malloc(12 * MiB)
    allocator.free(source)
    allocator.malloc(12 * MiB - 600_000)
    assert allocator.allocated == 12 * MiB


@pytest.fixture
def on_a_card(tmp_path):
    """A result as a GPU's child process would say it, of numbers that are predicted: no measurement."""
    import json

    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    spec = MeasureSpec(str(tmp_path), scheme="bf16", device="cuda")
    made = predict.predicted_memory(CONFIG, spec, H100)
    kinds = {"tensor_bytes": 0, "footprint_bytes": 0, "kinds": {}}
    result = {
        "status": "measured", "device": H100, "model": kinds,
        "steady": {name: made[name] for name in ("allocated_bytes", "reserved_bytes")},
        "after_build": {
            "allocated_peak_bytes": made["load_peak_allocated_bytes"],
            "reserved_peak_bytes": made["load_peak_reserved_bytes"],
        },
    }  # fmt: skip
    weighed = judged(spec, result).predicted
    kinds |= {name: weighed[name] for name in ("tensor_bytes", "footprint_bytes")}
    return spec, result


def test_on_cuda_every_counter_is_compared_and_one_byte_decides(on_a_card):
    spec, result = on_a_card
    found = judged(spec, result)
    assert found.agrees
    assert found.predicted.keys() == found.measured.keys() >= {
        "allocated_bytes", "reserved_bytes", "load_peak_allocated_bytes", "load_peak_reserved_bytes",
    }  # fmt: skip
    for place, name in (("steady", "allocated_bytes"), ("after_build", "reserved_peak_bytes")):
        result[place][name] += 512
        assert not judged(spec, result).agrees
        result[place][name] -= 512


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CannotSimulateError("no kernels"), "not traced: no kernels"),
        (LookupError("a mistake of ours"), "not traced, by a fault of ours: LookupError: a mistake of ours"),
    ],
)
def test_what_cannot_be_traced_is_said_and_loses_nothing(on_a_card, monkeypatch, error, said):
    """A fault of ours is kept beside the measurement, for the command to raise once that is told and saved."""
    spec, result = on_a_card

    def broken(*_args):
        raise error

    monkeypatch.setattr(predict, "predicted_memory", broken)
    monkeypatch.setattr("inspector.store.answers.answered", lambda _question, _cls, make: make())
    found = judged(spec, result)
    assert found.unpredicted == said
    assert (found.fault is error) == (not isinstance(error, InspectorError))
    assert "allocated_bytes" not in found.predicted
    assert not found.agrees

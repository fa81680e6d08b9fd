"""Tracing: the memory of shapes changes nothing, autocast casts what CUDA casts, kernels allocate what they should."""

from __future__ import annotations

import torch

from inspector.simulate.device.autocast import IGNORED, LOWER_PRECISION, OUTPUT_DTYPE, PROMOTE, Autocast, cuda_operators
from inspector.simulate.device.kernels import cpu_kernels, cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.events import Alloc, Free
from inspector.simulate.program import training as step
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.tracing.tracer import Tracer


def traced(tiny, monkeypatch, *, remember):
    def tracer(kernels):
        return Tracer(kernels, remember=remember)

    monkeypatch.setattr(step, "Tracer", tracer)
    setup = resolve_setup(method="qlora", seq_len=64, batch_size=2, dropout=0.1, autocast="bf16", r=8).setup
    return step.trace_finetune(tiny, setup, (8, 0), 108).events


def test_remembered_shapes_change_nothing(tiny, monkeypatch):
    with_memory = traced(tiny, monkeypatch, remember=True)
    without = traced(tiny, monkeypatch, remember=False)
    assert with_memory == without


def test_every_block_is_born_once_and_dies_at_most_once(report):
    born, alive = set(), set()
    for event in report.events:
        if isinstance(event, Alloc):
            assert event.block not in born
            born.add(event.block)
            alive.add(event.block)
        elif isinstance(event, Free):
            alive.remove(event.block)


def test_autocast_lists_name_real_operators():
    assert cuda_operators() >= LOWER_PRECISION | PROMOTE | OUTPUT_DTYPE | IGNORED


def test_autocast_casts_as_cuda_does():
    autocast = Autocast(torch.bfloat16)
    layer = torch.nn.Linear(8, 8, device="meta")
    x = torch.empty(4, 8, device="meta")
    with autocast.registered():
        with autocast():
            y = layer(x)
            assert y.dtype == torch.bfloat16
            assert torch.nn.functional.layer_norm(y, (8,)).dtype == torch.float32
            assert y.softmax(-1).dtype == torch.float32
            assert y.pow(2).dtype == torch.float32
            assert (y + 1).dtype == torch.bfloat16
            assert torch.is_autocast_enabled()
            with torch.autocast("meta", enabled=False):
                assert layer(x).dtype == torch.float32
        assert layer(x).dtype == torch.float32
    y.sum().backward()
    assert layer.weight.grad.dtype == torch.float32


def sizes(kernels, run):
    tracer = Tracer(kernels)
    tracer.mark("forward", 0)
    with tracer:
        kept = run()
    del kept
    return [event.nbytes for event in tracer.events() if isinstance(event, Alloc)]


def test_a_product_takes_a_workspace_on_cuda_only():
    a = torch.empty(16, 16, device="meta")
    assert sizes(cpu_kernels(), lambda: a @ a) == [1024]
    assert sizes(cuda_kernels(Device((7, 5), 40)), lambda: a @ a) == [8_519_680, 1024]
    assert sizes(cuda_kernels(Device((9, 0), 132)), lambda: a @ a) == [32 * 2**20, 1024]


def test_softmax_backward_has_its_temporary():
    grad = torch.empty(4, 64, device="meta")
    run = lambda: torch.ops.aten._softmax_backward_data(grad, grad, -1, torch.float32)  # noqa: E731
    assert sizes(cuda_kernels(Device((7, 5), 40)), run) == [1024, 1024]
    assert sizes(cpu_kernels(), run) == [1024]


def test_a_view_is_no_allocation():
    x = torch.empty(8, 8, device="meta")
    assert sizes(cpu_kernels(), lambda: (x + 1).view(64)[3:].unsqueeze(0)) == [256]

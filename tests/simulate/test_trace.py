"""Tracing: the memory of shapes changes nothing, autocast casts what CUDA casts, kernels allocate what they should."""

from __future__ import annotations

import pytest
import torch

from inspector.simulate.device.autocast import IGNORED, LOWER_PRECISION, OUTPUT_DTYPE, PROMOTE, Autocast, cuda_operators
from inspector.simulate.device.kernels import cpu_kernels, cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.events import Alloc, Free
from inspector.simulate.program import training as step
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.tracing.shape_memory import ShapeMemory
from inspector.simulate.tracing.tracer import Tracer
from tests.simulate.conftest import TINY


def traced(tiny, monkeypatch, *, remember, **options):
    def tracer(kernels):
        return Tracer(kernels, remember=remember)

    monkeypatch.setattr(step, "Tracer", tracer)
    setup = resolve_setup(seq_len=64, batch_size=2, **options).setup
    return step.trace_finetune(tiny, setup, (8, 0), 108).events


GPT2 = {
    "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 64, "n_layer": 2, "n_head": 4,
    "vocab_size": 320, "dtype": "float32",
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (TINY, {"method": "qlora", "dropout": 0.1, "autocast": "bf16", "r": 8}),
        # Operators with several results, and lists of tensors written into; the third step is of remembered ones alone.
        (GPT2, {"method": "full", "optimizer": "adamw_torch", "steps": 3}),
        (GPT2, {"method": "full", "optimizer": "adafactor", "grad_clip": 1.0}),
    ],
)
def test_remembered_shapes_change_nothing(config, options, monkeypatch):
    with_memory = traced(config, monkeypatch, remember=True, **options)
    without = traced(config, monkeypatch, remember=False, **options)
    assert with_memory == without


def test_a_table_made_of_values_is_there_before_what_is_computed_of_it():
    """bitsandbytes' ``data = torch.tensor(data, device=device); data.div_(data.abs().max())``, on any torch."""
    tracer = Tracer(cuda_kernels(Device((8, 0), 108)))
    with tracer:
        table = torch.tensor([float(level) for level in range(16)], device="meta")
        table.div_(table.abs().max())
    events = tracer.events()
    assert [event.nbytes for event in events if isinstance(event, Alloc)] == [64, 64, 4]
    assert [event.block for event in events if isinstance(event, Free)] == [1, 2]
    assert table.numel() == 16


def meta(*shape):
    return torch.empty(shape, device="meta")


def test_a_remembered_answer_is_new_tensors_or_the_one_written_into():
    aten, memory = torch.ops.aten, ShapeMemory()
    for _ in range(2):
        x, weight = meta(3, 4), meta(4)
        out, mean, rstd = memory.call(aten.native_layer_norm.default, (x, [4], weight, weight, 1e-5), {})
        assert (out.shape, mean.shape, rstd.shape) == ((3, 4), (3, 1), (3, 1))
        assert len({tensor.untyped_storage()._cdata for tensor in (x, out, mean, rstd)}) == 4
        some = memory.call(aten.native_layer_norm_backward.default,
                           (out, x, [4], mean, rstd, weight, weight, [True, False, True]), {})  # fmt: skip
        assert [None if tensor is None else tensor.shape for tensor in some] == [(3, 4), None, (4,)]
        assert memory.call(aten.add_.Tensor, (x, weight), {}) is x
        assert memory.call(aten._foreach_add_.Scalar, ([x, weight], 1), {}) is None
        with pytest.raises(RuntimeError):
            memory.call(aten.add_.Tensor, (weight, x), {})
    assert memory._kinds[id(aten.add_.Tensor)][1] == "written"
    assert len(memory._specs) == 4


def test_what_changes_a_tensor_itself_is_never_remembered():
    aten, memory = torch.ops.aten, ShapeMemory()
    for _ in range(2):
        x, other = meta(6), meta(6)
        memory.call(aten.set_.source_Tensor, (x, other), {})
        assert x.untyped_storage()._cdata == other.untyped_storage()._cdata
        assert memory.call(aten.resize_.default, (x, [2]), {}).shape == (2,)
        assert memory.call(aten.unsqueeze_.default, (x, 0), {}).shape == (1, 2)
        view = memory.call(aten.view.default, (other, [2, 3]), {})
        assert view.untyped_storage()._cdata == other.untyped_storage()._cdata
        out = memory.call(aten.add.out, (other, 1), {"out": meta(0)})
        assert out.shape == (6,)
    assert not memory._specs


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

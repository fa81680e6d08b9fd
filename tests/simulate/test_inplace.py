"""What autograd does in place on a device is in place in the trace, and what others still hold is left alone."""

from __future__ import annotations

import torch

from inspector.simulate.device.attention import choose
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.events import Alloc
from inspector.simulate.tracing.tracer import Tracer


def sources(run):
    """Operators that allocated while ``run`` was going on."""
    tracer = Tracer(cuda_kernels(Device((8, 0), 108)))
    tracer.mark("backward", 0)
    with tracer:
        run()
    return [event.source for event in tracer.events() if isinstance(event, Alloc)]


def test_the_sum_of_two_gradients_takes_no_memory():
    x = torch.empty(64, 64, device="meta", requires_grad=True)
    y = x * 2
    loss = (y.exp() + y.sin()).sum()
    assert "aten.add.Tensor" not in sources(loss.backward)


def test_a_gradient_that_somebody_holds_is_not_overwritten():
    x = torch.empty(64, 64, device="meta", requires_grad=True)
    z, kept = x.exp(), []
    z.register_hook(kept.append)  # the gradient of z is also that of the sum's other half
    loss = (z + z.sin()).sum()
    assert sources(loss.backward).count("aten.add.Tensor") == 1
    assert len(kept) == 1


def test_the_gradient_of_indexing_is_written_into_its_zeros():
    x = torch.empty(64, 8, device="meta", requires_grad=True)
    loss = x[torch.empty(128, dtype=torch.int64, device="meta")].sum()
    found = sources(loss.backward)
    assert not any("index_put" in source for source in found)
    assert x.grad.shape == x.shape


def test_fewer_heads_of_keys_go_to_math_unless_torch_is_told():
    query = torch.empty(1, 8, 32, 64, dtype=torch.bfloat16, device="meta")
    one = query[:, :1]
    assert choose(Device((8, 0), 108), query, one, one, None, enable_gqa=False) == "math"
    assert choose(Device((8, 0), 108), query, one, one, None, enable_gqa=True) == "flash"

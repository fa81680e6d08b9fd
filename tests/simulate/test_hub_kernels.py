"""What kernels of the hub allocate, beside figures of their own code on shapes, its launches left out.

That code needs Triton and comes from the hub: huggingface/kernels-community at 40d4194f, of August 2026.
"""

from __future__ import annotations

import pytest
import torch

from inspector.simulate.device import mxfp4
from inspector.simulate.device.fp8 import _InParts, fp8_products
from inspector.simulate.device.kernels import Kernels, cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.device.triton_tuning import BUFFER_BYTES
from inspector.simulate.tracing.tracer import Tracer

GPT_OSS = (32, 4, 2880, 2880)


def alive(device, products):
    """Bytes after each allocation, and what is left when the result is there."""
    tracer = Tracer(cuda_kernels(device))
    tracer.stage = "forward"  # as it loads, it would take what it is given for something new
    with torch.no_grad(), tracer:
        kept = products()  # the result lives on
        seen = list(tracer.log)
    del kept
    sizes = [tracer.rows[event][0] if event >= 0 else -tracer.rows[~event][0] for event in seen]
    return [sum(sizes[: place + 1]) for place, size in enumerate(sizes) if size > 0], sum(sizes)


@pytest.mark.parametrize(
    ("chip", "tokens", "model", "allocations", "peak", "left"),
    [
        # Experts, experts a token, hidden and intermediate size. What a decoding step is summed from is the card's.
        (((7, 5), 40), 1, GPT_OSS, 13, 186024, 5760),
        (((7, 5), 40), 16, GPT_OSS, 14, 849604, 460800),
        (((7, 5), 40), 2048, GPT_OSS, 14, 106351108, 58982400),
        (((8, 9), 128), 1, GPT_OSS, 14, 502824, 5760),
        (((9, 0), 132), 16, GPT_OSS, 13, 1954944, 92160),
        (((10, 0), 148), 1, GPT_OSS, 14, 318504, 5760),
        (((10, 0), 148), 16, GPT_OSS, 14, 4811904, 92160),
        (((9, 0), 132), 33, (8, 2, 128, 64), 14, 54060, 25344),
        (((7, 5), 40), 5, (4, 1, 1024, 96), 13, 30194, 10240),
        (((10, 0), 148), 5, (4, 1, 1024, 96), 12, 30194, 10240),
    ],
)
def test_mxfp4_products_of_routed_tokens(chip, tokens, model, allocations, peak, left):
    experts, top_k, hidden, inner = model
    device = Device(*chip)
    x, logits = (torch.empty((tokens, size), dtype=torch.bfloat16, device="meta") for size in (hidden, experts))

    def products():
        routes = mxfp4.routing(logits, top_k)
        gate = mxfp4.gated(device, x, routes, 2 * inner)
        return mxfp4.scattered(device, gate, routes, hidden, top_k)

    after, kept = alive(device, products)
    assert (len(after), max(after), kept) == (allocations, peak, left)


@pytest.mark.parametrize(
    ("shape", "peak", "left"), [((2, 40, 80), 82944, 9216), ((4, 5760, 1440), 298598400, 33177600)]
)
def test_blocks_laid_out_for_hopper(shape, peak, left):
    """What `make_default_matmul_mxfp4_w_layout` takes; the first has rows and columns that are padded."""
    blocks = torch.empty(shape, dtype=torch.uint8, device="meta")
    after, kept = alive(Device((9, 0), 132), lambda: mxfp4.laid_out_for_hopper(blocks))
    assert (max(after), kept) == (peak, left)


@pytest.mark.parametrize("blocks", [[128, 128], None])
@pytest.mark.parametrize("kernel", ["matmul", "batched_matmul", "grouped_matmul"])
def test_fp8_products(kernel, blocks):
    """With one scale a weight, activations are quantized before the result is made."""
    (load,) = (value for name, value in fp8_products().items() if name.endswith("load_finegrained_fp8_kernel"))
    experts = () if kernel == "matmul" else (8,)
    x = torch.empty((33, 256), dtype=torch.bfloat16, device="meta")
    weight = torch.empty((*experts, 512, 256), dtype=torch.float8_e4m3fn, device="meta")
    scales = torch.empty((*experts, 4, 2) if blocks else (*experts, 1, 1), device="meta")
    integers = torch.empty((8,), dtype=torch.int32, device="meta")
    more = {
        "matmul": {},
        "batched_matmul": {"expert_ids": torch.empty((33,), dtype=torch.int64, device="meta")},
        "grouped_matmul": {"offsets": integers, "tokens_per_expert": integers},
    }[kernel]
    product = getattr(load(), kernel)

    def made():
        return product(x, weight, scales, block_size=blocks, **more)

    result, quantized = 33 * 512 * 2, 0 if blocks else 33 * 256 + 33 * 4
    tiles = 32 if kernel == "grouped_matmul" else 0
    first, kept = alive(Device((8, 9), 128), made)
    again, _ = alive(Device((8, 9), 128), made)
    assert kept == result
    assert max(first) == result + quantized + tiles + BUFFER_BYTES  # Triton tunes it
    assert BUFFER_BYTES > max(again) >= result + quantized


def test_gradients_through_experts_in_parts(monkeypatch):
    """transformers' own backward pass on a CPU, and ours, to which nobody says where an expert's rows end."""
    from transformers.integrations import finegrained_fp8

    real = finegrained_fp8.FP8GroupedMatmulFunction
    monkeypatch.setattr(real, "dequant_budget_bytes", 3 * 256 * 128 * 4)
    weight = torch.zeros((8, 256, 128), dtype=torch.float8_e4m3fn)
    scales = torch.ones((8, 2, 1))
    counts = torch.full((8,), 6, dtype=torch.int32)
    offsets = torch.cumsum(counts, 0, dtype=torch.int32)

    def product(x, *_):
        return torch.zeros((48, 256))

    def allocated(apply):
        x = torch.zeros((48, 128), requires_grad=True)
        tracer = Tracer(Kernels(host=("cpu",)), "cpu")
        tracer.stage = "forward"
        tracer.ignore((x, weight, scales, counts, offsets))
        with tracer:
            out = apply(x, product)
            out.backward(torch.ones_like(out))
        sizes = [tracer.rows[event][0] if event >= 0 else -tracer.rows[~event][0] for event in tracer.log]
        return max(sum(sizes[: place + 1]) for place in range(len(sizes))), [size for size in sizes if size > 4096]

    args = (weight, scales, offsets, counts, (128, 128))
    monkeypatch.setattr(finegrained_fp8, "fp8_grouped_matmul", product)
    assert allocated(lambda x, product: _InParts.apply(x, product, "balanced", *args)) == allocated(
        lambda x, _: real.apply(x, *args)
    )

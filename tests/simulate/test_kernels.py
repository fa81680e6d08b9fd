"""What CUDA kernels allocate for themselves, worked out by hand from the sources that `kernels` names."""

from __future__ import annotations

import pytest
import torch

from inspector.simulate.device.attention import choose
from inspector.simulate.device.attention_kernels import backward_tile
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Chip, Device
from inspector.simulate.events import Alloc
from inspector.simulate.tracing.tracer import Tracer

aten = torch.ops.aten
T4, A100, RTX_4090, H100, RTX_5090 = (7, 5), (8, 0), (8, 9), (9, 0), (12, 0)


def temporaries(capability, run):
    """Bytes of what lives only inside the kernels that ``run`` calls."""
    tracer = Tracer(cuda_kernels(Device(capability, 40)))
    tracer.mark("forward", 0)
    with tracer:
        kept = run()
    del kept
    return [event.nbytes for event in tracer.events() if isinstance(event, Alloc) and event.kind == "temporaries"]


def heads(size, length=256, count=4, dtype=torch.float16, *, trained=False):
    return torch.empty(2, count, length, size, dtype=dtype, device="meta", requires_grad=trained)


def efficient_backward(size, length=256, dtype=torch.float16):
    query = heads(size, length, dtype=dtype)
    stats = torch.empty(2, 4, length, device="meta")
    seed = torch.empty((), dtype=torch.int64, device="meta")
    return lambda: aten._scaled_dot_product_efficient_attention_backward(
        query, query, query, query, None, query, stats, seed, seed, 0.0, [True, True, True, False]
    )


def extra(capability, run, results):
    """Temporaries without the results' own allocations, which a trace of the forward stage also calls temporary."""
    return temporaries(capability, run)[results:]


DELTA = 2 * 4 * 256 * 4
"""Row sums of 2 sequences, 4 heads and 256 queries."""


@pytest.mark.parametrize(
    ("capability", "size", "elements"),
    [
        (T4, 64, 4 * 1 * (64 * 64 + 4)),  # tiles of 64 x 64 cover 256 queries and one head
        (T4, 128, 2 * 2 * (128 * 64 + 4)),  # 128 x 64: two gradients stay in registers
        (A100, 128, 2 * 1 * (128 * 128 + 4)),
        (RTX_4090, 128, 4 * 2 * (64 * 64 + 4) + 4 * 64 * (128 + 128)),  # keys in 4 splits of 64, staged in memory
        (RTX_5090, 128, 4 * 2 * (64 * 64 + 4) + 4 * 64 * (128 + 128)),
        (RTX_4090, 96, 2 * 2 * (128 * 64 + 4)),  # whole tiles of a head up to 96 fit
        (A100, 256, 2 * 4 * (128 * 64 + 4) + 4 * 64 * (256 + 256)),
    ],
)
def test_memory_efficient_backward(capability, size, elements):
    assert extra(capability, efficient_backward(size), 3) == [DELTA, 2 * 4 * elements * 4]


def test_memory_efficient_backward_in_float32_multiplies_first():
    """The product of gradient and output is gone before the workspace comes."""
    product = 2 * 4 * 256 * 64 * 4
    tiles = 2 * 4 * 4 * (64 * 64 + 4) * 4
    found = extra(A100, efficient_backward(64, dtype=torch.float32), 3)
    assert found == [product, DELTA, DELTA, DELTA, tiles]


@pytest.mark.parametrize(("size", "dtype", "sums"), [(128, torch.float16, False), (256, torch.float16, True)])
def test_memory_efficient_forward_adds_up_wide_heads_in_float32(size, dtype, sums):
    query = heads(size, dtype=dtype)
    run = lambda: aten._scaled_dot_product_efficient_attention(query, query, query, None, True)  # noqa: E731
    assert (2 * 4 * 256 * size * 4 in temporaries(T4, run)) == sums


def test_splits_of_the_keys_are_bounded_over_all_heads():
    """``200 / (batches * heads)`` splits at the most: 25 for 8, whatever the length."""
    run = efficient_backward(128, length=8192)
    staged = 25 * 64 * (128 + 128)
    tiles = 128 * 2 * (64 * 64 + 4)
    assert extra(RTX_4090, run, 3)[1] == 2 * 4 * (tiles + staged) * 4


def test_a_ragged_length_takes_the_tile_that_needs_no_whole_blocks():
    assert backward_tile(Chip(RTX_4090, 128), 96, 250, 250, True) == (64, 64, False)
    assert backward_tile(Chip(A100, 108), 96, 250, 250, True) == (128, 128, True)


def test_cudnn_backward_has_an_accumulator():
    query, stats = heads(64), torch.empty(2, 4, 256, 1, device="meta")
    seed = torch.empty((), dtype=torch.int64, device="meta")
    run = lambda: aten._scaled_dot_product_cudnn_attention_backward(  # noqa: E731
        query, query, query, query, query, stats, seed, seed, None, None, None, 256, 256, 0.0, True
    )
    assert extra(H100, run, 3) == [2 * 4 * 256 * (64 + 1) * 4]


@pytest.mark.parametrize(("tokens", "sorts"), [(3072, False), (3073, True)])
def test_the_embedding_s_gradient_sorts_many_tokens(tokens, sorts):
    width, rows = 64, 1000
    grad = torch.empty(tokens, width, dtype=torch.bfloat16, device="meta")
    ids = torch.empty(tokens, dtype=torch.int64, device="meta")
    found = extra(A100, lambda: aten.embedding_dense_backward(grad, ids, rows, -1, False), 1)
    sums = 307 + rows  # a tenth of the tokens, and one more for every word there can be
    expected = [tokens * 8] * 3 + [rows * 8] * 2 + [sums * 8, sums * width * 4]
    assert found == (expected if sorts else [])


def test_the_norm_of_many_gradients_has_a_number_for_every_chunk():
    grads = [torch.empty(n, dtype=torch.bfloat16, device="meta") for n in (65536 * 10 + 1, 5)]
    assert extra(A100, lambda: torch._foreach_norm(grads, 2.0), 2) == [2 * 11 * 4]


BF16 = torch.bfloat16


@pytest.mark.parametrize(
    ("capability", "options", "backend"),
    [
        (A100, {}, "flash"),
        (T4, {"dtype": torch.float16}, "efficient"),
        (T4, {}, "math"),
        (A100, {"dtype": torch.float32}, "efficient"),
        (A100, {"mask": True}, "efficient"),
        (H100, {"mask": True}, "cudnn"),
        ((10, 3), {}, "cudnn"),
        (H100, {"size": 256}, "flash"),
        (H100, {"size": 192, "value": 128}, "cudnn"),
        (A100, {"size": 192, "value": 128}, "efficient"),
        (H100, {"dropout": 0.1}, "flash"),  # cuDNN knows sixteenths
        (RTX_4090, {"size": 256}, "flash"),
        (RTX_4090, {"size": 256, "dropout": 0.1}, "efficient"),
        (RTX_4090, {"size": 224}, "efficient"),
        (RTX_5090, {"size": 224}, "efficient"),
        (A100, {"size": 224}, "flash"),
        (A100, {"size": 100}, "flash"),  # padded
        (A100, {"size": 100, "mask": True}, "math"),  # not a multiple of 8
        (A100, {"keys": 512, "is_causal": True}, "efficient"),
        (A100, {"grouped": True}, "flash"),
        (A100, {"grouped": True, "mask": True}, "math"),
    ],
)
def test_the_backend_that_torch_would_choose(capability, options, backend):
    size, dtype = options.get("size", 128), options.get("dtype", BF16)
    query = heads(size, dtype=dtype, trained=True)
    key = heads(size, options.get("keys", 256), 2 if options.get("grouped") else 4, dtype)
    value = heads(options.get("value", size), options.get("keys", 256), key.size(1), dtype)
    mask = torch.empty(256, 256, device="meta") if options.get("mask") else None
    chosen = choose(
        Device(capability, 40), query, key, value, mask,
        enable_gqa=bool(options.get("grouped")), dropout=options.get("dropout", 0.0),
        is_causal=options.get("is_causal", False),
    )  # fmt: skip
    assert chosen == backend


def test_a_batch_is_copied_for_blas_where_its_matrices_lie_in_no_lines():
    """``prepare_batch_matrix_for_cublas``: what repeats over the batch alone is read as it is."""
    from inspector.simulate.device.products import PRODUCTS

    def meta(*shape):
        return torch.empty(shape, device="meta")

    def copied(first, second):
        return PRODUCTS[torch.ops.aten.bmm.default](torch.bmm(first, second), first, second)

    assert copied(meta(1, 8, 4).expand(3, 8, 4), meta(3, 4, 5)) == []
    assert copied(meta(3, 4, 8).transpose(1, 2), meta(3, 5, 4).transpose(1, 2)) == []
    assert copied(meta(8, 2, 4).transpose(0, 1), meta(2, 4, 5)) == []
    assert copied(meta(3, 1, 4).expand(3, 8, 4), meta(3, 4, 5)) == [[3 * 8 * 4 * 4]]
    assert copied(meta(3, 8, 4), meta(3, 8, 5)[:, ::2, :1].expand(3, 4, 5)) == [[3 * 4 * 5 * 4]]

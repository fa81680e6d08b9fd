"""vLLM's rules held to what the engine itself printed, and to its real classes on shapes."""

import json
from fractions import Fraction
from importlib.resources import files

import pytest

import inspector
from inspector.errors import InspectorError
from inspector.gpus import find_gpu
from inspector.precision.as_published import published_scheme
from inspector.precision.registry import scheme_named
from inspector.serving.resident import resident
from inspector.serving.sharding import Ranks
from inspector.serving.storing import engine_scheme, expert_padding
from inspector.serving.vllm.state import hybrid_block
from inspector.serving.weights import ROUNDED, rank_weights, stage_layers
from inspector.sources.resolve import locate
from inspector.units import GiB, MiB

REAL = {
    ("llama-3.1-8b", "bf16", 1): 14.9888,
    ("qwen3-14b", "bf16", 1): 27.5179,
    ("deepseek-r1-distill-qwen-32b", "bf16", 2): 30.5456,
    ("gemma-3-27b-it", "bf16", 4): 13.0738,
    ("gemma-3-1b-it", "bf16", 1): 1.8938,
    ("deepseek-v2-lite", "bf16", 1): 29.2752,
    ("gpt-oss-120b", "published", 1): 60.80,
    ("deepseek-r1", "published", 8): 79.7390,
    ("qwen2.5-7b-instruct", "awq", 1): 5.1960,
}
"""GiB that vLLM's own classes hold on a rank, built on shapes by vLLM 0.33; DeepSeek-R1's as an engine printed it."""


@pytest.mark.parametrize("case", REAL, ids=str)
def test_weights_are_those_of_vllms_own_classes(case):
    name, scheme, ranks = case
    source = locate(name)
    chosen = published_scheme(source.config, source.skeleton) if scheme == "published" else scheme_named(scheme)
    parts = rank_weights(source.skeleton, chosen, source.config, Ranks(ranks))
    tensors = sum(part.nbytes for part in parts if part.name != ROUNDED)
    assert tensors / GiB == pytest.approx(REAL[case], rel=0.006)


def test_blocks_of_the_allocator_are_what_is_printed():
    # GiB as vLLM printed them, of cards of which nothing else is known: gate and up projections of 259 MiB take 260.
    printed = {
        ("qwen2.5-7b-instruct", 1): 14.2487,
        ("deepseek-r1-distill-qwen-32b", 2): 30.73,
        ("qwen3-14b", 1): 27.5185,
    }
    for (name, width), said in printed.items():
        source = locate(name)
        parts = rank_weights(source.skeleton, scheme_named("bf16"), source.config, Ranks(width))
        assert sum(part.nbytes for part in parts) / GiB == pytest.approx(said, abs=0.0051 if width > 1 else 0.0002)
    found = resident([259 * MiB, 5 * MiB, 5 * MiB, 5 * MiB, 4 * MiB + 1])
    # 260, and of a segment of 20 MiB the last block is all that is left.
    assert (found.allocated, found.reserved) == (280 * MiB, 280 * MiB)


def test_what_loading_makes_of_a_quantized_file():
    skeleton, config = locate("qwen2.5-7b-instruct").skeleton, locate("qwen2.5-7b-instruct").config

    def total(quantization, card, **more):
        scheme = engine_scheme(skeleton, config, quantization, "auto", find_gpu(card), **more)
        return sum(part.nbytes for part in rank_weights(skeleton, scheme, config, Ranks()) if part.name != ROUNDED)

    # Marlin's has no zero points (vLLM's own classes: 5.1722 GiB after repacking), Machete's has.
    assert total("gptq", "A100-80GB") / GiB == pytest.approx(5.1722, rel=0.0005)
    assert total("gptq", "H100") - total("gptq", "A100-80GB") == 6_525_288_448 // 128 // 2
    # 127 of 128 parts of a byte of constants a block of 64 became four bytes.
    plain, nested = (total("bitsandbytes", "L4", plain_constants=one) for one in (True, False))
    assert plain - nested == pytest.approx(6_525_288_448 / 64 * (3 - 4 / 256), rel=0.001)


def test_experts_are_padded_as_each_kernel_pads_them():
    cards = {"Marlin": "A100-80GB", "Triton": "H100", "FlashInfer": "B200"}
    for kernel, card in cards.items():
        padding, said = expert_padding("mxfp4", find_gpu(card), 2880, 2880, 1)
        assert said == kernel
        assert padding > Fraction(105, 100)
    report = inspector.serve("gpt-oss-120b", gpu="A100-80GB", engine_version="0.10.1")
    assert report.weights_bytes.value / GiB == pytest.approx(65.9651, rel=0.003)
    report = inspector.serve("gpt-oss-120b", gpu="H100", engine_version="0.14.1")
    assert report.weights_bytes.value / GiB == pytest.approx(64.38, rel=0.003)


@pytest.mark.parametrize(
    ("state", "token", "block", "padding"),
    [
        (3 * (2 * 16 * 128 + 48 * 128) * 2 + 48 * 128 * 128 * 4, 2 * 4 * 256 * 2, 784, 0.13),
        (3 * (2 * 16 * 128 + 32 * 128) * 2 + 32 * 128 * 128 * 4, 2 * 4 * 256 * 2, 528, 0.76),
    ],
)
def test_the_block_of_a_hybrid(state, token, block, padding):
    found = hybrid_block(state, token)
    assert (found.tokens, round(found.padding_percent, 2)) == (block, padding)


CAPACITY = {
    "windows, in seven groups": (
        "gemma-3-27b-it", {"gpu": "H200", "engine_version": "0.10.2", "max_model_len": 4096,
                           "max_num_batched_tokens": 8192}, 109.86, 205_696, 50.05,
    ),
    "full attention": (
        "qwen3-14b", {"gpu": "A100-40GB", "engine_version": "0.10.1", "max_model_len": 40960}, 11.00, 72_064, 1.76,
    ),
    "latent on eight cards": (
        "deepseek-r1", {"gpu": "H200", "engine_version": "0.11.0", "max_model_len": 8192, "tensor_parallel_size": 8},
        41.60, 635_648, 77.59,
    ),
    "0.21": (
        "qwen2.5-14b", {"gpu": "H100", "engine_version": "0.21.0", "max_model_len": 4096}, 41.43, 226_240, 55.23,
    ),
    "V0": (
        "qwen2.5-1.5b", {"gpu": "T4", "engine_version": "0.7.3", "max_model_len": 32768, "dtype": "half"}, 2.358,
        5519 * 16, 2.69,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CAPACITY)
def test_tokens_and_concurrency_of_what_is_left(name):
    model, options, left, tokens, concurrency = CAPACITY[name]
    report = inspector.serve(model, kv_cache_memory_bytes=int(left * GiB), **options)
    # A block, as the log has two decimals of a GiB.
    assert report.kv_tokens.value == pytest.approx(tokens, abs=max(64, tokens * 0.005 / left))
    assert report.max_concurrency.value / 100 == pytest.approx(concurrency, abs=0.0051 + concurrency * 0.005 / left)


def test_the_largest_length_is_vllms_own():
    report = inspector.serve("llama-3.1-8b", gpu="H100", kv_cache_memory_bytes=10 * GiB)
    # "16.0 GiB KV cache is needed ... estimated maximum model length is 81904": 81,920 tokens lie in 10 GiB, and one
    # block is held back.
    assert report.largest_max_model_len.value == 81_904
    assert report.starts == "no"
    assert "16.00 GiB KV cache is needed" in report.refusal


def test_hybrids_have_states_and_no_capacity_in_tokens():
    short = inspector.serve("qwen3-next-80b-a3b-instruct", gpu="H100", tensor_parallel_size=4, max_model_len=32768)
    assert short.cache.block == 320
    assert short.cache.block_bytes == 12 * 327_680
    assert short.cache.state_bytes > 0
    assert not short.cache.grows
    halved = inspector.serve(
        "qwen3-next-80b-a3b-instruct", gpu="H100", tensor_parallel_size=4, max_model_len=32768, kv_cache_dtype="fp8"
    )
    assert halved.cache.block == 576  # a page holds a state at least, so that half a token is near twice the block


def test_what_is_refused_before_any_memory():
    with pytest.raises(InspectorError, match="must be divisible by tensor parallel size"):
        inspector.serve("llama-3.1-8b", tensor_parallel_size=3)
    with pytest.raises(InspectorError, match="Minimum capability: 80"):
        inspector.serve("llama-3.1-8b", gpu="T4", quantization="fp8")
    with pytest.raises(InspectorError, match="greater than the derived max_model_len"):
        inspector.serve("llama-3.1-8b", max_model_len=1_000_000)
    with pytest.raises(InspectorError, match="keeps no KV cache"):
        inspector.serve("bert-base-uncased")
    assert inspector.serve("llama-3.1-8b", gpu="RTX 4090", max_model_len=-1).starts == "yes"
    with pytest.raises(InspectorError, match="no option of this engine"):
        inspector.serve("llama-3.1-8b", max_modellen=1)


def test_a_card_too_small_is_no_and_one_large_enough_is_yes():
    no = inspector.serve("llama-3.1-8b", gpu="T4", max_model_len=2048)
    yes = inspector.serve("llama-3.1-8b", gpu="A100-80GB", max_model_len=2048)
    assert (no.starts, yes.starts) == ("no", "yes")
    # It lies within what graphs and the profile run may take.
    need = yes.kv_bytes.value - yes.cache.request_bytes
    left = inspector.serve("llama-3.1-8b", vram=f"{int((80 * GiB - need) / 2**20)}MiB", max_model_len=2048)
    assert left.kv_bytes.low <= left.kv_bytes.value <= left.kv_bytes.high


def test_options_are_the_engines_own_words():
    words = (
        "--max-model-len=32k", "-tp", "2", "--enforce-eager", "--kv-cache-dtype", "fp8", "--host", "127.0.0.1",
        "--no-enable-prefix-caching", "--made-up", "7", "--gpu-memory-utilisation", "0.5",
    )  # fmt: skip
    report = inspector.serve("llama-3.1-8b", gpu="H100", words=words)
    assert report.max_model_len == 32_000
    assert report.cards == 2
    assert report.cache.token_bytes == 131_072 // 2 // 2
    assert report.not_understood == (
        "--made-up 7", "--gpu-memory-utilisation 0.5 (did you mean --gpu-memory-utilization?)",
    )  # fmt: skip
    assert inspector.load("llama-3.1-8b").serving(gpu="H100", words=words) == report


def test_layers_left_over_go_before_the_last_stage():
    assert stage_layers(32, 3) == (11, 11, 10)
    assert stage_layers(61, 2) == (31, 30)


def test_the_ranges_are_those_of_the_logs():
    from scripts.serving_ranges import ranges

    text = (files("inspector") / "data" / "serving" / "ranges.json").read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps(ranges()))

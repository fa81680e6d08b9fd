"""SGLang, llama.cpp, ollama: budgets, pools, and what the engine itself answers for a header."""

from types import SimpleNamespace

import pytest

import inspector
from inspector.errors import InspectorError
from inspector.serving.llamacpp.fit import fitted_mixture
from inspector.serving.llamacpp.settings import LlamaCppSettings
from inspector.serving.llamacpp.weights import Placed
from inspector.units import MiB

ASKED = {
    ("llama-3.1-8b", "q4_k_m", (("ctx_size", 4096),)): (None, 512, 128),
    ("llama-3.1-8b", "q4_k_m", (("ctx_size", 8192),)): (None, 1024, 132),
    ("llama-3.1-8b", "q4_k_m", (("ctx_size", 131072),)): (None, 16384, 252),
    ("llama-3.1-8b", "q4_k_m", (("ctx_size", 4096), ("ubatch_size", 2048))): (None, 512, 512),
    ("llama-3.1-8b", "q4_k_m", (("cache_type_k", "q8_0"), ("cache_type_v", "q8_0"), ("ctx_size", 4096))): (
        None, 272, 128,
    ),
    ("gemma-3-12b-it", "f16", (("ctx_size", 32768),)): (22443, 2528, 161),
    ("gemma-3-12b-it", "f16", (("ctx_size", 32768), ("swa_full", True))): (22443, 12288, 191.5),
    ("qwen3-30b-a3b", "f16", (("ctx_size", 32768),)): (58259, 3072, 120),
    ("gpt-oss-20b", "q8_0", (("ctx_size", 32768),)): (None, 786, 128.4),
    ("deepseek-v2-lite", "f16", (("ctx_size", 32768),)): (29964, 972, 116),
}  # fmt: skip
"""MiB of the model, the cache and the compute buffer that llama.cpp of 2026-10 answers for such a header."""


@pytest.mark.parametrize("case", ASKED, ids=str)
def test_llamacpp_as_the_engine_answers(case):
    model, scheme, options = case
    weights, cache, buffer = ASKED[case]
    report = inspector.serve(model, engine="llama.cpp", gpu="H100", scheme=scheme, **dict(options))
    assert report.cache.request_bytes / MiB == cache
    compute = next(term for term in report.terms if term.name == "compute buffer")
    assert compute.span.value / MiB == pytest.approx(buffer, abs=0.51)
    if weights is not None:
        on_card, with_host = (part.nbytes for part in report.weights)
        tied = model.startswith("gemma")  # there the output is the embedding again
        assert (on_card + (0 if tied else with_host)) / MiB == pytest.approx(weights, abs=1.5)


def test_experts_and_layers_on_the_host():
    whole = inspector.serve("qwen3-30b-a3b", engine="llama.cpp", gpu="RTX 3060", words=("-c", "8192", "-ngl", "all"))
    assert whole.starts == "no"
    assert 20 < whole.layers_that_fit < 40
    off = inspector.serve("qwen3-30b-a3b", engine="llama.cpp", gpu="RTX 3060", words=("-c", "8192", "-ot", "exps=CPU"))
    assert off.starts == "yes"
    same = inspector.serve("qwen3-30b-a3b", engine="llama.cpp", gpu="RTX 3060", ctx_size=8192, cpu_moe=True)
    assert off.weights_bytes == same.weights_bytes
    fewer = inspector.serve(
        "qwen3-30b-a3b", engine="llama.cpp", gpu="RTX 3060", ctx_size=8192, n_gpu_layers=whole.layers_that_fit
    )
    assert fewer.starts in {"yes", "unknown"}
    with pytest.raises(InspectorError, match="no type of a cache"):
        inspector.serve("llama-3.2-1b", engine="llama.cpp", cache_type_k="q9")


def test_it_fits_itself_where_nobody_said_how_many_layers():
    asked = {"engine": "llama.cpp", "gpu": "RTX 3060", "scheme": "q4_k_m"}
    lowered = inspector.serve("llama-3.1-8b", **asked)
    assert lowered.starts == "yes"
    assert 4096 < lowered.max_model_len < 131_072
    assert any("-c is lowered from 131,072" in line for line in lowered.notes)
    split = inspector.serve("qwen2.5-32b", **asked, ctx_size=8192)
    assert split.starts == "yes"
    assert split.max_model_len == 8192
    assert any("of 65 layers on the card" in line for line in split.notes)
    whole = inspector.serve("llama-3.1-8b", **asked, words=("-c", "0", "-fitt", "512"))
    assert whole.max_model_len == 131_072
    assert any("512 MiB are left free" in line for line in whole.notes)
    assert inspector.serve("qwen2.5-32b", **asked, ctx_size=8192, fit="off").starts == "no"
    older = inspector.serve("qwen2.5-32b", **asked, ctx_size=8192, engine_version="b6000")
    assert older.starts == "no"
    assert inspector.serve("llama-3.1-70b", engine="ollama", gpu="RTX 4090").starts == "yes"
    assert inspector.serve("llama-3.1-70b", engine="ollama", gpu="RTX 4090", num_gpu=81).starts == "no"


TOY = Placed((10,) * 4, (6,) * 4, 5, 5, (2,) * 4, output_first=True)


@pytest.mark.parametrize(
    ("room", "count", "off", "parted"),
    [
        (49, 5, (0, 0, 0, 0), ""),  # all of it: four layers, their caches of 1, the output of 5
        (48, 5, (0, 0, 0, 2), "down"),  # one layer is partial, and all but its down projection is on the card
        (43, 5, (0, 0, 0, 6), ""),
        (42, 5, (0, 0, 2, 6), "down"),  # less than the room, as llama.cpp asks
        (36, 5, (0, 2, 6, 6), "down"),
        (34, 5, (0, 4, 6, 6), "gate and down"),
        (33, 5, (0, 6, 6, 6), ""),
        (31, 5, (0, 6, 6, 6), ""),
        (30, 4, (0, 0, 6, 6), ""),  # not all layers without their experts: of three on the card, the first has them
        (4, 0, (0, 6, 6, 6), ""),
    ],
)
def test_a_mixture_leaves_experts_with_the_host_before_layers(room, count, off, parted):
    caches = SimpleNamespace(layers=(1,) * 4)
    found = fitted_mixture(TOY, caches, LlamaCppSettings(), room)
    assert (found.count, found.parted) == (count, parted)
    assert found.off == off or not count


def test_a_mixture_that_fits_itself():
    report = inspector.serve("qwen3-30b-a3b", engine="llama.cpp", gpu="RTX 3060", ctx_size=8192)
    assert report.starts == "yes"
    assert any("49 of 49 layers on the card, the experts of" in line for line in report.notes)
    by_hand = inspector.serve("qwen3-30b-a3b", engine="llama.cpp", gpu="RTX 3060", ctx_size=8192, n_cpu_moe=4)
    assert by_hand.starts == "no"  # nothing is fitted where tensors are placed by hand
    assert any("placed by hand" in line for line in by_hand.notes)


def test_the_output_is_the_first_of_the_layers():
    asked = {"engine": "llama.cpp", "gpu": "RTX 3060", "n_gpu_layers": 1, "ctx_size": 4096}
    first, last = (inspector.serve("llama-3.1-8b", **asked, engine_version=build) for build in ("b8000", "b7000"))
    output = 128_256 * 4096 // 256 * 210  # in Q6_K
    assert first.weights_bytes.value == pytest.approx(output, abs=20_000)
    assert last.weights_bytes.value < output


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        ("llama-3.1-8b", "-ctv q8_0 -fa off", "V cache quantization requires flash_attn"),
        ("pythia-2.8b", "-ctk q4_0 -fa", "K cache type q4_0 with block size 32 does not divide n_embd_head_k=80"),
        ("llama-3.1-8b", "-b 0", "a context, a batch"),
    ],
)
def test_caches_that_it_does_not_make(model, words, said):
    with pytest.raises(InspectorError, match=said):
        inspector.serve(model, engine="llama.cpp", words=words.split())


def test_sglang_takes_a_share_of_what_is_free():
    words = ("--tp", "4", "--mem-fraction-static", "0.8")
    report = inspector.serve("qwen3-14b", engine="sglang", gpu="RTX 4090", words=words)
    # As printed: 298,447 tokens on four of them.
    assert report.kv_tokens.low <= 298_447 <= report.kv_tokens.high
    small = inspector.serve("llama-3.1-8b", engine="sglang", gpu="T4")
    assert small.starts == "no"
    assert "--mem-fraction-static" in small.helps[0]


@pytest.mark.parametrize(("version", "share"), [("0.4.6", 0.88), ("0.4.10", 0.82), ("0.5.5", 0.772)])
def test_the_default_fraction_has_eras(version, share):
    report = inspector.serve("qwen3-0.6b", engine="sglang", vram="16GiB", engine_version=version)
    assert any(f"--mem-fraction-static {share}" in line for line in report.assumed)


def test_ollamas_estimator():
    report = inspector.serve(
        "qwen2.5-1.5b", engine="ollama", gpu="RTX 3060", engine_version="0.9", num_ctx=4096, num_parallel=2
    )
    assert dict(report.extra)["graph, as ollama 0.3 to 0.11 estimated it"] == 314_310_656
    assert report.weights_bytes.value / MiB == pytest.approx(934.7, abs=0.05)
    assert report.layers_that_fit == 29


def test_attention_that_is_data_parallel_lies_whole_on_its_ranks():
    words = ("--tp", "8", "--mem-fraction-static", "0.85")
    whole = inspector.serve("qwen3-235b-a22b", engine="sglang", gpu="H200", words=words)
    spread = {
        ranks: inspector.serve(
            "qwen3-235b-a22b", engine="sglang", gpu="H200", words=(*words, "--enable-dp-attention", "--dp", ranks)
        )
        for ranks in ("8", "2")
    }

    def part(report, name):
        return next(part.nbytes for part in report.weights if part.name == name)

    # Of 4 heads of keys and values eight ranks together hold one each; alone each holds all, in groups of four one.
    assert part(spread["8"], "attention") > 6 * part(whole, "attention")
    assert part(spread["8"], "embedding") == 8 * part(whole, "embedding")
    assert part(spread["8"], "experts") == part(whole, "experts")
    assert spread["8"].cache.token_bytes == 4 * whole.cache.token_bytes
    assert spread["2"].cache.token_bytes == whole.cache.token_bytes
    with pytest.raises(InspectorError, match="--dp 3 does not divide --tp 8"):
        inspector.serve("qwen3-235b-a22b", engine="sglang", words=("--tp", "8", "--dp", "3", "--enable-dp-attention"))

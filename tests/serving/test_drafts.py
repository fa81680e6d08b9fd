"""Speculative decoding: what drafts add to a rank's weights and to a token's cache."""

import json

import pytest

import inspector


def _asked(model, config=None, **options):
    said = {"speculative_config": json.dumps(config)} if config else {}
    return inspector.serve(model, gpu="H200", max_model_len=8192, **said, **options)


def _part(report, name):
    return next((part.nbytes for part in report.weights if part.name == name), 0)


def test_a_layer_of_its_own_is_one_more_of_the_last():
    plain = _asked("deepseek-r1", tensor_parallel_size=8)
    drafting = _asked("deepseek-r1", {"method": "mtp", "num_speculative_tokens": 1}, tensor_parallel_size=8)
    assert drafting.cache.token_bytes - plain.cache.token_bytes == 1152  # a latent more
    # 256 experts in a byte each over eight ranks, of which the layer is nearly all, and the projection whole.
    experts = 256 * 3 * 2048 * 7168 // 8
    projection = 2 * 2 * 7168**2
    assert _part(drafting, "multi-token prediction") == pytest.approx(experts + projection, rel=0.1)
    assert drafting.weights_bytes.value - plain.weights_bytes.value == _part(drafting, "multi-token prediction")


def test_a_hybrid_drafts_with_full_attention():
    options = {"tensor_parallel_size": 4}
    plain = _asked("qwen3-next-80b-a3b-instruct", **options)
    drafting = _asked("qwen3-next-80b-a3b-instruct", {"method": "mtp", "num_speculative_tokens": 2}, **options)
    assert drafting.cache.token_bytes - plain.cache.token_bytes == plain.cache.token_bytes // 12
    assert _part(drafting, "multi-token prediction") > 0


def test_a_small_model_drafts_beside_a_large_one():
    small, large = _asked("llama-3.2-1b"), _asked("llama-3.1-8b")
    both = _asked("llama-3.1-8b", {"model": "meta-llama/Llama-3.2-1B", "num_speculative_tokens": 3})
    assert both.cache.token_bytes == small.cache.token_bytes + large.cache.token_bytes
    assert _part(both, "draft model") == small.weights_bytes.value
    assert both.weights_bytes.value == small.weights_bytes.value + large.weights_bytes.value


@pytest.mark.parametrize(
    ("model", "config", "said"),
    [
        ("llama-3.1-8b", {"method": "ngram", "prompt_lookup_max": 4}, "ngram looks its drafts up"),
        (
            "llama-3.1-8b",
            {"method": "eagle3", "model": "org/EAGLE3-LLaMA3.1-8B"},
            "org/EAGLE3-LLaMA3.1-8B is not at hand",
        ),
        ("llama-3.1-8b", {"method": "mtp"}, "no layer of multi-token prediction"),
    ],
)
def test_what_is_not_counted_is_named(model, config, said):
    plain, report = _asked(model), _asked(model, {**config, "num_speculative_tokens": 2})
    assert any(said in line for line in report.notes)
    assert (report.weights_bytes, report.cache.token_bytes) == (plain.weights_bytes, plain.cache.token_bytes)


def test_sglang_counts_them_too():
    def asked(*words):
        return inspector.serve("deepseek-v3", engine="sglang", gpu="H200", words=("--tp", "8", *words))

    plain, drafting = asked(), asked("--speculative-algorithm", "EAGLE", "--speculative-num-steps", "3")
    assert drafting.cache.token_bytes - plain.cache.token_bytes == 1152
    assert _part(drafting, "multi-token prediction") > 0
    assert not drafting.not_understood
    named = asked("--speculative-algo", "EAGLE3", "--speculative-draft-model-path", "org/EAGLE3-head")
    assert any("org/EAGLE3-head is not at hand" in line for line in named.notes)

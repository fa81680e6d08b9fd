"""The cache's arithmetic against the cache transformers' own models fill, layer by layer, to the byte."""

from __future__ import annotations

import pytest

from inspector.errors import InspectorError
from inspector.lenses.kv_cache import CacheReport, LayerCache, cache_report
from inspector.sources.bundled import bundled_config, load_bundled, model_ids
from tests.models import shortest

SMALL = [
    "HuggingFaceTB/SmolLM2-135M",
    "Qwen/Qwen3-0.6B",
    "google/gemma-3-1b-it",
    "openai-community/gpt2",
    "EleutherAI/pythia-70m",
    "bigscience/bloom-560m",
    "facebook/opt-125m",
    "allenai/OLMo-2-0425-1B",
    "deepseek-ai/DeepSeek-V2-Lite",
]


def bundled(*names):
    known = set(model_ids())
    return [name for name in names if name in known]


def real_layers(config, batch, lengths, cache="dynamic"):
    """Layers and bytes of the real model's cache after its last token."""
    from inspector.simulate.program.decoding import trace_generate
    from inspector.simulate.setup.generation import GenerateSettings

    prompt, new = lengths
    setup = GenerateSettings(batch_size=batch, prompt_len=prompt, max_new_tokens=new, cache=cache, dtype="bfloat16")
    trace = trace_generate(config, setup.setup, (8, 0), 108)
    return trace.layers, trace.cache_bytes


@pytest.mark.parametrize("model_id", bundled(*SMALL))
def test_arithmetic_equals_the_real_cache(model_id):
    report = cache_report(model_id, load_bundled(model_id).facts, bundled_config(model_id), "bfloat16")
    layers, nbytes = real_layers(bundled_config(model_id), 2, (600, 40))
    assert report.layers == layers
    # Counters and the like are single numbers; everything else is keys and values.
    assert 0 <= nbytes - report.nbytes(2, 600 + 40 - 1) <= 16 * len(layers)


@pytest.mark.slow
def test_arithmetic_equals_every_bundled_family():
    seen, unlike = set(), []
    for model_id in model_ids():
        config, facts = bundled_config(model_id), load_bundled(model_id).facts
        # With as many heads of keys as of queries, and with fewer: Falcon 7B and 40B keep them in two ways.
        family = facts.model_type, facts.num_key_value_heads == facts.num_attention_heads
        if family in seen or facts.model_type in {"bert", "gpt_oss"}:
            continue
        try:
            report = cache_report(model_id, facts, config, "bfloat16")
        except InspectorError:
            continue
        seen.add(family)
        # Every sort of layer: all the layers of nine families are above, and all their windows below.
        depth = shortest(model_id)
        layers, _ = real_layers(depth.config(), 1, (32, 4))
        if layers != report.layers[: depth.layers] or not set(report.layers) <= set(layers):
            unlike.append((model_id, layers[0], report.layers[0]))
    assert not unlike
    assert len({model_type for model_type, _ in seen}) >= 20


def test_windows_are_those_of_transformers_caches():
    from transformers.cache_utils import get_layer_types_and_kwargs

    from inspector.architecture import build_config

    checked = set()
    for model_id in model_ids():
        config, facts = bundled_config(model_id), load_bundled(model_id).facts
        try:
            report = cache_report(model_id, facts, config)
        except InspectorError:
            continue
        _, kwargs = get_layer_types_and_kwargs(build_config(config).get_text_config(decoder=True))
        assert [layer.window for layer in report.layers] == [more.get("sliding_window") for more in kwargs], model_id
        checked.add(facts.model_type)
    assert len(checked) >= 25


def test_published_figures():
    """Llama 3.1 8B: 128 KiB a token in 16 bits (32 layers, 8 heads of 128, keys and values)."""
    report = cache_report("x", load_bundled("meta-llama/Llama-3.1-8B").facts, bundled_config("meta-llama/Llama-3.1-8B"))
    assert report.token_bytes == report.growing_token_bytes == 128 * 1024
    assert report.nbytes(2, 1000) == 2 * 1000 * 128 * 1024 == report.static_bytes(2, 1000)


def test_a_full_window_stops_growing():
    report = CacheReport("x", "bfloat16", (LayerCache("full", 10), LayerCache("sliding", 10, 100)))
    assert report.nbytes(1, 50) == 1000
    assert report.nbytes(1, 1000) == 10_000 + 990
    assert report.static_bytes(1, 1000) == 10_000 + 1000
    assert (report.token_bytes, report.growing_token_bytes) == (20, 10)


def test_hybrid_models_are_read_off_the_real_one():
    model_id = "Qwen/Qwen3-Next-80B-A3B-Instruct"
    with pytest.raises(InspectorError, match="simulate generate"):
        cache_report(model_id, load_bundled(model_id).facts, bundled_config(model_id))


def test_the_arithmetic_needs_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from inspector.lenses.kv_cache import cache_report; from inspector.sources.bundled import *;"
        "m='meta-llama/Llama-3.1-8B'; cache_report(m, load_bundled(m).facts, bundled_config(m));"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

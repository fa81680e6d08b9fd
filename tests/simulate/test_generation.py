"""Simulated generation: the steps that are skipped change nothing, and the real loop on a CPU allocates the same."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from inspector.cli import main as program
from inspector.errors import InspectorError
from inspector.fit.longest_prompt import generate_with_longest_prompt
from inspector.gpus import card_of_size, find_gpu
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.generation import simulate_generate
from inspector.simulate.program.decoding import trace_generate
from inspector.simulate.setup.generation import GenerateSettings
from inspector.simulate.setup.words import CacheKind
from tests.models import Depth

SMOL = "HuggingFaceTB/SmolLM2-135M"
MODELS = [SMOL, "google/gemma-3-1b-it", "openai-community/gpt2"]


def run(model_id, *, every_step=False, layers=None, **options):
    setup = GenerateSettings(**{"prompt_len": 40, "max_new_tokens": 16, "dtype": "bfloat16", **options}).setup
    config = Depth(model_id, layers).config()
    trace = trace_generate(config, setup, (8, 0), 108, every_step=every_step)
    return trace, replay(trace.events)


PAIRS = [
    (model, cache) for model in MODELS for cache in get_args(CacheKind) if cache != "quantized" or "gemma" not in model
]


@pytest.mark.parametrize(("model_id", "cache"), PAIRS)
def test_skipping_the_middle_changes_nothing(model_id, cache):
    # Whole where the cache is the usual one; seven layers have Gemma 3's full attention between two that slide.
    layers = None if (model_id, cache) == (SMOL, "dynamic") else 7
    short, short_line = run(model_id, cache=cache, layers=layers)
    full, full_line = run(model_id, cache=cache, layers=layers, every_step=True)
    assert (short.layers, short.cache_bytes, short.last_step) == (full.layers, full.cache_bytes, full.last_step)
    assert len(full.events) > len(short.events)
    whole = {stage.step: stage for stage in full_line.stages}
    for stage in short_line.stages:
        if stage.step in {0, 1, 2, 3, 13, 14, 15}:
            same = whole[stage.step]
            assert (stage.peak_allocated, stage.end_allocated) == (same.peak_allocated, same.end_allocated), stage.step
    assert short_line.peak_allocated == full_line.peak_allocated
    assert short_line.peak_reserved == full_line.peak_reserved


def test_a_window_that_fills_while_skipping():
    """Gemma 3's window of 512 fills between the traced ends."""
    short, short_line = run("google/gemma-3-1b-it", prompt_len=505, max_new_tokens=20, layers=7)
    full, full_line = run("google/gemma-3-1b-it", prompt_len=505, max_new_tokens=20, layers=7, every_step=True)
    assert short.cache_bytes == full.cache_bytes
    assert short_line.stages[-1].peak_allocated == full_line.stages[-1].peak_allocated


def test_the_cache_grows_as_its_arithmetic_says():
    trace, _ = run(SMOL, batch_size=3)
    assert trace.cache_bytes == 3 * (40 + 15) * sum(layer.token_bytes for layer in trace.layers)


@pytest.mark.parametrize("num_beams", [1, 2])
def test_a_mixture_copies_the_weights_of_the_chosen_experts_as_it_decodes(num_beams):
    """transformers multiplies by copies then (``_optimize_model_for_decode``), but not in the prefill, nor of beams."""
    size = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = {
        **size, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_key_value_heads": 2,
        "vocab_size": 128, "num_local_experts": 8, "num_experts_per_tok": 2,
    }  # fmt: skip
    options = {"prompt_len": 4, "max_new_tokens": 4, "dtype": "bfloat16", "batch_size": 3, "num_beams": num_beams}
    stages = replay(trace_generate(config, GenerateSettings(**options).setup, (8, 0), 108).events).stages
    copied = 3 * 2 * (3 * 1024 * 256) * 2  # gate and up are still there when down is copied
    last = stages[-1].peak_allocated - stages[-1].end_allocated
    assert (copied < last < 1.02 * copied) if num_beams == 1 else last < copied / 8


def test_beams_have_a_cache_each():
    one, _ = run(SMOL, layers=7)
    short, line = run(SMOL, layers=7, num_beams=3)
    full, every = run(SMOL, layers=7, num_beams=3, every_step=True)
    assert short.layers == one.layers
    assert short.cache_bytes == full.cache_bytes == 3 * one.cache_bytes
    assert (line.peak_allocated, line.peak_reserved) == (every.peak_allocated, every.peak_reserved)


def test_a_static_cache_is_there_from_the_beginning():
    _, dynamic = run(SMOL, max_new_tokens=400)
    _, static = run(SMOL, max_new_tokens=400, cache="static")
    prefill = (
        {stage.step: stage.end_allocated for stage in dynamic.stages},
        {stage.step: stage.end_allocated for stage in static.stages},
    )
    assert prefill[1][0] > prefill[0][0]
    assert abs(static.stages[-1].end_allocated - dynamic.stages[-1].end_allocated) < 2**20


def test_an_offloaded_cache_leaves_two_layers():
    _, dynamic = run(SMOL, prompt_len=4096)
    trace, offloaded = run(SMOL, prompt_len=4096, cache="offloaded")
    layer = trace.layers[0].nbytes(4096)
    saved = dynamic.stages[-1].end_allocated - offloaded.stages[-1].end_allocated
    assert abs(saved - (len(trace.layers) - 1) * layer) <= layer


@pytest.mark.filterwarnings("ignore:.past_key_values. is deprecated:FutureWarning")  # from 5.24 on
def test_the_real_loop_on_a_cpu_keeps_the_same_bytes():
    """Run transformers' own generate on a small real model, and count the tensors its cache holds."""
    import torch
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=100, max_position_embeddings=256,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    cache = DynamicCache(config=config)
    ids = torch.arange(2 * 7).reshape(2, 7)
    mask = torch.ones_like(ids)
    model.generate(ids, attention_mask=mask, past_key_values=cache, max_new_tokens=9, do_sample=False, pad_token_id=0,
                   eos_token_id=None)  # fmt: skip
    real = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    setup = GenerateSettings(batch_size=2, prompt_len=7, max_new_tokens=9, dtype="float32").setup
    trace = trace_generate({**config.to_dict(), "architectures": ["LlamaForCausalLM"]}, setup, (8, 0), 108)
    assert trace.cache_bytes == real


@pytest.mark.slow
def test_report_and_largest_prompt():
    report = generate_with_longest_prompt(SMOL, gpu=card_of_size("1GiB"), max_new_tokens=8)
    assert report.fits
    assert report.largest_prompt > 1024
    assert report.prefill.peak_allocated <= report.peaks.allocated
    assert sum(nbytes for _, nbytes in report.alive_at_peak) == report.peaks.allocated
    for extra, fits in ((0, True), (16, False)):
        again = simulate_generate(
            SMOL, gpu=card_of_size("1GiB"), prompt_len=report.largest_prompt + extra, max_new_tokens=8
        )
        assert again.fits is fits


def test_it_says_when_it_does_not_fit():
    report = simulate_generate("meta-llama/Llama-3.1-8B", gpu=find_gpu("T4"))
    assert not report.fits
    assert report.margin_bytes < 0


def test_the_command(capsys):
    code = program.run(["simulate", "generate", SMOL, "--prompt-len", "64", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert code == 0
    assert answer["stages"].keys() == {"prefill", "last_token"}
    assert answer["cache_token_bytes"] == sum(layer["token_bytes"] for layer in answer["cache_layers"])
    assert program.run(["simulate", "generate", SMOL, "--vram", "600MiB"]) == 1
    assert "Does not fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"cache": "paged"}, "choose from"),
        ({"scheme": "int3"}, "choose from"),
        ({"prompt_len": 2**30}, "prompt_len"),
        ({"num_beams": 0}, "num_beams"),
        ({"num_beams": 2, "cache": "offloaded"}, "not simulated with an offloaded cache"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(InspectorError, match=message):
        GenerateSettings(**options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model_type", ["mamba", "jamba", "rwkv", "deepseek_v32", "gpt_oss", "falcon_h1", "gemma3", "reformer", "bert"]
)
def test_families_of_every_kind_generate(model_type):
    """Every step traced and the middle skipped end alike, whatever the family keeps between steps."""
    from tests.simulate.families import small_config

    setup = GenerateSettings(prompt_len=40, max_new_tokens=12, dtype="bfloat16").setup
    runs = [
        trace_generate(small_config(model_type), setup, (8, 0), 108, every_step=every_step) for every_step in (0, 1)
    ]
    short, full = (replay(trace.events).stages[-1] for trace in runs)
    assert runs[0].cache_bytes == runs[1].cache_bytes
    assert (short.step, short.peak_allocated, short.end_allocated) == (
        full.step,
        full.peak_allocated,
        full.end_allocated,
    )


def test_a_model_that_does_not_generate_is_said():
    with pytest.raises(InspectorError, match="does not generate text"):
        run("google-bert/bert-base-uncased")


def test_a_quantized_cache_that_does_not_exist_is_said():
    with pytest.raises(InspectorError, match="no quantized cache"):
        run("google/gemma-3-1b-it", cache="quantized")

"""Generation of encoder-decoders: the allocations of transformers' own ``generate``, and both caches byte for byte."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch

from inspector.architecture import build_config, model_class
from inspector.errors import InspectorError
from inspector.fit.longest_prompt import generate_with_longest_prompt
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.device.kernels import cpu_kernels
from inspector.simulate.program import encoding
from inspector.simulate.program.convolutions import NOT_COUNTED
from inspector.simulate.program.decoding import trace_generate
from inspector.simulate.program.decoding_loop import Decoding
from inspector.simulate.repeated_layers.extrapolated_trace import generate_events
from inspector.simulate.setup.generation import GenerateSettings
from inspector.simulate.tracing.tracer import Tracer
from tests.simulate.cpu_sizes import SMALLEST, levels, profiled_sizes, traced_sizes
from tests.simulate.tasks import BART, BERT, SEEING, T5, WHISPER, named

pytestmark = pytest.mark.filterwarnings("ignore")

MODELS = {
    "T5": named("T5ForConditionalGeneration", T5),
    "BART": named("BartForConditionalGeneration", BART),
    "Whisper": named("WhisperForConditionalGeneration", WHISPER),
    "a picture's caption": named("VisionEncoderDecoderModel", SEEING),
}
BATCH, NEW = 3, 12


def setup(**words):
    return GenerateSettings(**{"batch_size": BATCH, "prompt_len": 40, "max_new_tokens": NEW, **words}).setup


def built(config):
    parsed = build_config(config)
    # The kernel that fuses attention on a CPU has scratch memory for each thread.
    parsed._attn_implementation = "eager"
    return model_class(parsed)(parsed).eval()


def real(config, asked):
    """What ``generate`` allocates and frees, and the caches it leaves."""
    from transformers import GenerationMixin

    model = built(config)
    given = {name: torch.ones(one.shape, dtype=one.dtype) for name, one in encoding.source(model, asked).items()}
    static = {"cache_implementation": "static", "disable_compile": True} if asked.cache == "static" else {}
    left = []

    @torch.no_grad()
    def run():
        left.append(GenerationMixin.generate(
            model, **given, max_new_tokens=asked.max_new_tokens, do_sample=False, num_beams=asked.num_beams,
            eos_token_id=None, pad_token_id=0, decoder_start_token_id=0, return_dict_in_generate=True, **static,
        ).past_key_values)  # fmt: skip

    sizes = profiled_sizes(run)
    parts = left[0].self_attention_cache, left[0].cross_attention_cache
    return sizes, [sum(layer.keys.nbytes + layer.values.nbytes for layer in part.layers) for part in parts]


def ours(config, asked):
    with torch.device("meta"):
        model = built(config)
    loop = Decoding(model, asked, Tracer(cpu_kernels()))
    given = sum(4 * torch.Size(one.shape).numel() for one in loop.inputs.values() if one.dtype == torch.float32)

    @torch.no_grad()
    def run():
        loop.run(every_step=True)

    return traced_sizes(run, [*model.parameters(), *model.buffers()]), given


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cache", "beams"), [*((name, "dynamic", 1) for name in MODELS), ("T5", "static", 1), ("T5", "dynamic", 4)]
)
def test_allocations_are_those_of_generate(name, cache, beams):
    asked = setup(cache=cache, max_new_tokens=5, num_beams=beams)
    sizes, kept = real(MODELS[name], asked)
    traced, given = ours(MODELS[name], asked)
    # What the encoder is given is there before the real one begins.
    assert levels(traced, SMALLEST - 1)[0] - given == levels(sizes, SMALLEST - 1)[0]
    if name in {"T5", "BART"}:  # the convolutions of a CPU have scratch memory of their own
        assert made(traced) == made(sizes)
    trace = trace_generate(MODELS[name], asked, (8, 0), 108)
    cross = asked.sequences * sum(layer.nbytes(trace.source) for layer in trace.cross)
    counters = 4 * 2 * 4 if cache == "static" else 0
    assert trace.cache_bytes - cross == pytest.approx(kept[0], abs=counters)
    assert cross == kept[1]


def made(sizes):
    return Counter(size for size in sizes if size >= SMALLEST)


@pytest.mark.parametrize(
    ("name", "cache", "beams"), [("T5", "dynamic", 1), ("T5", "static", 3), ("Whisper", "dynamic", 3)]
)
def test_skipping_the_middle_changes_nothing(name, cache, beams):
    asked = setup(cache=cache, num_beams=beams)
    short, full = (trace_generate(MODELS[name], asked, (8, 0), 108, every_step=every) for every in (False, True))
    assert (short.layers, short.cross, short.cache_bytes) == (full.layers, full.cross, full.cache_bytes)
    few, all_of_them = replay(short.events), replay(full.events)
    assert (few.peak_allocated, few.peak_reserved) == (all_of_them.peak_allocated, all_of_them.peak_reserved)
    assert few.stages[-1].peak_allocated == all_of_them.stages[-1].peak_allocated
    assert few.stages[-1].end_allocated == all_of_them.stages[-1].end_allocated


@pytest.mark.parametrize("depths", [{"num_layers": 14}, {"num_layers": 14, "num_decoder_layers": 2}], ids=str)
def test_of_two_stacks_every_layer_is_traced(depths):
    deep = {**MODELS["T5"], **depths}
    assert generate_events(deep, setup(), (8, 0), 108) == trace_generate(deep, setup(), (8, 0), 108)


def test_the_report_has_both_caches(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**MODELS["T5"], "num_beams": 4}))
    words = {"batch_size": BATCH, "prompt_len": 40, "max_new_tokens": NEW}
    report = generate_with_longest_prompt(str(tmp_path), **words, solve=False)
    cache = report.cache
    assert (len(cache.layers), len(cache.cross), cache.source) == (2, 2, 40)
    # Keys and values of four heads of 16 in float32; the last token of an answer is not fed back.
    assert cache.token_bytes == cache.cross_token_bytes == 2 * 2 * 4 * 16 * 4
    assert report.cache_bytes == BATCH * cache.token_bytes * (NEW + 40)
    assert report.growth[0] == (0, cache.cross_bytes(BATCH))
    assert report.growth[-1] == (NEW, report.cache_bytes)
    assert "the encoder reads input_ids 3 x 40, attention_mask 3 x 40 once" in " ".join(report.assumptions)
    assert "its config asks for 4 beams, each with a cache of its own: --num-beams 4" in report.assumptions
    assert NOT_COUNTED not in report.assumptions
    assert sum(nbytes for _, nbytes in report.alive_at_peak) == report.peaks.allocated


def test_a_longer_source_is_kept_and_a_window_of_sound_is_one(tmp_path):
    for name, config in MODELS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    solved = generate_with_longest_prompt(str(tmp_path / "T5"), vram="600MiB", max_new_tokens=4)
    assert solved.largest_prompt > 1024
    short, long = (trace_generate(MODELS["Whisper"], setup(prompt_len=tokens), (8, 0), 108) for tokens in (8, 64))
    assert short.events == long.events
    assert NOT_COUNTED in short.notes
    with pytest.raises(InspectorError, match="reads input_features 1 x 80 x 120, whatever the prompt"):
        generate_with_longest_prompt(str(tmp_path / "Whisper"), max_new_tokens=4)


@pytest.mark.parametrize(
    ("config", "words", "said"),
    [
        (MODELS["T5"], {"cache": "offloaded"}, "takes no offloaded cache"),
        (MODELS["BART"], {"cache": "quantized"}, "takes no quantized cache"),
        (MODELS["Whisper"], {"max_new_tokens": 25}, "24 learned positions, too few for 25 tokens"),
        (MODELS["BART"], {"prompt_len": 65}, "64 learned positions, too few for 65 tokens"),
        (named("BertForSequenceClassification", BERT), {}, "does not generate text"),
        ({"model_type": "musicgen", "architectures": ["MusicgenForConditionalGeneration"]}, {}, "a loop of its own"),
    ],
)
def test_what_cannot_be_is_one_line(config, words, said):
    with pytest.raises(InspectorError, match=said) as caught:
        trace_generate(config, setup(**words), (8, 0), 108)
    assert "\n" not in str(caught.value)

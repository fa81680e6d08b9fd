"""Advice names the peak's cause, offers what helps and nothing else, and says so where nothing does."""

from __future__ import annotations

import pytest

from inspector.fit.cause import parts_at_peak
from inspector.fit.plan import plan
from inspector.gpus import card_of_size, catalogue, find_gpu
from inspector.memory_kinds import MemoryKind
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.finetuning import finetune
from inspector.simulate.program.training import trace_finetune
from inspector.simulate.setup.finetuning import resolve_setup

pytestmark = pytest.mark.filterwarnings("ignore")

GROUPED = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 512, "intermediate_size": 512,
    "num_hidden_layers": 1, "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 512, "dtype": "float16",
}  # fmt: skip
LONG = {"method": "lora", "dtype": "float16", "batch_size": 4, "seq_len": 8192, "gpu": "T4"}


@pytest.fixture(scope="module")
def long_on_a_t4():
    """Grouped heads, no mask, a card before Ampere: sdpa has no fused kernel for it."""
    return plan("grouped", GROUPED, resolve_setup(**LONG).settings, find_gpu("T4"))


def test_the_math_kernel_is_named_and_its_cheap_cures_come_first(long_on_a_t4):
    report = long_on_a_t4
    assert not report.fits
    assert "attention matrices" in report.cause
    assert "no fused kernel" in report.cause
    repeated, padded = report.changes[:2]
    assert "use_gqa_in_sdpa" in repeated.what
    assert "padding mask" in padded.what
    assert dict(repeated.settings)["sdpa_backend"] == "efficient"
    assert repeated.peaks.allocated * 4 < report.peaks.allocated
    assert padded.peaks.allocated * 4 < report.peaks.allocated
    assert repeated.peaks.fits


def test_where_a_fused_kernel_takes_grouped_heads_there_is_nothing_to_cure():
    report = finetune(GROUPED, **{**LONG, "seq_len": 128, "batch_size": 1, "gpu": "A100-80GB"})
    assert (report.math_attention, report.math_cures) == (False, ())
    report = finetune(GROUPED, **{**LONG, "seq_len": 128, "batch_size": 1})
    assert (report.math_attention, report.math_cures) == (True, ("repeated", "padded"))
    report = finetune(GROUPED, **{**LONG, "seq_len": 128, "batch_size": 1, "dtype": "bfloat16"})
    assert report.math_cures == ("float16 and repeated", "float16 and padded")


def test_the_one_line_does_what_the_simulated_setting_does(monkeypatch):
    """`use_gqa_in_sdpa` replaced as the advice says, against ``sdpa_backend`` efficient: event by event."""
    from transformers.integrations import sdpa_attention

    setup = resolve_setup(**{**LONG, "seq_len": 256}).setup
    advised = trace_finetune(
        GROUPED, resolve_setup(**{**LONG, "seq_len": 256}, sdpa_backend="efficient").setup, (7, 5), 40
    )
    monkeypatch.setattr(sdpa_attention, "use_gqa_in_sdpa", lambda *_: False)
    done = trace_finetune(GROUPED, setup, (7, 5), 40)
    sizes = [[(type(event), getattr(event, "nbytes", 0)) for event in found.events] for found in (advised, done)]
    assert sizes[0] == sizes[1]


def test_padding_keeps_the_mask():
    masked, padded = (
        finetune(GROUPED, **{**LONG, "seq_len": 256}, padding_mask=True, padded=padded) for padded in (False, True)
    )
    assert masked.math_attention
    assert not padded.math_attention
    assert padded.peak_allocated_bytes < masked.peak_allocated_bytes


def test_a_change_is_listed_only_if_it_helps(long_on_a_t4):
    missing = -long_on_a_t4.peaks.margin
    for change in long_on_a_t4.changes:
        assert change.peaks.fits or (long_on_a_t4.peaks.process - change.peaks.process) * 50 >= missing, change.what
    assert not any("optimizer" in change.what for change in long_on_a_t4.changes)


def test_weights_that_are_too_much_alone_are_said_and_nothing_is_offered():
    settings = resolve_setup(method="qlora", seq_len=64).settings
    wide = GROUPED | {"hidden_size": 4096, "intermediate_size": 16384, "vocab_size": 128000, "num_attention_heads": 32}
    report = plan("wide", wide, settings, card_of_size("700MiB"))
    assert not report.changes
    assert not report.together
    assert report.smallest is None
    assert report.weights_alone > 700 * 2**20 - report.peaks.context
    # To the byte what loading takes after the change that matters: no float32 upcast.
    least = finetune(wide, method="qlora", prepare_kbit=False, seq_len=64, keep_events=True)
    loaded = replay(least.events).alive(least.events, at=len(least.events) - 1)
    base = {MemoryKind.BASE_WEIGHTS, MemoryKind.QUANTIZATION_CONSTANTS}
    assert report.weights_alone == sum(block.alloc.nbytes for block in loaded if block.alloc.kind in base)
    assert "base weights" in report.cause


def test_when_all_together_do_not_fit_that_is_said():
    settings = resolve_setup(method="lora", seq_len=512, batch_size=4, dtype="float16").settings
    room = 24 * 2**20  # for weights and workspaces, not for a sequence
    report = plan("m", GROUPED, settings, card_of_size(f"{card_of_size('8GiB').context_bytes + room}B"))
    assert report.smallest is not None
    assert not report.smallest.peaks.fits
    assert report.smallest.peaks.process < report.peaks.process
    assert not report.changes
    assert not report.together


def test_parts_are_of_the_peak():
    report = finetune(GROUPED, **{**LONG, "seq_len": 2048})
    parts = parts_at_peak(report)
    assert next(iter(parts)) == "attention"
    assert sum(parts.values()) <= report.peaks.reserved
    assert all(nbytes >= 0 for nbytes in parts.values())


def test_articles():
    named = {card.name: card.with_article for card in catalogue()}
    for name, said in (
        ("T4", "a T4"), ("RTX 4090", "an RTX 4090"), ("A100-80GB", "an A100-80GB"), ("H100-SXM", "an H100-SXM"),
        ("L4", "an L4"), ("B200", "a B200"), ("V100-16GB", "a V100-16GB"), ("GTX 1080 Ti", "a GTX 1080 Ti"),
        ("TITAN RTX", "a TITAN RTX"), ("Quadro RTX 5000", "a Quadro RTX 5000"),
    ):  # fmt: skip
        assert named[name] == said
    assert [card_of_size(size).with_article for size in ("8GiB", "16GiB", "11GiB", "80GiB", "18GiB")] == [
        "an 8GiB", "a 16GiB", "an 11GiB", "an 80GiB", "an 18GiB",
    ]  # fmt: skip

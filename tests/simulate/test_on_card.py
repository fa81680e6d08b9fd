"""One place says what a run takes on a card, and all who ask get the same word."""

from __future__ import annotations

from inspector.fit.advise import finetune_with_advice
from inspector.fit.simulator import Simulator
from inspector.gpus import card_of_size, find_gpu
from inspector.simulate import finetune
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.events import Alloc, Free
from inspector.simulate.generation import simulate_generate
from inspector.simulate.on_card import Peaks, peaks_on
from inspector.simulate.setup.finetuning import resolve_setup

MiB = 2**20


def test_verdicts_come_from_bytes():
    for process, served, verdict in (
        (95, "freely", "fits"),
        (96, "freely", "tight"),
        (100, "freely", "tight"),
        (101, "by giving cached memory back", "tight"),
        (101, "not", "does not fit"),
    ):
        peaks = Peaks(allocated=process - 30, reserved=process - 10, context=10, usable=100, served=served)
        assert (peaks.verdict, peaks.process, peaks.margin) == (verdict, process, 100 - process)
        assert peaks.allocated_margin == peaks.margin + 20


def test_cached_memory_given_back_is_tight():
    """Two blocks of 30 MiB, then one of 60: the segments of the two are held, unless there is no room for all."""
    events = [*(Alloc(n, 30 * MiB, "temporaries") for n in (0, 1)), Free(0), Free(1), Alloc(2, 60 * MiB, "temporaries")]
    context = card_of_size("1GiB").context_bytes
    for room, served, verdict in (
        (1000, "freely", "fits"),
        (120, "freely", "tight"),
        (119, "by giving cached memory back", "tight"),
        (59, "not", "does not fit"),
    ):
        peaks = peaks_on(events, card_of_size(f"{context + room * MiB}B"), AllocatorSettings())
        assert (peaks.allocated, peaks.reserved) == (60 * MiB, 120 * MiB)
        assert (peaks.served, peaks.verdict, peaks.margin) == (served, verdict, (room - 120) * MiB)


def test_what_nccl_takes_counts_at_the_least_and_decides_at_the_most():
    events = [Alloc(0, 60 * MiB, "temporaries")]
    context = card_of_size("1GiB").context_bytes
    for room, served, verdict in (
        (150, "freely", "fits"),
        (149, "freely", "tight"),  # beside the least alone
        (70, "freely", "tight"),
        (69, "not", "does not fit"),
    ):
        card = card_of_size(f"{context + room * MiB}B")
        peaks = peaks_on(events, card, AllocatorSettings(), nccl=(10 * MiB, 90 * MiB))
        assert (peaks.served, peaks.verdict, peaks.margin) == (served, verdict, (room - 70) * MiB)
        assert (peaks.process, peaks.process_most) == (context + 70 * MiB, context + 150 * MiB)


def test_a_generation_with_a_byte_to_spare_is_tight(tiny_folder):
    asked = {"prompt_len": 64, "max_new_tokens": 8}
    process = simulate_generate(tiny_folder, gpu=card_of_size("8GiB"), **asked).process_bytes
    for extra, verdict in ((1, "tight"), (process // 10, "fits")):
        report = simulate_generate(tiny_folder, gpu=card_of_size(f"{process + extra}B"), **asked)
        assert (report.margin_bytes, report.fits, report.verdict) == (extra, True, verdict)
        assert report.to_dict()["verdict"] == verdict


def test_a_step_and_its_plan_say_the_same(tiny):
    report = finetune_with_advice(tiny, method="lora", vram="600MiB", seq_len=64, solve=True)
    assert report.peaks == report.plan.peaks
    settings = resolve_setup(method="lora", seq_len=64).settings
    assert Simulator(tiny, report.gpu).peaks(settings) == report.peaks


def test_kernels_of_flash_attn_may_hold_more_of_the_card(tiny, report):
    """Where it was measured, and of a run that has them: what fits beside the least alone is tight."""
    asked = {"recipe": "peft-loop", "seq_len": 16, "steps": 1, "gpu": "A100-80GB"}
    flash = finetune(tiny, **asked, attention="flash_attention_2")
    assert flash.peaks.process_most - flash.process_bytes == find_gpu("A100-80GB").flash_attn_bytes == 1162 * MiB
    assert report.peaks.process_most == report.process_bytes
    peaks = Peaks(allocated=50, reserved=80, context=10, usable=100, served="freely", context_more=11)
    assert (peaks.verdict, peaks.process_most) == ("tight", 101)

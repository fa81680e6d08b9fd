"""Verdicts come from bytes and are never rounded; every change that is offered was simulated and does what it says."""

from __future__ import annotations

import json

import pytest

from inspector.cli.main import run
from inspector.fit.changes import candidates
from inspector.fit.plan import cannot, plan
from inspector.fit.simulator import Simulator
from inspector.fit.table import fit_table
from inspector.gpus import card_of_size, find_gpu
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.on_card import peaks_on
from inspector.simulate.repeated_layers.extrapolated_trace import finetune_events
from inspector.simulate.setup.finetuning import resolve_setup

MiB, GiB = 2**20, 2**30
SMALL = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 1024, "intermediate_size": 2816,
    "num_hidden_layers": 3, "num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 32000,
    "dtype": "bfloat16",
}  # fmt: skip
"""Llama, a hundred million parameters: small enough to simulate many times, large enough to fill a small card."""


def smol(**options):
    return resolve_setup(**{"seq_len": 256, **options}).settings


@pytest.fixture(scope="module")
def too_small():
    """Full fine-tuning of a model on a card that cannot hold its optimizer."""
    return plan("small", SMALL, smol(method="full", batch_size=2), card_of_size("1500MiB"))


def test_fits_is_never_the_result_of_rounding():
    """A card one byte smaller than the process needs is too small, whatever the printed figures say."""
    settings, config = smol(), SMALL
    needed = plan("small", config, settings, card_of_size("8GiB")).peaks.process
    exactly = plan("small", config, settings, card_of_size(f"{needed}B"))
    assert exactly.peaks.margin == 0
    assert exactly.peaks.verdict == "tight"
    less = Simulator(config, card_of_size(f"{needed - 1}B")).peaks(settings)
    assert less.margin == -1
    assert less.verdict != "fits"


def test_changes_are_simulated_and_help(too_small):
    assert too_small.peaks.verdict == "does not fit"
    assert too_small.changes
    simulator = Simulator(SMALL, card_of_size("1500MiB"))
    for change in too_small.changes:
        assert change.peaks.process < too_small.peaks.process
        again = simulator.peaks(simulator.changed(too_small.settings, **dict(change.settings)))
        assert again == change.peaks
    fitting = [change.what for change in too_small.changes if change.peaks.fits]
    assert fitting or too_small.together


def test_changes_together_fit_when_none_does_alone():
    card = card_of_size("900MiB")
    report = plan("small", SMALL, smol(method="lora", batch_size=8, seq_len=512), card)
    assert not report.peaks.fits
    if any(change.peaks.fits for change in report.changes):
        assert not report.together
    else:
        assert report.together[-1].peaks.fits
        assert not any(change.peaks.fits for change in report.together[:-1])


def test_every_candidate_is_valid():
    for options in (
        {"method": "full", "batch_size": 8, "gradient_checkpointing": False},
        {"method": "lora", "r": 64, "alpha": 64, "batch_size": 3, "attention": "eager"},
        {"method": "qlora", "r": 16, "target_modules": ("all-linear",), "grad_accum": 2, "batch_size": 2},
    ):
        settings = smol(**options)
        simulator = Simulator(SMALL, find_gpu("T4"))
        cures = ("float16", "repeated", "padded", "float16 and repeated", "float16 and padded")
        for one in candidates(settings, cures):
            changed = simulator.changed(settings, **one.settings)
            assert changed != settings
            assert one.what
            assert one.cost
            assert one.of
            if "batch_size" in one.settings:
                assert changed.batch_size * changed.grad_accum >= settings.batch_size * settings.grad_accum


def test_what_a_card_cannot_do():
    config = {"dtype": "bfloat16"}
    assert "bfloat16" in cannot(smol(), find_gpu("T4"), config)[0]
    assert cannot(smol(dtype="float16"), find_gpu("T4"), config) == ()
    assert cannot(smol(), find_gpu("RTX 4090"), config) == ()
    assert "LLM.int8" in " ".join(cannot(smol(scheme="int8"), find_gpu("V100-16GB"), config))
    assert "flash_attention_2" in " ".join(cannot(smol(attention="flash_attention_2"), find_gpu("T4"), config))


@pytest.mark.slow
def test_the_largest_settings_fit_and_the_next_do_not(monkeypatch, tmp_path):
    card, config = card_of_size("3GiB"), SMALL
    report = plan("small", config, smol(), card, solve=True)
    monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path))  # simulated again, not read back
    simulator = Simulator(config, card)
    steps = {"batch_size": 1, "seq_len": 64, "r": 8}
    for name, value in report.largest:
        assert simulator.peaks(simulator.changed(report.settings, **{name: value})).fits
        more = (
            simulator.peaks(simulator.changed(report.settings, **{name: value + steps[name]})) if value < 4096 else None
        )
        assert more is None or not more.fits
    assert dict(report.largest)["batch_size"] > 1


def test_the_table():
    cards = ("T4", "RTX 4090", "H100-SXM")
    table = fit_table("small", SMALL, "bfloat16", gpus=cards, seq_len=128)
    assert [card.name for card in table.gpus] == list(cards)
    assert len(table.cells) == len(table.methods) * 3
    assert {cell.dtype for cell in table.cells if cell.gpu.name == "T4"} == {"float16"}
    by = {(cell.method, cell.gpu.name): cell.peaks for cell in table.cells}
    assert by["full", "T4"].allocated > 2 * by["LoRA", "T4"].allocated
    again = Simulator(SMALL, find_gpu("RTX 4090")).peaks(
        resolve_setup(method="lora", dtype="bfloat16", seq_len=128).settings
    )
    assert by["LoRA", "RTX 4090"] == again
    assert list(table.to_frame()["gpu"])[:3] == list(cards)


def test_the_command(capsys, tmp_path):
    model = tmp_path / "config.json"
    model.write_text(json.dumps(SMALL))
    code = run(["fit", str(model), "--gpu", "T4", "--seq-len", "128", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert code == 0
    assert answer["format"] == "inspector.fit_plan"
    assert answer["verdict"] == "fits"
    assert answer["margin_bytes"] == answer["usable_bytes"] - answer["process_bytes"]
    args = [str(model), "--vram", "700MiB", "--method", "full", "--seq-len", "128"]
    assert run(["fit", *args]) == 1
    assert "Does not fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--gpu", "T4", "--vram", "16GiB"], "exclude each other"),
        (["--solve"], "needs one card"),
        (["--method", "lora"], "needs one card"),
        (["--gpu", "A100"], "could be several"),
    ],
)
def test_bad_use(args, message, capsys):
    assert run(["fit", "smollm2-135m", *args]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("options", [{"method": "qlora"}, {"method": "full"}])
@pytest.mark.parametrize("accumulated", [21])
def test_more_micro_batches_take_no_more(options, accumulated):
    settings = resolve_setup(
        batch_size=2, seq_len=256, grad_accum=accumulated, dtype="float16", gradient_checkpointing=False, **options
    ).settings
    card, config = find_gpu("T4"), {**SMALL, "num_hidden_layers": 1}
    few = Simulator(config, card).peaks(settings)
    whole = finetune_events(config, settings.setup, card.capability, card.multiprocessors)
    every = peaks_on(whole.events, card, AllocatorSettings())
    assert few.allocated == every.allocated
    assert abs(few.reserved - every.reserved) <= 2**21

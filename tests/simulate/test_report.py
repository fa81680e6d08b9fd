"""What a report says adds up, and the real libraries' choices show in it."""

from __future__ import annotations

import json

import pytest
import torch

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.render.simulate import payload
from inspector.simulate import finetune
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.device.kernels import CUBLAS_WORKSPACE_BYTES
from inspector.simulate.events import Alloc
from inspector.simulate.program.training import trace_finetune
from inspector.simulate.reports.at_peak import points
from inspector.simulate.setup.finetuning import resolve_setup

SMALL = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1,
    "num_attention_heads": 4, "vocab_size": 128,
}  # fmt: skip


def kinds(report):
    return {share.name: share.nbytes for share in report.alive_at_peak}


def test_what_is_alive_adds_up_to_the_peak(report):
    assert sum(share.nbytes for share in report.alive_at_peak) == report.peak_allocated_bytes
    assert sum(share.nbytes for share in report.modules_at_peak) == report.peak_allocated_bytes
    assert max(point.allocated for point in report.timeline) == report.peak_allocated_bytes
    assert report.largest_at_peak == tuple(sorted(report.largest_at_peak, key=lambda item: -item.nbytes))


def test_the_thinned_timeline_loses_no_peak_and_no_kind(report):
    stages = {}
    for point in report.timeline:
        stages.setdefault((point.stage, point.step), []).append(point)
    assert len(stages) == len(report.stages)
    for item in report.stages:
        found = stages[item.stage, item.step]
        assert max(point.allocated for point in found) == item.peak_allocated
        assert max(point.reserved for point in found) == item.peak_reserved
    assert [point.event for point in report.timeline] == sorted({point.event for point in report.timeline})
    split = zip(*(line.nbytes for line in report.timeline_kinds), strict=True)
    assert [sum(levels) for levels in split] == [point.allocated for point in report.timeline]
    at = next(n for n, point in enumerate(report.timeline) if point.allocated == report.peak_allocated_bytes)
    assert {line.kind: line.nbytes[at] for line in report.timeline_kinds if line.nbytes[at]} == kinds(report)


@pytest.mark.parametrize("most", [1, 7, 100, 10**6])
def test_any_thinning_keeps_every_stage_s_peaks(report, most):
    timeline = replay(report.events)
    kept = points(report.events, timeline, most)
    assert len(kept) <= max(2 * most, 4 * len(timeline.stages)) + 4 * len(timeline.stages)
    for item in timeline.stages:
        found = [point for point in kept if (point.stage, point.step) == (item.stage, item.step)]
        assert max(point.allocated for point in found) == item.peak_allocated
        assert max(point.reserved for point in found) == item.peak_reserved


def test_peaks_are_in_order(report):
    assert report.steady_allocated_bytes < report.peak_allocated_bytes <= report.peak_reserved_bytes
    assert report.process_bytes == report.peak_reserved_bytes + report.gpu.context_bytes
    assert report.margin_bytes == report.gpu.usable_bytes - report.process_bytes
    assert [item.step for item in report.stages] == [-1, 0, 0, 0, 1, 1, 1]


def test_the_two_workspaces_are_there(report):
    workspaces = [event.nbytes for event in report.events if isinstance(event, Alloc) and event.kind == "workspace"]
    assert workspaces == [CUBLAS_WORKSPACE_BYTES] * 2


def test_adapters_are_what_peft_makes(report, tiny):
    hidden, kv = tiny["hidden_size"], tiny["hidden_size"] // 2
    per_layer = 2 * (hidden + hidden) * 32 + 2 * (hidden + kv) * 32
    assert kinds(report)["adapters"] == 4 * per_layer * tiny["num_hidden_layers"]
    assert kinds(report)["optimizer state"] == 2 * kinds(report)["adapters"]


def test_options_change_what_they_should(tiny):
    def peak(**options):
        base = {"method": "lora", "r": 8, "batch_size": 4, "seq_len": 512, "gpu": "A100-80GB", "steps": 1}
        return finetune(tiny, **{**base, **options}).peak_allocated_bytes

    plain = peak(gradient_checkpointing=False)
    assert peak(gradient_checkpointing=True) < plain
    assert peak(gradient_checkpointing=False, attention="eager") > plain
    assert peak(gradient_checkpointing=False, loss="chunked") < plain
    assert peak(gradient_checkpointing=False, loss="liger") < plain
    assert peak(gradient_checkpointing=False, batch_size=8) > plain
    assert peak(gradient_checkpointing=False, dropout=0.1) > plain


@pytest.mark.parametrize("autocast", ["bf16", "none"])
def test_a_chunk_is_made_again_as_it_was_made(tiny, autocast):
    """Under autocast too: the logits of a chunk have the dtype in the backward pass that they had in the forward."""
    options = {"method": "qlora", "seq_len": 1024, "gpu": "A100-80GB", "autocast": autocast, "dtype": "bfloat16"}
    chunked = finetune(tiny, loss="chunked", **options).peak_allocated_bytes
    assert chunked < finetune(tiny, **options).peak_allocated_bytes


def test_a_mixture_passes_its_loss_by_position():
    from tests.simulate.families import small_config

    config = {**small_config("olmoe").to_dict(), "num_hidden_layers": 2}
    options = {"method": "lora", "seq_len": 512, "gpu": "A100-80GB", "dtype": "bfloat16"}
    chunked = finetune(config, loss="chunked", **options).peak_allocated_bytes
    assert chunked < finetune(config, **options).peak_allocated_bytes


@pytest.mark.parametrize("autocast", ["none", "bf16"])
def test_flash_attention_takes_what_is_prepared_for_k_bit_training(tiny, autocast):
    """Its queries are float32 then, and transformers asks whether autocast is on before it casts them."""
    options = {"method": "qlora", "gpu": "L4", "seq_len": 64, "dtype": "bfloat16", "autocast": autocast}
    flash, eager = (finetune(tiny, attention=name, **options) for name in ("flash_attention_2", "eager"))
    assert flash.peak_allocated_bytes < eager.peak_allocated_bytes


def test_full_fine_tuning_keeps_gradients_and_two_moments(tiny):
    report = finetune(tiny, method="full", optimizer="adamw_torch", seq_len=32, gpu="A100-80GB")
    paged = finetune(tiny, method="full", optimizer="paged_adamw_8bit", seq_len=32, gpu="A100-80GB")
    weights = kinds(report)["base weights"]
    assert kinds(report)["optimizer state"] == pytest.approx(2 * weights, rel=0.02)
    assert paged.paged_bytes > 0
    assert paged.peak_allocated_bytes < report.peak_allocated_bytes


def test_a_card_too_small_is_an_answer(tiny):
    report = finetune(tiny, method="lora", batch_size=8, seq_len=2048, vram="600MiB")
    assert (report.fits, report.verdict) == (False, "does not fit")


def test_json_has_what_programs_read(report):
    document = json.loads(json.dumps(payload(report)))
    for key in ("peak_allocated_bytes", "peak_reserved_bytes", "steady_allocated_bytes", "process_bytes", "versions"):
        assert document[key]
    assert set(document["stages"]) == {"load", "forward", "backward", "optimizer"}
    assert all(set(stage) == {"peak_allocated_bytes", "peak_reserved_bytes"} for stage in document["stages"].values())
    assert set(document["settings"]["r"]) == {"value", "set_by"}
    assert "base weights" in document["alive_at_peak"]


def test_the_command(tiny, tmp_path, capsys):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(tiny))
    trace = tmp_path / "run.json"
    arguments = ["simulate", "finetune", str(config), "--method", "lora", "--seq-len", "64", "--json"]
    assert run([*arguments, "--snapshot", str(trace)]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "inspector.simulate"
    assert json.loads(trace.read_text())["segments"]
    assert run(["simulate", "finetune", str(config), "--target-modules", "nothing_here"]) == 2
    assert "match nothing" in capsys.readouterr().err
    assert run(["simulate", "finetune", str(config), "--bits", "16"]) == 2


def test_a_target_that_matches_nothing(tiny):
    with pytest.raises(InspectorError, match="match nothing"):
        finetune(tiny, method="lora", target_modules=("no_such_proj",), seq_len=16)


def test_unknown_optimizer_names_the_nearest(tiny):
    with pytest.raises(InspectorError, match="adamw_torch"):
        finetune(tiny, method="lora", optimizer="adamw_torhc", seq_len=16)


def test_any_peft_method_by_its_own_config(tiny):
    config = {
        "peft_type": "IA3",
        "target_modules": ["k_proj", "v_proj", "down_proj"],
        "feedforward_modules": ["down_proj"],
    }
    report = finetune(tiny, method="lora", peft_config=config, seq_len=32)
    layers, kv, inner = tiny["num_hidden_layers"], tiny["hidden_size"] // 2, tiny["intermediate_size"]
    moments = 2 * 4 * layers * (2 * kv + inner)
    assert moments <= kinds(report)["optimizer state"] <= 2 * moments
    with pytest.raises(InspectorError, match="PEFT refuses"):
        finetune(tiny, method="lora", peft_config={"peft_type": "NOPE"}, seq_len=32)


def test_a_dry_run_leaves_bitsandbytes_as_it_was(monkeypatch):
    """The code of the double quantization is kept for the process: without data it would spoil the next real tensor."""
    from bitsandbytes import functional

    monkeypatch.setattr(functional, "name2qmap", {})
    trace_finetune(SMALL, resolve_setup(scheme="nf4", double_quant=True, seq_len=8).setup, (8, 0), 108)
    _, state = functional.quantize_4bit(torch.randn(64, 64), compress_statistics=True, quant_type="nf4")
    assert state.state2.code.device.type == "cpu"

"""A fine-tuning on several cards, as a user asks for it: ranks, what is shared and sent, files, refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.fit.ways import finetune_anywhere
from inspector.gpus import catalogue, find_gpu
from inspector.gpus.links import link_of
from inspector.render.sharing_words import in_words, remarks, units_line
from inspector.simulate import finetune
from inspector.simulate.setup.parallel import changed
from tests.simulate.conftest import TINY

ONE = {"method": "full", "seq_len": 64, "gpu": "H100"}


@pytest.fixture(scope="module")
def sharded():
    return finetune_anywhere(dict(TINY), gpus=4, parallel="fsdp2", **ONE)


def test_every_card_is_some_rank(sharded):
    assert sum(rank.alike for rank in sharded.ranks) == 4 == sharded.parallel.world_size
    first = sharded.ranks[0]
    whole = finetune(dict(TINY), **ONE)
    weights = {share.name: share.nbytes for share in whole.alive_at_peak}["base weights"]
    assert first.whole_bytes == pytest.approx(weights, rel=0.01)
    assert first.whole_bytes / 4 <= first.sharded_bytes < first.whole_bytes / 2
    assert first.gathered_bytes == max(unit.whole_bytes for unit in first.units)
    assert units_line(sharded.ranks[0].units) == "the root, 4 x LlamaDecoderLayer"
    assert sharded.layers_are_units
    assert first.after_training_allocated_bytes < whole.steady_allocated_bytes


def test_what_a_step_sends_and_how_long_that_takes(sharded):
    gathered = next(each for each in sharded.sent if each.collective.kind == "all-gather")
    assert gathered.collective.nbytes >= 2 * sharded.ranks[0].whole_bytes - sharded.ranks[0].gathered_bytes
    assert gathered.seconds == pytest.approx(gathered.collective.nbytes * 3 / 4 / 450e9)
    assert sharded.link == "NVLink, 900 GB/s"


def test_one_rank_of_a_machine_may_load_for_all(sharded):
    alone = replace(sharded, parallel=changed(sharded.parallel, cpu_ram_efficient_loading=True))
    assert sharded.host_bytes_per_node == 4 * alone.host_bytes_per_node >= 4 * sharded.ranks[0].whole_bytes
    assert any("cpu_ram_efficient_loading" in said for said in remarks(sharded))
    assert not any("cpu_ram_efficient_loading" in said for said in remarks(alone))
    offloaded = replace(sharded, parallel=changed(alone.parallel, offload="params"))
    assert offloaded.host_bytes_per_node == sharded.host_bytes_per_node


@pytest.mark.parametrize("words", ["ddp", "fsdp2"])
def test_an_evaluation_gathers_what_all_ranks_have(words):
    reports = {
        gather: finetune_anywhere(dict(TINY), gpus=4, parallel=words, eval_batch=64, eval_gather=gather, **ONE)
        for gather in ("loss", "logits")
    }
    peaks = {}
    for gather, report in reports.items():
        stage = report.ranks[0].stages[-1]
        assert stage.stage == "evaluation"
        peaks[gather] = stage.peak_allocated
        assert not any("evaluation" in said for said in report.assumptions)
    one = 64 * ONE["seq_len"] * TINY["vocab_size"] * 2
    # Two batches of four ranks, and both together while the second is put behind the first.
    assert peaks["logits"] > 16 * one
    assert 8 * one < peaks["logits"] - peaks["loss"] < 16 * one
    # No part of the step that it comes after.
    assert [each.collective for each in reports["loss"].sent] == [each.collective for each in reports["logits"].sent]


def test_ddp_copies_and_a_map_idles():
    copied = finetune_anywhere(dict(TINY), gpus=2, parallel="ddp", **ONE)
    alone = finetune(dict(TINY), **ONE)
    assert copied.ranks[0].peaks.allocated > alone.peak_allocated_bytes
    assert "copies" in in_words(copied)
    mapped = finetune_anywhere(dict(TINY), gpus=2, parallel="pp:2", eval_batch=8, **ONE)
    assert any(said.startswith("the evaluation is left out: over a map of layers") for said in mapped.assumptions)
    assert [rank.rank for rank in mapped.ranks] == [0, 1]
    assert "idles" in in_words(mapped)
    # Nothing is twice but the workspaces, two on each card, and the logits, which go back to the first.
    ends = sum(rank.after_training_allocated_bytes for rank in mapped.ranks)
    assert 0 <= ends - alone.steady_allocated_bytes - 2 * 32 * 2**20 <= 2**20


def test_what_a_user_should_know(monkeypatch):
    lora = {**ONE, "method": "lora"}
    layers = finetune_anywhere(dict(TINY), gpus=2, parallel="fsdp2", **lora)
    by_hand = finetune_anywhere(dict(TINY), gpus=2, parallel="fsdp2", wrap="peft", **lora)
    assert layers.layers_are_units
    assert not by_hand.layers_are_units
    assert "No layer is a unit" in remarks(by_hand)[0]
    assert any("--wrap peft" in said for said in remarks(layers))
    assert by_hand.ranks[0].gathered_bytes > layers.ranks[0].gathered_bytes


def test_a_file_of_accelerate_with_the_line_that_set_it(tmp_path, capsys):
    fsdp = {"fsdp_version": 2, "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "nope": 1}
    config = {"distributed_type": "FSDP", "num_processes": 2, "mixed_precision": "bf16", "fsdp_config": fsdp}
    (tmp_path / "fsdp2.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    words = ["simulate", "finetune", str(tmp_path), "--method", "full", "--seq-len", "64", "--gpu", "T4", "--json",
             "--config", str(tmp_path / "fsdp2.yaml")]  # fmt: skip
    assert run(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["parallel"]["words"] == "fsdp2"
    assert document["settings"]["autocast"] == {"value": "bf16", "set_by": "file"}
    assert document["set_at"]["autocast"] == "fsdp2.yaml:6"
    assert document["not_understood"] == ["fsdp2.yaml:5: accelerate does not read fsdp_nope"]
    assert {"rank", "peak_allocated_bytes", "peak_reserved_bytes", "after_training_allocated_bytes", "process_bytes",
            "verdict", "units"} <= set(document["ranks"][0])  # fmt: skip
    (tmp_path / "one.yaml").write_text("distributed_type: 'NO'\nmixed_precision: bf16\n")
    alone = finetune_anywhere(dict(TINY), config=[tmp_path / "one.yaml"], **ONE)
    assert alone.settings["autocast"]["set_by"] == "file"


def test_refused_in_a_line():
    for wrong in (
        {"gpus": 3, "parallel": "hsdp:2x2"}, {"gpus": 8}, {"parallel": "fsdp2"}, {"gpus": 2, "parallel": "nope"},
        {"gpus": 2, "parallel": "ddp", "offload": "params"}, {"wrap": "layers"}, {"rank": "first"},
        {"gpus": 2, "parallel": "fsdp2", "rank": "second"}, {"gpus": 2, "parallel": "fsdp2", "solve": True},
        {"gpus": 2, "parallel": "ddp", "parallel_option": ["nope=1"]},
        {"gpus": 2, "parallel": "ddp", "parallel_option": ["static_graph=maybe"]},
        {"gpus": 2, "parallel": "ddp", "parallel_option": ["bucket_cap_mb=x"]},
    ):  # fmt: skip
        with pytest.raises(InspectorError):
            finetune_anywhere(dict(TINY), **ONE, **wrong)


def test_links_of_data_sheets():
    assert link_of(find_gpu("A100-80GB")).bytes_per_second == 300 * 10**9
    assert link_of(find_gpu("RTX 4090")).name == "PCIe 4.0 x16"
    assert link_of(find_gpu("RTX 4060 Ti 16GB")).bytes_per_second == pytest.approx(15.75e9, rel=0.001)
    assert link_of(find_gpu("DGX Spark")) is None
    from inspector.gpus import links

    names = {card.name for card in catalogue()}
    assert set(links._NVLINK) | set(links._EIGHT_LANES) <= names

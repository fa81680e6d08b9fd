"""The deck of a checkpoint that is quantized already names its format, weighs it, and trains what trains on it."""

from __future__ import annotations

import html
import json
import re

import pytest

from inspector.cli.main import run
from inspector.lenses.memory import memory
from inspector.lesson import lesson
from inspector.lesson.as_stored import as_stored
from inspector.lesson.training import make
from inspector.precision.as_published import published_scheme
from inspector.render.deck import deck_html
from inspector.simulate import finetune
from inspector.sources.resolve import locate
from tests.simulate.conftest import TINY

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}
KINDS = {
    "gptq": GPTQ,
    "fp8": {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]},
    "int4wo": {"quant_method": "torchao", "quant_type": "int4_weight_only", "quant_type_kwargs": {"group_size": 128}},
    "aqlm": {"quant_method": "aqlm", "in_group_size": 8},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("decks")
    for kind, raw in KINDS.items():
        (root / kind).mkdir()
        (root / kind / "config.json").write_text(json.dumps({**TINY, "quantization_config": raw}))
    return root


def told(folder, **more):
    source = locate(str(folder))
    return lesson(source.skeleton, [source.skeleton], stored=as_stored(source), **more)


def slides(page):
    found = re.finditer(r'<section id="([^"]+)".*?</section>', page, re.DOTALL)
    return {one[1]: " ".join(html.unescape(re.sub(r"<[^>]+>", " ", one[0])).split()) for one in found}


def test_format_and_bytes_are_those_of_memory(folders, tmp_path, capsys):
    assert run(["report", str(folders / "gptq"), "-o", str(tmp_path / "deck.html")]) == 0
    text = slides((tmp_path / "deck.html").read_text(encoding="utf-8"))
    source = locate(str(folders / "gptq"))
    weighed = memory(source.skeleton, [published_scheme(source.config, source.skeleton)])
    title = "gptq (4 bits, groups of 128)"
    assert f"The checkpoint is stored in {title}" in text["model"]
    assert f"its tensors have {weighed.tensor_bytes:,} bytes" in text["model"]
    assert f"as it is stored: {weighed.footprint_bytes:,} bytes" in text["sizes"]
    assert f"true bytes: {weighed.tensor_bytes:,}" in text["waterfall"]
    assert f"LoRA on {title}" in text["before"]
    assert "QLoRA" not in text["before"]


def test_dry_runs_are_of_the_checkpoint(folders):
    made = told(folders / "gptq")
    training = make(str(folders / "gptq"), made.model, made.adapters, made.stored, seq_len=64)
    assert training.methods == ("lora",)
    assert "transformers refuses a BitsAndBytesConfig" in dict(training.refused)["qlora"]
    step = finetune(
        str(folders / "gptq"), gpu="A100-80GB", batch_size=1, seq_len=64, r=32, alpha=64,
        target_modules=list(made.adapters.target_modules),
    )  # fmt: skip
    assert training.run("lora").peak_allocated_bytes == step.peak_allocated_bytes
    text = slides(deck_html(told(folders / "gptq", training=training), story="finetune"))["methods"]
    assert "weights as stored, gptq (4 bits, groups of 128): layers of gptqmodel 7.7" in text
    assert "no full fine-tuning: the checkpoint is quantized" in text


def test_models_side_by_side_name_their_formats(folders, tmp_path, capsys):
    models = [str(folders / "gptq"), "llama-3.1-8b"]
    assert run(["compare", *models, "--scheme", "bf16"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert page.count(" is stored in ") == 1
    assert "gptq is stored in gptq (4 bits, groups of 128): its sizes are those of its unquantized weights" in page
    assert run(["report", *models, "-o", str(tmp_path / "deck.html")]) == 0
    text = slides((tmp_path / "deck.html").read_text(encoding="utf-8"))["choosing"]
    assert "stored in gptq (4 bits, groups of 128) plain weights" in text


def test_each_card_says_what_it_trains_on(folders):
    made = told(folders / "fp8")
    training = make(str(folders / "fp8"), made.model, made.adapters, made.stored, seq_len=64, cards=["T4", "H200"])
    assert training.methods == ("full", "lora")
    assert "dequantize=True" in training.run("lora", "T4").weights
    assert "weights as stored" in training.run("lora", "H200").weights


def test_what_does_not_train_is_refused_and_has_a_deck(folders, tmp_path, capsys):
    page = tmp_path / "deck.html"
    for kind, said in (("int4wo", "does not train on top of torchao"), ("aqlm", "aqlm, which has no dry run")):
        assert run(["report", str(folders / kind), "--dry-run", "-o", str(page)]) == 2
        assert said in capsys.readouterr().err
        assert not page.exists()
        text = slides(deck_html(told(folders / kind), story="finetune"))
        assert "no adapters train on it" in text["before"]
    assert told(folders / "aqlm").stored.weights is None
    assert "as it is stored:" not in slides(deck_html(told(folders / "aqlm"), story="sizes"))["sizes"]

"""The tokenizer that stands in: lengths as large vocabularies give them, templates found again, names of families."""

import json

import pytest
from tokenizers import Tokenizer

from inspector.simulate.script.child.image_processor import write_image_processor
from inspector.simulate.script.child.tokenizer import write_tokenizer
from inspector.simulate.script.child.tokens_of_families import FAMILIES, chat_template, special_tokens

PROSE = (
    "The memory of a training run is hard to know before it is paid for. Most people try a batch that seems small, "
    "wait until the model has been downloaded, and then read that the card is full; a second try takes as long again."
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    write_tokenizer(folder, {"model_type": "qwen2", "vocab_size": 151936, "eos_token_id": 151645})
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def test_lengths_are_about_those_of_large_vocabularies(tokenizer):
    assert 4 < len(PROSE) / len(ids(tokenizer, PROSE)) < 5
    assert len(ids(tokenizer, " a" * 100)) == 100  # rows of given lengths are made so
    assert len(ids(tokenizer, "内存不足")) == 4


@pytest.mark.parametrize("template", ["### Response:\n", "### Answer:", "[/INST]", "<|im_start|>assistant\n"])
def test_a_template_is_found_in_a_text(tokenizer, template):
    whole = ids(tokenizer, f"### Instruction:\nSay what it is.\n{template}It is forty-two.")
    part = ids(tokenizer, template)
    assert sum(whole[at : at + len(part)] == part for at in range(len(whole))) == 1
    assert tokenizer.decode(part, skip_special_tokens=False) == template


def test_short_answers_are_told_apart(tokenizer):
    answers = ["yes", "no", " yes", " no", "A", "B", " A", "True", "False", "0", "1"]
    assert len({tuple(ids(tokenizer, answer)) for answer in answers}) == len(answers)
    assert all(len(ids(tokenizer, answer)) == 1 for answer in answers)


def test_special_tokens_are_the_family_s(tokenizer):
    assert tokenizer.token_to_id("<|im_end|>") == 151645
    assert ids(tokenizer, "<|im_start|>user") == [151644, *ids(tokenizer, "user")]
    for kind, size in FAMILIES:
        config = {"model_type": kind, "eos_token_id": 2, "pad_token_id": 0}
        named, roles = special_tokens(config, size or 262208, chat_template(config, size or 262208, ""))
        assert len(set(named.values())) == len(named)
        assert set(roles.values()) <= set(named), kind


def test_a_model_of_no_known_family_has_the_numbers_of_its_config():
    config = {"model_type": "new", "eos_token_id": [7, 9], "bos_token_id": 5}
    template = chat_template(config, 1000, "someone/new")
    named, roles = special_tokens(config, 1000, template)
    assert (named["<eos>"], named["<bos>"]) == (7, 5)
    assert roles == {"eos_token": "<eos>", "bos_token": "<bos>"}
    assert {"<|im_start|>", "<|im_end|>"} <= set(named)
    assert "{% generation %}" in template


def test_an_image_processor_that_stands_in_is_its_model_s_own_class(tmp_path):
    pytest.importorskip("PIL", reason="without Pillow no image processor tells its size")
    name = write_image_processor(tmp_path, {"model_type": "vit", "image_size": 384})
    written = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert name.startswith("ViTImageProcessor")
    assert written == {"image_processor_type": name, "size": {"height": 384, "width": 384}}
    assert write_image_processor(tmp_path, {"model_type": "llama"}) == ""


def test_without_pillow_it_is_named_all_the_same(tmp_path, monkeypatch):
    class Missing(type):
        def __getattribute__(cls, name):
            raise ImportError("requires the PIL library")

    import transformers

    name = write_image_processor(tmp_path, {"model_type": "vit"})
    monkeypatch.setattr(transformers, name, Missing("Missing", (), {}), raising=False)
    assert write_image_processor(tmp_path, {"model_type": "vit", "image_size": 384}) == name
    assert json.loads((tmp_path / "preprocessor_config.json").read_text()) == {"image_processor_type": name}

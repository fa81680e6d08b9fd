"""The content of a config.json as plain data, held to the skeletons that the real classes made of the bundled ones."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from inspector.config_json import layer_count, published_dtype, text_fields, text_part, with_layers
from inspector.sources.bundled import bundled_config, load_bundled, model_ids

LLAMA = {"model_type": "llama", "num_hidden_layers": 4, "layer_types": ["a", "b", "c", "d"], "sizes": [1, 2]}
WRAPPED = {"model_type": "any", "num_layers": 9, "dtype": "float16", "text_config": {**LLAMA, "dtype": "bfloat16"}}


@pytest.mark.parametrize("model_id", model_ids())
def test_what_a_bundled_config_says_is_what_its_class_made_of_it(model_id):
    config, facts = bundled_config(model_id), load_bundled(model_id).facts
    found = layer_count(config)
    assert found is not None
    assert found.count == facts.num_layers
    assert published_dtype(config) in {facts.dtype, ""}
    fewer = with_layers(config, 1)
    assert layer_count(fewer) == replace(found, count=1)
    assert {**fewer, found.within or found.name: 0}.keys() == config.keys()


def test_the_part_of_the_language_model_is_cut_and_the_whole_left():
    before = copy.deepcopy(WRAPPED)
    cut = with_layers(WRAPPED, 2)
    assert before == WRAPPED
    assert cut["num_layers"] == 9
    assert cut["text_config"] == {
        "model_type": "llama", "num_hidden_layers": 2, "layer_types": ["a", "b"], "sizes": [1, 2], "dtype": "bfloat16",
    }  # fmt: skip
    assert with_layers(LLAMA, 3)["layer_types"] == ["a", "b", "c"]


def test_the_part_goes_before_the_whole_but_for_the_dtype():
    assert text_part(WRAPPED)["model_type"] == text_fields(WRAPPED)["model_type"] == "llama"
    assert text_fields(WRAPPED)["num_layers"] == 9
    assert text_part(LLAMA) is LLAMA
    assert published_dtype(WRAPPED) == "float16"
    assert published_dtype({"text_config": {"torch_dtype": "torch.bfloat16"}}) == "bfloat16"


@pytest.mark.parametrize("config", [{}, {"num_hidden_layers": "many"}, {"n_layer": 0}, {"text_config": None}])
def test_what_a_config_does_not_say(config):
    assert layer_count(config) is None
    assert published_dtype(config) == ""
    with pytest.raises(ValueError, match="how many layers"):
        with_layers(config, 1)

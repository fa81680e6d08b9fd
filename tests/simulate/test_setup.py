"""Settings: who set them, and what contradicts what. No torch."""

from __future__ import annotations

import pytest

from inspector.errors import InspectorError
from inspector.simulate.setup.finetuning import TrainSetup, resolve_setup
from inspector.simulate.setup.optimizer_names import optimizer_names
from inspector.simulate.setup.recipes import RECIPES, recipe


def test_every_setting_says_who_set_it():
    resolved = resolve_setup(recipe("week7-lite").settings, batch_size=4)
    settings = resolved.settings()
    assert settings["batch_size"] == {"value": 4, "set_by": "you"}
    assert settings["r"] == {"value": 32, "set_by": "recipe"}
    assert settings["use_dora"] == {"value": False, "set_by": "library"}
    assert set(settings) == set(TrainSetup.__dataclass_fields__)


def test_a_method_implies_what_nobody_said():
    settings = resolve_setup(method="lora").settings()
    assert settings["scheme"] == {"value": "none", "set_by": "method"}
    assert settings["prepare_kbit"]["value"] is False


@pytest.mark.parametrize("item", RECIPES, ids=lambda item: item.name)
def test_recipes_are_complete_setups(item):
    assert resolve_setup(item.settings).setup


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "qlora", "scheme": "none"}, "qlora without quantization"),
        ({"method": "full", "scheme": "nf4"}, "does not quantize"),
        ({"packed": True, "padding_mask": True}, "no padding"),
        ({"method": "full", "r": 8}, "no adapters"),
        ({"method": "lora", "prepare_kbit": True}, "for quantized models"),
        ({"scheme": "int8", "double_quant": True}, "4-bit"),
        ({"batch_size": 0}, "whole number"),
        ({"seq_len": 10**9}, "whole number"),
        ({"r": True}, "whole number"),
        ({"dropout": 1.0}, "dropout"),
        ({"method": "lora", "double_quant": True}, "4-bit"),
        ({"grad_clip": -1.0}, "grad_clip"),
        ({"grad_clip": float("nan")}, "grad_clip"),
        ({"optimizer": "adamw_trch"}, "did you mean adamw_torch"),
        ({"optimizer": ""}, "no optimizer"),
        ({"attention": "flash"}, "not known"),
        ({"sequence_length": 5}, "no setting"),
    ],
)
def test_bad_settings_are_one_line(options, said):
    with pytest.raises(InspectorError, match=said) as caught:
        resolve_setup(**options)
    assert "\n" not in str(caught.value)


def test_your_choice_goes_before_what_a_recipe_set_for_another():
    packed = resolve_setup(recipe("sft-trainer").settings, packed=True).settings()
    assert packed["padding_mask"] == {"value": False, "set_by": "you"}
    lora = resolve_setup(recipe("week7-lite").settings, method="lora").settings()
    assert lora["scheme"] == lora["double_quant"] | {"value": "none"} == {"value": "none", "set_by": "method"}
    assert resolve_setup(packed=True).settings()["padding_mask"]["set_by"] == "library"
    with pytest.raises(InspectorError, match="4-bit"):
        resolve_setup(recipe("week7-lite").settings, method="lora", double_quant=True)


def test_optimizers_are_transformers_own():
    from transformers.training_args import OptimizerNames

    assert optimizer_names() == tuple(item.value for item in OptimizerNames)


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(InspectorError, match="week7-lite"):
        recipe("week7lite")


def test_flash_attention_needs_ampere(tiny):
    from inspector.simulate import finetune

    with pytest.raises(InspectorError, match="does not run on a T4"):
        finetune(tiny, attention="flash_attention_2", gpu="T4")

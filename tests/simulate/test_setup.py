"""Settings: who set them, and what contradicts what. No torch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inspector.errors import InspectorError
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.generation import GenerateSettings
from inspector.simulate.setup.load import KbitPrepare, LoadSetup, Quantization
from inspector.simulate.setup.optimizer_names import optimizer_names
from inspector.simulate.setup.recipes import RECIPES, recipe
from inspector.simulate.setup.settings import FinetuneSettings
from inspector.simulate.setup.training import BatchSetup, Checkpointing, LoopSetup, LoraSetup


def test_every_setting_says_who_set_it():
    resolved = resolve_setup(recipe("week7-lite").settings, batch_size=4)
    settings = resolved.explained()
    assert settings["batch_size"] == {"value": 4, "set_by": "you"}
    assert settings["r"] == {"value": 32, "set_by": "recipe"}
    assert settings["use_dora"] == {"value": False, "set_by": "library"}
    assert set(settings) == set(FinetuneSettings.__dataclass_fields__)


def test_a_method_implies_what_nobody_said():
    settings = resolve_setup(method="lora").explained()
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
        ({"method": "full", "rank_pattern": {"q_proj": 4}}, "no adapters"),
        ({"bias": "both"}, "bias 'both' is not known"),
        ({"rank_pattern": "q_proj"}, "is no rank pattern"),
        ({"rank_pattern": {"q_proj": 0}}, "rank 0 is outside"),
        ({"alpha_pattern": {"q_proj": 0.5}}, "no whole number"),
        ({"layers_to_transform": "x"}, "no number for layers_to_transform"),
        ({"layers_to_transform": [-1], "target_modules": "q_proj"}, "no number for layers_to_transform"),
        ({"layers_to_transform": 1, "target_modules": "all-linear"}, "cannot be used when `target_modules` is a str"),
        ({"layers_pattern": "h", "target_modules": "q_proj"}, "must also be specified"),
        ({"trainable_token_indices": {"lm_head": []}}, "of lm_head names no token"),
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
        ({"attention": "flush"}, "not known"),
        ({"sequence_length": 5}, "no setting"),
    ],
)
def test_bad_settings_are_one_line(options, said):
    with pytest.raises(InspectorError, match=said) as caught:
        resolve_setup(**options)
    assert "\n" not in str(caught.value)


def test_fields_of_lora_are_said_as_typed_or_as_peft_takes_them():
    typed = {"rank_pattern": ("q_proj=2", r"a=b\.c=3"), "alpha_pattern": "q_proj=4", "layers_to_transform": "0-2,5",
             "trainable_token_indices": ("7,8", "lm_head=9"), "exclude_modules": "a, b.c", "bias": "all"}  # fmt: skip
    given = {"rank_pattern": {"q_proj": 2, r"a=b\.c": 3}, "alpha_pattern": [("q_proj", 4)],
             "layers_to_transform": [0, 1, 2, 5], "trainable_token_indices": {"": [7, 8], "lm_head": [9]},
             "exclude_modules": ["a", "b.c"], "bias": "all"}  # fmt: skip
    targets = {"target_modules": "q_proj"}
    assert resolve_setup(**typed, **targets).settings == resolve_setup(**given, **targets).settings
    assert resolve_setup(trainable_token_indices=[1, 2]).settings.trainable_token_indices == (("", (1, 2)),)
    assert resolve_setup(exclude_modules=".*mlp.*").settings.exclude_modules == ".*mlp.*"


def test_your_choice_goes_before_what_a_recipe_set_for_another():
    packed = resolve_setup(recipe("sft-trainer").settings, packed=True).explained()
    assert packed["padding_mask"] == {"value": False, "set_by": "you"}
    lora = resolve_setup(recipe("week7-lite").settings, method="lora").explained()
    assert lora["scheme"] == lora["double_quant"] | {"value": "none"} == {"value": "none", "set_by": "method"}
    assert resolve_setup(packed=True).explained()["padding_mask"]["set_by"] == "library"
    with pytest.raises(InspectorError, match="4-bit"):
        resolve_setup(recipe("week7-lite").settings, method="lora", double_quant=True)


def test_optimizers_are_transformers_own():
    from transformers.training_args import OptimizerNames

    assert optimizer_names() == tuple(item.value for item in OptimizerNames)


def test_optimizers_are_made_as_the_trainer_makes_them():
    """Every name that `transformers.Trainer` makes an optimizer of gives its class and arguments, or its refusal."""
    import torch
    from transformers import Trainer

    from inspector.simulate.program.optimizers import _arguments, optimizer_class

    def answer(make):
        try:
            cls, kwargs = make()
        except (ImportError, ValueError, InspectorError) as error:
            return str(error)
        return cls, {name: value for name, value in kwargs.items() if name != "optimizer_dict"}

    model, made = torch.nn.Sequential(torch.nn.Linear(4, 4)), 0
    for name in optimizer_names():
        real = answer(lambda name=name: Trainer.get_optimizer_cls_and_kwargs(_arguments(name), model))
        ours = answer(lambda name=name: optimizer_class(name, model))
        if isinstance(real, str):
            assert isinstance(ours, str), name
            assert real.splitlines()[0].rstrip(".") in ours, name
        else:
            assert ours == real, name
            made += 1
    assert made > 12


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(InspectorError, match="week7-lite"):
        recipe("week7lite")


def test_flash_attention_needs_ampere(tiny):
    from inspector.simulate import finetune

    with pytest.raises(InspectorError, match="does not run on a T4"):
        finetune(tiny, attention="flash_attention_2", gpu="T4")


SAID = {
    "method": "qlora", "scheme": "fp4", "double_quant": True, "dtype": "float16", "compute_dtype": "bfloat16", "r": 4,
    "alpha": 16, "dropout": 0.25, "target_modules": ("q_proj",), "use_dora": True, "use_rslora": True,
    "modules_to_save": ("lm_head",), "target_parameters": ("experts.down_proj",), "exclude_modules": r".*\.1\..*",
    "layers_to_transform": (0, 2), "layers_pattern": ("layers",), "rank_pattern": (("q_proj", 2),),
    "alpha_pattern": (("q_proj", 3),), "trainable_token_indices": (("", (5, 6)),), "bias": "lora_only",
    "adapter_dtype": "bfloat16", "prepare_kbit": True, "clear_cache": False,
    "trl_casting": True, "autocast": "fp16", "batch_size": 3, "seq_len": 77, "padding_mask": True,
    "gradient_checkpointing": True, "reentrant": True, "attention": "eager", "sdpa_backend": "math", "loss": "upcast",
    "optimizer": "sgd", "grad_clip": 0.5, "grad_accum": 2, "steps": 3, "gpu": "L4", "expandable_segments": True,
    "use_cache": False, "outputs": "next", "outputs_fp32": True, "zero_grad": "after", "token_accuracy": True,
    "labels": "clone", "empty_cache_every": 5, "via_cpu": False, "routing": "worst", "warm_up": False,
    "load_threads": True,
}  # fmt: skip
"""Everything but packed sequences and another PEFT method, which exclude some of it."""


@pytest.mark.parametrize(
    "options",
    [
        SAID,
        {**SAID, "padding_mask": False, "packed": True},
        {name: value for name, value in SAID.items() if name not in {"prepare_kbit", "clear_cache"}}
        | {"prepare_kbit": False},
        {"gradient_checkpointing": False},
        {"method": "full"},
        {"method": "lora", "peft_config": {"peft_type": "IA3"}, "adapter_dtype": "auto"},
    ],
)
def test_words_and_the_typed_whole_say_the_same(options):
    """Every word has a place in the whole, or is whether a part is there, and comes back from it."""
    settings = resolve_setup(**options).settings
    back = FinetuneSettings.of(settings.setup, gpu=settings.gpu, expandable_segments=settings.expandable_segments)
    assert back == settings
    assert back.setup == settings.setup


def test_every_setting_changes_the_whole_or_is_the_dry_run_s():
    """No word is lost on the way: each of them makes another whole, but those that say where it runs."""
    base = resolve_setup(**SAID).settings
    plain = FinetuneSettings()
    # A pattern of layers says nothing, and is refused, where no layers are named.
    beside = {"layers_to_transform": ("layers_pattern",)}
    same = {
        name for name in SAID if getattr(plain, name) != getattr(base, name)
        and replace(base, **{each: getattr(plain, each) for each in (name, *beside.get(name, ()))}).setup == base.setup
    }  # fmt: skip
    assert same == {"gpu", "expandable_segments"}


def test_the_defaults_are_said_once():
    setup = FinetuneSettings(scheme="nf4").setup
    quantization = Quantization(prepare=KbitPrepare())
    assert setup.load == LoadSetup(quantization=quantization)
    assert setup.adapters == LoraSetup()
    assert setup.batch == BatchSetup()
    assert setup.loop == LoopSetup(checkpointing=Checkpointing())


@pytest.mark.parametrize(
    "options", [{}, {"scheme": "nf4", "double_quant": True, "cache": "static", "routing": "worst"}]
)
def test_generation_s_words_come_back(options):
    settings = GenerateSettings(prompt_len=7, attention="eager", **options)
    assert GenerateSettings.of(settings.setup) == settings


def test_a_whole_built_by_hand_is_checked_too():
    with pytest.raises(InspectorError, match="scheme 'nf5' is not known"):
        Quantization(scheme="nf5")
    with pytest.raises(InspectorError, match="loss 'none' is not known"):
        LoopSetup(loss="none")

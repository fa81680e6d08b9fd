"""A word of a config that is not known is told by its field, its value and what is known: never as a bare key."""

from __future__ import annotations

import re

import pytest

from inspector.architecture import build_model
from inspector.errors import InspectorError, in_one_line
from inspector.precision.published import published_in
from inspector.precision.published_fields import FIELDS
from inspector.simulate import finetune

pytestmark = pytest.mark.filterwarnings("ignore")

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip
LLAMA = {**SIZES, "model_type": "llama", "num_key_value_heads": 2}
GEMMA = {**LLAMA, "model_type": "gemma2", "head_dim": 8}
BERT = {**SIZES, "model_type": "bert", "architectures": ["BertForMaskedLM"]}
T5 = {"model_type": "t5", "vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
GPT_NEO = {"model_type": "gpt_neo", "vocab_size": 64, "hidden_size": 32, "num_layers": 2, "num_heads": 4}
PHI3 = {**LLAMA, "model_type": "phi3", "pad_token_id": 0}
CLIP = {
    "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
}  # fmt: skip
LLAVA = {"model_type": "llava", "text_config": LLAMA, "vision_config": CLIP}
FACTORS = {"short_factor": [1.0] * 4, "long_factor": [1.0] * 4}

CASES = {
    "activation": (LLAMA | {"hidden_act": "swish2"}, "hidden_act is 'swish2'", "mean swish .*known: .*gelu_new.*silu"),
    "no activation": (LLAMA | {"hidden_act": None}, "hidden_act is null, no str", ""),
    "su": (LLAMA | {"rope_scaling": {"type": "su"}}, "rope_scaling.type is 'su'", "longrope.*every size is the same"),
    "mrope": (LLAMA | {"rope_scaling": {"type": "mrope"}}, "rope_scaling.type is 'mrope'", "mean default"),
    "rope typo": (LLAMA | {"rope_scaling": {"rope_type": "yarnn"}}, "rope_scaling.rope_type is 'yarnn'", "mean yarn"),
    "rope number": (LLAMA | {"rope_scaling": {"type": 7}}, "rope_scaling.type is 7", "known: default, dynamic"),
    "rope key": (LLAMA | {"rope_scaling": {"type": "linear"}}, "of type 'linear' and lacks 'factor'", ""),
    "rope text": (LLAMA | {"rope_scaling": "linear"}, "rope_scaling is 'linear', nothing its class takes", ""),
    "phi3": (PHI3 | {"rope_scaling": {"type": "foo", **FACTORS}}, "rope_scaling.type is 'foo'", "known: longrope"),
    "dtype": (LLAMA | {"dtype": "bf16"}, "dtype is 'bf16'", "did you mean bfloat16"),
    "torch_dtype": (LLAMA | {"torch_dtype": "bf61"}, "torch_dtype is 'bf61'", "known: bfloat16, float16"),
    "dtypes": (LLAMA | {"dtype": ["x"]}, "dtype is ", ""),
    "layer types": (
        GEMMA | {"layer_types": ["sliding_attention", "full_atention"]}, "layer_types has 'full_atention'",
        "mean full_attention",
    ),
    "bert": (BERT | {"hidden_act": "geluu"}, "hidden_act is 'geluu'", "mean gelu"),
    "part": (T5 | {"feed_forward_proj": "gated-gelux"}, "feed_forward_proj is 'gated-gelux': 'gelux'", "mean gelu"),
    "nested list": (GPT_NEO | {"attention_types": [[["globl", "local"], 1]]}, "attention_types has 'globl'", "global"),
    "letter": (
        LLAMA | {"model_type": "nemotron_h", "hybrid_override_pattern": "M?"},
        r"hybrid_override_pattern is 'M\?': '\?'", "known: ",
    ),
    "inner": (LLAVA | {"text_config": LLAMA | {"hidden_act": "siluu"}}, "text_config.hidden_act is 'siluu'", "silu"),
    "inner type": (
        LLAVA | {"vision_config": CLIP | {"model_type": "clip_visionmodel"}},
        "vision_config.model_type is 'clip_visionmodel'", "mean clip_vision_model",
    ),
    "padding": (LLAMA | {"pad_token_id": 64}, "pad_token_id is 64, beyond vocab_size, which is 64", ""),
    "labels": (
        LLAMA | {"id2label": ["a", "b"], "architectures": ["LlamaForSequenceClassification"]},
        r"id2label is \['a', 'b'\], which its class does not take", "",
    ),
    "projector": (LLAVA | {"projector_hidden_act": "gelux"}, "projector_hidden_act is 'gelux'", "mean gelu"),
    "choice": (
        LLAVA | {"vision_feature_select_strategy": "deflt"}, "vision_feature_select_strategy is 'deflt'",
        r"mean default\? known: default, full",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_field_its_value_and_what_is_known(case):
    config, said, hint = CASES[case]
    with pytest.raises(InspectorError, match=said) as caught:
        build_model(config)
    assert re.search(hint, caught.value.hint)


def test_two_fields_of_the_same_value_are_told_apart_by_the_line_that_failed():
    with pytest.raises(InspectorError, match="built: hidden_act is 'swish2'"):
        build_model(LLAMA | {"hidden_act": "swish2", "note": "swish2"})


def test_what_is_no_word_of_the_config_is_said_as_before():
    with pytest.raises(InspectorError, match=r"built: `num_hidden_layers` .* must be equal to the number of"):
        build_model(GEMMA | {"layer_types": ["sliding_attention"]})


def test_a_rule_that_begins_like_a_list_of_words_is_said_as_it_is():
    """``keys must be integer ...`` is no ``must be in ...``, and an empty text elsewhere is no wrong word."""
    text = LLAMA | {"model_type": "gemma4_text", "per_layer_config": {"11": {"num_key_value_heads": 1}}}
    with pytest.raises(InspectorError, match=r"built: `per_layer_config` keys must be integer layer indices"):
        build_model(text | {"_name_or_path": ""})


def test_no_key_error_is_bare():
    assert in_one_line(KeyError("su")) == "it looks up 'su', which is not there"
    assert in_one_line(KeyError("a whole sentence")) == "a whole sentence"
    assert in_one_line(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rope_theta": "many"}, "rope_theta is 'many', which is no number"),
        ({"rope_theta": [1]}, r"rope_theta is '\[1\]', which is no number"),
        ({"rope_theta": 1e4, "rope_scaling": {"rope_type": "linear", "factor": [1]}}, "rope_scaling.factor is"),
        ({"num_key_value_heads": 2, "rope_theta": None}, "rope_theta is null, which is no number"),
    ],
    ids=str,
)
def test_a_number_that_is_none_is_named(fields, said):
    """Python tells the types of an operation alone."""
    with pytest.raises(InspectorError, match=said):
        build_model(LLAMA | fields)


PACKED = {
    "compute_dtype": ("bitsandbytes", {"load_in_4bit": True, "bnb_4bit_compute_dtype": "bf17"}, "bfloat16"),
    "quant_type": ("bitsandbytes", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf5"}, "mean nf4"),
    "version": ("awq", {"bits": 4, "version": "gemmv"}, "mean gem"),
    "format": ("compressed-tensors", {"format": "pack-quantised"}, "mean pack-quantized"),
    "strategy": (
        "compressed-tensors", {"config_groups": {"group_0": {"weights": {"num_bits": 4, "strategy": "groups"}}}},
        "mean group",
    ),
    "group_size": ("gptq", {"bits": 4, "group_size": 0}, "-1 is a whole row"),
    "q_group_size": ("awq", {"w_bit": 4, "q_group_size": -2}, "-1 is a whole row"),
    "bits": ("awq", {"bits": "four"}, "a whole number is wanted"),
    "weight_block_size": ("fp8", {"weight_block_size": [128]}, "such as"),
    "activation_scheme": ("fp8", {"activation_scheme": "dynamicc"}, "mean dynamic"),
    "nbits": ("hqq", {"quant_config": {"weight_quant_params": {"nbits": 5}}}, "1, 2, 3, 4, 8"),
    "axis": ("hqq", {"quant_config": {"mlp.up_proj": {"weight_quant_params": {"nbits": 4, "axis": 2}}}}, "0, 1"),
    "load_in_4bit": ("bitsandbytes", {"load_in_4bit": "yes"}, "true or false"),
    "modules_to_not_convert": ("mxfp4", {"modules_to_not_convert": "lm_head"}, "a list of modules"),
    "_type": ("torchao", {"quant_type": {"default": {"_type": "Int4WeightOnlyConfigg"}}}, "mean Int4WeightOnlyConfig"),
    "num_bits": (
        "compressed-tensors", {"config_groups": {"group_0": {"weights": {"num_bits": {}}}}}, "a whole number",
    ),
    "quant_method": ("gtpq", {"bits": 4}, "mean gptq"),
}  # fmt: skip


@pytest.mark.parametrize("field", PACKED)
def test_words_of_a_quantization_config(field):
    method, said, hint = PACKED[field]
    with pytest.raises(InspectorError, match=rf"quantization_config\.[\w.]*{field} is ") as caught:
        _ = published_in({"quantization_config": {"quant_method": method, **said}}).blocks
    assert hint in caught.value.hint


def test_words_that_are_known_pass():
    for method, said in (
        (
            "bitsandbytes",
            {"load_in_4bit": True, "bnb_4bit_compute_dtype": "torch.bfloat16", "bnb_4bit_quant_type": "nf4"},
        ),
        ("awq", {"bits": 4, "version": "GEMM"}),
        ("compressed-tensors", {"format": "float-quantized", "transform_config": {"type": "hadamard"}}),
    ):
        assert published_in({"quantization_config": {"quant_method": method, **said}}).method == method
    from transformers.utils.quantization_config import AwqFormat

    assert {word.value for word in AwqFormat} <= set(FIELDS["awq"]["version"].words)


@pytest.mark.parametrize(
    "raw",
    [
        {"quant_method": "compressed-tensors", "weight_block_size": "1x"},
        {"quant_method": "mlx", "bits": 4, "nbits": float("inf"), "group_size": 64},
        {"quant_method": "gptq", "bits": 4, "q_group_size": [3]},
    ],
    ids=str,
)
def test_a_field_of_another_method_is_read_by_nobody(raw):
    found = published_in({"quantization_config": raw})
    assert (found.method, found.blocks) == (raw["quant_method"], () if "weight_block_size" in raw else (128, 128))


VALUES = [0, 1, -1, -2, 3, 4, 3.5, 8, 128, True, "4", "static", "ue8m0", "fp4", None, [], [128], [64, 64], ["lm_head"]]
CLASSES = {
    "gptq": "GPTQConfig",
    "awq": "AwqConfig",
    "fp8": "FineGrainedFP8Config",
    "bitsandbytes": "BitsAndBytesConfig",
}


@pytest.mark.parametrize("method", CLASSES)
def test_what_transformers_own_class_refuses_is_refused(method):
    """Any value in any field; some are refused beside, which fail where they are used first."""
    import transformers

    said = {"bits": 4} if method in {"gptq", "awq"} else {"load_in_4bit": True} if method == "bitsandbytes" else {}
    ours = 0
    for field in FIELDS[method]:
        for value in VALUES:
            raw = {**said, field: value}
            try:
                getattr(transformers, CLASSES[method])(**raw)
            except (ValueError, TypeError, AttributeError):
                if value is None:  # a null is as if it were not there, as most of these classes take it
                    continue
                with pytest.raises(InspectorError):
                    published_in({"quantization_config": {"quant_method": method, **raw}})
                ours += 1
    assert ours > 5


def test_the_methods_of_the_installed_transformers():
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as LOADED

    from inspector.architecture.quantizers import loaded_methods

    assert set(loaded_methods()) == {"bitsandbytes" if "bitsandbytes" in name else name for name in LOADED}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_key_value_heads": 3}, "num_attention_heads is 4, no multiple of num_key_value_heads, which is 3"),
        (
            {"architectures": ["LlamaForSequenceClassification"], "problem_type": "multi_class"},
            "problem_type is 'multi_class'; known: regression",
        ),
        (
            {"model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 3},
            "num_experts_per_tok is 3, more than num_local_experts, which is 2",
        ),
    ],
    ids=str,
)
def test_numbers_at_odds_that_only_a_step_notices(fields, said):
    with pytest.raises(InspectorError, match=said):
        finetune(LLAMA | {"dtype": "float32"} | fields, method="full", seq_len=8, gradient_checkpointing=False)

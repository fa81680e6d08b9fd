"""Configs from strangers: any JSON is a skeleton or one clear line, soon and small."""

import json
import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.architecture import build_skeleton
from inspector.architecture.sanity import check_sizes
from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.measure.spec import cut_config
from inspector.sources.bundled import bundled_config, model_ids
from tests.sources.conftest import LLAMA

FAMILIES = [
    "meta-llama/Llama-3.2-1B", "mistralai/Mixtral-8x7B-v0.1", "google/gemma-3-4b-it", "deepseek-ai/DeepSeek-V3",
    "Qwen/Qwen3-Next-80B-A3B-Instruct", "openai-community/gpt2", "tiiuae/falcon-7b",
]  # fmt: skip
LAYERS = {"num_hidden_layers", "n_layer"}
WHOLE = {"meta-llama/Llama-3.2-1B", "mistralai/Mixtral-8x7B-v0.1"}


def built(config):
    """Parameters of a config, or None when it was refused in one line."""
    try:
        return build_skeleton(config, model_id="x").num_parameters
    except InspectorError as error:
        assert "\n" not in error.message  # noqa: PT017 -- refusing is as right as building
        return None


def test_no_bundled_config_is_refused():
    for model in model_ids():
        check_sizes(bundled_config(model))


EVERY = 1 if os.environ.get("INSPECTOR_ABSURD") else 4
"""``INSPECTOR_ABSURD=1`` takes every number (``make fuzz``)."""


def whole_numbers(config, path=()):
    for key, value in config.items():
        if isinstance(value, dict):
            yield from whole_numbers(value, (*path, key))
        elif isinstance(value, int) and not isinstance(value, bool):
            yield (*path, key)


def few_layers(model):
    """A bundled config of six layers, of each tower: the fewest with every kind of layer that these families have."""
    config = cut_config(bundled_config(model), 6)
    if "vision_config" in config:
        config["vision_config"]["num_hidden_layers"] = 6
    return config


def absurd(model):
    """A bundled config with every whole number in turn set to 10^9, and to 512.

    Of layers 512 where they are whole, as to build them takes seconds that each model spends in the same code; else 64.
    """
    for number, path in enumerate(whole_numbers(bundled_config(model))):
        many = 64 if path[-1] in LAYERS and model not in WHOLE else 512
        # What is 512 takes seconds to build: every fourth number of a family, and other ones of the next.
        for value in (10**9, many) if (number + FAMILIES.index(model)) % EVERY == EVERY - 1 else (10**9,):
            # Llama's and Mixtral's whole, that every number also meets many layers.
            config = bundled_config(model) if model in WHOLE else few_layers(model)
            inner = config
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            yield f"{model}/{'.'.join(path)}={value}", config


@pytest.mark.slow
def test_any_number_in_a_config_may_be_absurd(write, limited_each):
    """A skeleton or a line, within seconds each and a gigabyte for all."""
    configs = [(model, write(f"{name}/config.json", json.dumps(config)))
               for model in FAMILIES for name, config in absurd(model)]  # fmt: skip
    answers = limited_each([("layers", path, "--depth", "1") for _, path in configs])
    for family in FAMILIES:
        codes = [code for (model, _), (code, _, _) in zip(configs, answers, strict=True) if model == family]
        assert {0, 2} == set(codes), family
        assert len(codes) >= 8, family


def test_layers_times_experts_in_single_modules_are_stopped():
    """500 layers of 4,096 experts pass every limit of one field, and would make tens of millions of modules."""
    config = {"model_type": "switch_transformers", "num_layers": 500, "num_decoder_layers": 500, "num_experts": 4096,
              "num_sparse_encoder_layers": 500, "num_sparse_decoder_layers": 500, "d_model": 64}  # fmt: skip
    check_sizes(config)
    started = time.monotonic()
    with pytest.raises(InspectorError, match=r"over [\d,]+ (modules|s to lay out)") as caught:
        build_skeleton(config, model_id="x")
    assert caught.value.hint.startswith("mend the config.json")
    assert time.monotonic() - started < 30


_value = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-3, 70), st.floats(), st.text(max_size=6),
    st.lists(st.integers(0, 9), max_size=3), st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*LLAMA, "rope_scaling", "layer_types", "pad_token_id", "quantization_config",
                                        "head_dim", "text_config", "auto_map"]), _value, max_size=3))  # fmt: skip
def test_any_change_of_a_config_is_a_skeleton_or_one_line(changes):
    built({**LLAMA, **changes})


@pytest.mark.parametrize(
    "text",
    [
        '{"model_type": "llama", "hidden_size": NaN}', '{"model_type": "llama", "rope_theta": Infinity}',
        '{"model_type": "llama", "architectures": ["PreTrainedModel"]}',
        '{"model_type": "llama", "architectures": "LlamaForCausalLM"}',
        '{"model_type": "llama", "architectures": [["os.system"]]}',
        '{"model_type": "llama", "architectures": {"a": 1}}', '{"model_type": "../../etc/passwd"}',
        '{"model_type": "llama", "model_type": "gpt2", "n_layer": 1}', '{"model_type": "llama", "dtype": "os.system"}',
        '{"model_type": "llama", "torch_dtype": "not-a-dtype", "num_hidden_layers": 1}',
        '{"model_type": "llama", "_attn_implementation": "flash_attention_2", "num_hidden_layers": 1}',
        '{"model_type": "llama", "attn_implementation": "acme/kernels", "num_hidden_layers": 1}',
        '{"model_type": "llama", "quantization_config": [1, 2], "num_hidden_layers": 1}',
        '{"model_type": "llama", "text_config": 3, "num_hidden_layers": 1}',
    ],
)  # fmt: skip
def test_a_hostile_config_is_an_answer_or_one_line(text, tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(text)
    code = run(["memory", str(path), "--bits", "4"])
    out, err = capsys.readouterr()
    assert code in {0, 2}
    assert "Traceback" not in err
    assert code == 0 or (out == "" and len(err.splitlines()) <= 2)


@pytest.mark.parametrize("field", ["model_type", "torch_dtype", "hidden_act"])
def test_a_name_as_long_as_a_text_is_refused(field, tmp_path, limited):
    """It would be repeated in every answer: 15 MB of it took 11 s."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**LLAMA, field: "x" * 15_000_000}))
    code, _, err = limited("layers", path)
    assert code == 2
    assert f"{field} has 15,000,000 letters, no name" in err


def test_a_config_of_a_billion_layers_takes_no_memory(tmp_path, limited):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**LLAMA, "num_hidden_layers": 10**9}))
    assert limited("layers", str(path))[0] == 2

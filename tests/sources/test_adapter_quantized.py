"""An adapter on a base that is loaded in 4 or 8 bits, or stored in GPTQ or AWQ: as PEFT answers on real layers."""

from __future__ import annotations

import json
import warnings

import pytest
from peft import AdaLoraConfig, IA3Config, LoHaConfig, LoraConfig, PeftModel, VeraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.lenses.saved_adapter import read_adapter

pytestmark = pytest.mark.filterwarnings("ignore")

METHODS = {
    "lora": LoraConfig(r=4, target_modules=["q_proj", "embed_tokens"], modules_to_save=["lm_head"]),
    "dora": LoraConfig(r=4, target_modules=["q_proj"], use_dora=True),
    "ia3": IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "adalora": AdaLoraConfig(target_modules=["q_proj"], total_step=10),
    "loha": LoHaConfig(target_modules=["q_proj"]),
    "vera": VeraConfig(target_modules=["q_proj"]),
}
LOADING = {
    4: BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    8: BitsAndBytesConfig(load_in_8bit=True),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small base, plain and by a config of each format, and an adapter of each method."""
    root = tmp_path_factory.mktemp("quantized")
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, dtype="float32",
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(root / "base")
    for name, method in METHODS.items():
        get_peft_model(AutoModelForCausalLM.from_config(config), method).save_pretrained(root / name)
    plain = json.loads((root / "base" / "config.json").read_text())
    for name in ("gptq", "awq"):
        (root / f"base-{name}").mkdir()
        said = {"quant_method": name, "bits": 4, "group_size": 32}
        (root / f"base-{name}" / "config.json").write_text(json.dumps({**plain, "quantization_config": said}))
    return root


def outcome(call):
    """What a call returns, or the error it ends with."""
    try:
        return call()
    except (NotImplementedError, ValueError, RuntimeError) as error:
        return error


def said_of(error):
    """Words of ours that stand for an error of PEFT's or PyTorch's."""
    if isinstance(error, ValueError):
        return str(error)
    return "have no merge" if isinstance(error, NotImplementedError) else "in place"


@pytest.mark.parametrize("bits", LOADING)
def test_loading_and_merging_are_those_of_real_peft(folder, bits):
    for name in METHODS:
        base = AutoModelForCausalLM.from_pretrained(folder / "base", quantization_config=LOADING[bits])
        answer = read_adapter(folder / name, str(folder / "base"), bits=bits).base
        model = outcome(lambda base=base, name=name: PeftModel.from_pretrained(base, folder / name))
        if isinstance(model, Exception):
            assert "size mismatch" in str(model), name
            assert answer.answer == "fails", name
            continue
        assert answer.answer == "loads", name
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            merged = outcome(model.merge_and_unload)
        if isinstance(merged, Exception):
            assert answer.merged is None, name
            assert said_of(merged) in answer.unmerged, name
            continue
        assert merged.num_parameters() == answer.merged.parameters, name
        real = {str(one.message) for one in said if "may get different generations" in str(one.message)}
        assert set(answer.merge_warnings) == real, name


def test_the_page_says_how_the_base_is_loaded(folder, capsys):
    base = str(folder / "base")
    assert run(["adapter", str(folder / "dora"), "--base", base, "--bits", "4"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "loads it on base (LlamaForCausalLM, loaded in bitsandbytes (nf4-dq))" in said
    assert (
        "dequantized, added to and quantized again: it stays in bitsandbytes (nf4-dq); PEFT warns: Merge lora" in said
    )
    assert run(["adapter", str(folder / "ia3"), "--base", base, "--bits", "8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["base"]
    assert found["unmerged"] == "Cannot merge ia3 layers when the model is loaded in 8-bit mode"


@pytest.mark.parametrize(
    ("method", "said"),
    [("gptq", "Cannot merge LORA layers when the model is gptq quantized"), ("awq", "AwqLoraLinear has no merge")],
)
def test_a_base_that_is_stored_packed(folder, method, said):
    report = read_adapter(folder / "dora", str(folder / f"base-{method}"))
    assert report.base.loaded.startswith(method)
    assert said in report.base.unmerged
    assert any(said in note for note in report.notes)
    with pytest.raises(InspectorError, match=r"quantized already \(.*\): transformers refuses a BitsAndBytesConfig"):
        read_adapter(folder / "dora", str(folder / f"base-{method}"), bits=4)

"""Adapters that PEFT itself saved."""

import json

import peft
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.lenses.saved_adapter import read_adapter
from tests.sources.conftest import LLAMA

# PEFT still asks transformers for a property under its old name, and warns of a base model it cannot ask the hub about.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:peft.*"),
]
LINEAR = ["q_proj", "v_proj"]
METHODS = {
    "LORA": peft.LoraConfig(r=4, lora_alpha=8, target_modules=[*LINEAR, "down_proj"], task_type="CAUSAL_LM"),
    "LORA (DoRA)": peft.LoraConfig(r=4, use_dora=True, target_modules=LINEAR, task_type="CAUSAL_LM"),
    "LORA (rsLoRA)": peft.LoraConfig(r=4, use_rslora=True, target_modules=LINEAR, task_type="CAUSAL_LM"),
    "LOHA": peft.LoHaConfig(r=4, target_modules=LINEAR, task_type="CAUSAL_LM"),
    "LOKR": peft.LoKrConfig(r=4, target_modules=LINEAR, task_type="CAUSAL_LM"),
    "IA3": peft.IA3Config(target_modules=LINEAR, feedforward_modules=[], task_type="CAUSAL_LM"),
    "PROMPT_TUNING": peft.PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM"),
}


def saved(config, folder):
    torch.manual_seed(0)
    base = LlamaForCausalLM(LlamaConfig(**{key: value for key, value in LLAMA.items() if key != "model_type"}))
    base.name_or_path = base.config._name_or_path = "acme/tiny-llama"
    model = peft.get_peft_model(base, config)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_is_what_peft_trained(method, tmp_path):
    model = saved(METHODS[method], tmp_path)
    report = read_adapter(tmp_path)
    trainable, _ = model.get_nb_trainable_parameters()
    assert report.method == method
    assert report.parameters == trainable
    assert report.tensor_bytes == 4 * trainable
    assert report.file_bytes == (tmp_path / "adapter_model.safetensors").stat().st_size
    assert report.base_model == "acme/tiny-llama"


def test_the_largest_update_is_the_largest_weight_it_is_added_to(tmp_path):
    saved(METHODS["LORA"], tmp_path)
    report = read_adapter(tmp_path)
    assert report.merge_elements == 64 * 128
    assert (report.rank, report.alpha, report.modules) == (4, 8, 6)


class Layers(torch.nn.Module):
    """A layer of every sort that LoRA goes onto, and experts in one parameter."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = torch.nn.Conv1d(6, 10, 3), torch.nn.Conv2d(4, 8, 3)
        self.conv3, self.emb = torch.nn.Conv3d(3, 5, 2), torch.nn.Embedding(40, 12)
        self.grouped = torch.nn.Conv2d(8, 8, 3, groups=4)
        self.experts = torch.nn.Module()
        self.experts.w = torch.nn.Parameter(torch.zeros(3, 16, 24))


@pytest.mark.parametrize("name", ["conv1", "conv2", "conv3", "emb", "experts.w"])
def test_the_largest_update_is_the_one_that_peft_makes(name, tmp_path):
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import LoraLayer

    targets = {"target_parameters": [name]} if "." in name else {"target_modules": [name]}
    model = get_peft_model(Layers(), LoraConfig(r=2, **targets))
    model.save_pretrained(tmp_path)
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    assert read_adapter(tmp_path).merge_elements == max(layer.get_delta_weight("default").numel() for layer in layers)


def test_convolutions_in_groups_are_not_merged(tmp_path):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(Layers(), LoraConfig(r=4, target_modules=["grouped"]))
    model.save_pretrained(tmp_path)
    assert "it cannot be merged: PEFT does not merge convolutions in groups" in read_adapter(tmp_path).notes
    with pytest.raises(NotImplementedError, match="not supported"):
        model.merge_and_unload()


def test_the_page_and_the_json(tmp_path, capsys):
    saved(METHODS["LORA"], tmp_path)
    assert run(["adapter", str(tmp_path)]) == 0
    assert "acme/tiny-llama" in capsys.readouterr().out
    assert run(["adapter", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_modules"] == 6
    assert run(["layers", str(tmp_path)]) == 2
    assert "inspector adapter" in capsys.readouterr().err


@pytest.mark.parametrize("config", ["[]", "{", '{"r": "x", "peft_type": 7, "lora_alpha": NaN}', "{}"])
def test_a_broken_config_is_an_answer_or_one_line(config, tmp_path, capsys):
    saved(METHODS["LORA"], tmp_path)
    (tmp_path / "adapter_config.json").write_text(config)
    assert run(["adapter", str(tmp_path)]) in {0, 2}
    assert len(capsys.readouterr().err.splitlines()) <= 2


def test_no_adapter_and_pickles(tmp_path):
    with pytest.raises(InspectorError, match=r"no adapter_config\.json"):
        read_adapter(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InspectorError, match="save_pretrained"):
        read_adapter(tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"cos\nsystem\n")
    with pytest.raises(InspectorError, match="run any code"):
        read_adapter(tmp_path)

"""Every method of PEFT, saved by PEFT: what it stores, how many modules it is on, whether it can be merged."""

import inspect

import peft
import pytest
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from inspector.lenses.saved_adapter import _KIND, read_adapter
from tests.sources.conftest import LLAMA

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
LINEAR = ["q_proj", "v_proj"]
SPECIAL = {
    "ADALORA": {"total_step": 10}, "BOFT": {"boft_block_size": 4}, "IA3": {"feedforward_modules": []},
    "OFT": {"oft_block_size": 4}, "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 2, "target_modules": None},
    "LN_TUNING": {"target_modules": ["input_layernorm"]}, "C3A": {"block_size": 8},
    "TRAINABLE_TOKENS": {"target_modules": ["embed_tokens"], "token_indices": [0, 1, 2]},
    "VBLORA": {"num_vectors": 8, "vector_length": 16}, "P_TUNING": {"encoder_hidden_size": 16},
    "MULTITASK_PROMPT_TUNING": {"num_tasks": 2}, "FOURIERFT": {"n_frequency": 20}, "WAVEFT": {"n_frequency": 20},
    "CPT": {"cpt_token_ids": [0, 1, 2], "cpt_mask": [1, 1, 1], "cpt_tokens_type_mask": [1, 1, 1]},
    "UNILORA": {"theta_d_length": 64}, "ROAD": {"group_size": 8},
}  # fmt: skip
ELSEWHERE = {"ADAMSS", "XLORA"}
"""One needs scikit-learn, the other adapters that exist already."""

UNMODULED = {"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE", "LN_TUNING"}
SHARED = {"ADAPTION_PROMPT": 2, "TRAINABLE_TOKENS": 1, "UNILORA": 0}
METHODS = sorted(kind.name for kind in PEFT_TYPE_TO_CONFIG_MAPPING if kind.name not in ELSEWHERE)


def made(method):
    config = PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType[method]]
    known, said = set(inspect.signature(config).parameters), {"task_type": "CAUSAL_LM"}
    said |= {"target_modules": LINEAR} if "target_modules" in known else {}
    said |= {"r": 4} if "r" in known and method not in {"OFT", "BOFT"} else {}
    said |= {"num_virtual_tokens": 5} if "num_virtual_tokens" in known else {}
    torch.manual_seed(0)
    base = LlamaForCausalLM(LlamaConfig(**{key: value for key, value in LLAMA.items() if key != "model_type"}))
    base.name_or_path = base.config._name_or_path = "acme/tiny"
    return peft.get_peft_model(base, config(**said | SPECIAL.get(method, {})))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_told_as_peft_saved_it(method, tmp_path):
    model = made(method)
    model.save_pretrained(tmp_path)
    report, file = read_adapter(tmp_path), load_file(tmp_path / "adapter_model.safetensors")
    assert (report.method.partition(" ")[0], report.base_model) == (method, "acme/tiny")
    assert report.parameters == sum(tensor.numel() for tensor in file.values())
    assert report.tensor_bytes == sum(tensor.nbytes for tensor in file.values())
    assert report.modules == (0 if method in UNMODULED else SHARED.get(method, 4))
    assert ("saved whole" in {part.name for part in report.parts}) == (method == "LN_TUNING")
    try:
        model.merge_and_unload()
        mergeable = True
    except (AttributeError, NotImplementedError, ValueError):
        mergeable = False
    assert ("cannot be" not in report.notes[-1]) == mergeable


def test_every_prefix_of_peft_is_known():
    """Prompts and norms are saved under other names than their prefix."""
    for kind, prefix in PEFT_TYPE_TO_PREFIX_MAPPING.items():
        if kind.name not in UNMODULED:
            assert _KIND.search(f"base_model.model.layers.0.q_proj.{prefix}A.weight"), prefix

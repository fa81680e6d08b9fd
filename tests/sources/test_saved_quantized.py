"""Quantized folders that the libraries themselves saved: bitsandbytes, and gpt-oss's MXFP4 modules in transformers."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.lenses.weights import stored_tensors
from inspector.precision import scheme_named
from inspector.sources.resolve import locate
from tests.sources.conftest import LLAMA

pytestmark = pytest.mark.filterwarnings("ignore")
CHOICES = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "nf4-dq": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "int8": {"load_in_8bit": True},
}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", CHOICES)
def test_what_bitsandbytes_saved(scheme, tmp_path):
    """All of the file is counted; a layer's values and absmax are those predicted, beside what only files have."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

    base = LlamaForCausalLM(LlamaConfig(**{key: value for key, value in LLAMA.items() if key != "model_type"}))
    base.to(torch.bfloat16).save_pretrained(tmp_path / "base")
    chosen = BitsAndBytesConfig(**CHOICES[scheme])
    model = AutoModelForCausalLM.from_pretrained(
        tmp_path / "base", dtype=torch.bfloat16, quantization_config=chosen, device_map="cpu"
    )
    model.save_pretrained(tmp_path / "saved")
    source, file = locate(str(tmp_path / "saved")), load_file(tmp_path / "saved" / "model.safetensors")
    report = compare_with_skeleton(source.checkpoint, source.skeleton)
    assert report.quantization == "bitsandbytes"
    assert (report.missing, report.unexpected, report.misshapen) == ((), (), ())
    assert report.tensor_bytes == sum(tensor.nbytes for tensor in file.values())
    assert report.parameters == sum(parameter.numel() for parameter in base.parameters())
    assert report.bits_per_parameter == 8 * report.tensor_bytes / report.parameters
    constants = {name: tensor for name, tensor in file.items() if "absmax" in name or "quant_" in name or "SCB" in name}
    constants |= {name: tensor for name, tensor in file.items() if name.endswith("weight_format")}
    assert report.constant_bytes == sum(tensor.nbytes for tensor in constants.values())
    rows = [row for row in stored_tensors(source.skeleton, scheme_named(scheme)) if row.quantized]
    for row in rows:
        assert row.weight_bytes == file[row.tensor.name].nbytes
    assert len(rows) == 14


def test_what_transformers_keeps_of_gpt_oss(tmp_path):
    """The module's own bytes under gpt-oss's names: rows in blocks of 16 bytes, 32 values, with a scale each."""
    from transformers import GptOssConfig, GptOssForCausalLM
    from transformers.integrations.mxfp4 import Mxfp4GptOssExperts

    config = GptOssConfig(hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_local_experts=4, head_dim=16,
                          num_attention_heads=4, num_key_value_heads=2, vocab_size=128)  # fmt: skip
    base = GptOssForCausalLM(config).to(torch.bfloat16)
    tensors = {name: tensor for name, tensor in base.state_dict().items() if "experts" not in name}
    for layer in range(2):
        experts = Mxfp4GptOssExperts(config)
        owner = f"model.layers.{layer}.mlp.experts"
        for name in ("gate_up_proj", "down_proj"):
            tensors[f"{owner}.{name}_blocks"] = getattr(experts, name).detach().unflatten(-1, (-1, 16)).clone()
            tensors[f"{owner}.{name}_bias"] = getattr(experts, f"{name}_bias").detach().to(torch.bfloat16)
            blocks = tensors[f"{owner}.{name}_blocks"]
            tensors[f"{owner}.{name}_scales"] = torch.zeros(blocks.shape[:-1], dtype=torch.uint8)
    save_file(tensors, tmp_path / "model.safetensors")
    said = {
        **config.to_dict(),
        "quantization_config": {"quant_method": "mxfp4"},
        "architectures": ["GptOssForCausalLM"],
    }
    (tmp_path / "config.json").write_text(json.dumps(said, default=str))
    source = locate(str(tmp_path))
    report = compare_with_skeleton(source.checkpoint, source.skeleton)
    assert (report.quantization, report.parameters) == ("mxfp4", sum(item.numel() for item in base.parameters()))
    assert (report.missing, report.unexpected, report.misshapen) == ((), (), ())
    rows = stored_tensors(source.skeleton, scheme_named("mxfp4"))
    assert sum(row.tensor_bytes for row in rows if row.tensor.is_parameter) == report.tensor_bytes

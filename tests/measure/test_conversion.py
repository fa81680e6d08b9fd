"""Checkpoints with one tensor an expert, as the hub has them, fill a model whose experts are fused."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, MixtralConfig, Qwen3MoeConfig

from inspector.architecture.quiet import quiet
from inspector.errors import InspectorError
from inspector.measure.build import build
from inspector.measure.weightsource import SafetensorsWeights

SHAPES = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 160,
}  # fmt: skip
CONFIGS = {
    "mixtral": MixtralConfig(**SHAPES, num_local_experts=3, num_experts_per_tok=2),
    "qwen3-moe": Qwen3MoeConfig(**SHAPES, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=32, head_dim=16),
}


@pytest.fixture(scope="module", params=CONFIGS)
def saved(request, tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("experts")
    with quiet():
        model = AutoModelForCausalLM.from_config(CONFIGS[request.param], dtype=torch.bfloat16)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        model.save_pretrained(folder, max_shard_size="60KB")
    return model.config.to_dict(), folder


def test_the_folder_has_a_tensor_for_each_expert(saved):
    _, folder = saved
    names = [name for file in folder.glob("*.safetensors") for name in load_file(file)]
    assert sum(".experts.0." in name for name in names) == 6


@pytest.mark.parametrize("scheme", ["bf16", "nf4"])
def test_the_forward_is_that_of_from_pretrained(saved, scheme):
    from inspector.measure.build import quantizer_for
    from inspector.precision import scheme_named

    config, folder = saved
    quantizer = quantizer_for(scheme_named(scheme))
    with quiet():
        real = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16,
            quantization_config=quantizer.quantization_config if quantizer else None,
            device_map="cpu",
        )
    ours = build(config, scheme, SafetensorsWeights(folder, prefix=real.base_model_prefix))
    mine, theirs = ours.state_dict(), real.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    with torch.no_grad(), quiet():
        assert torch.equal(ours(torch.arange(24)[None]).logits, real(torch.arange(24)[None]).logits)


def test_an_expert_that_is_missing_is_said_before_anything_is_read(saved, tmp_path):
    config, folder = saved
    tensors = {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}
    gone = next(name for name in tensors if ".experts.1." in name)
    del tensors[gone]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(InspectorError, match=r"experts\.\w+ is made of .* numbers in .* config says \[3, "):
        build(config, "bf16", SafetensorsWeights(tmp_path, prefix="model"))

"""A streamed model is the one `from_pretrained` gives, and a whole one: nothing is left on the meta device."""

import os
import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM, FineGrainedFP8Config, GPT2Config, LlamaConfig, OPTConfig

from inspector.architecture.quiet import quiet
from inspector.errors import InspectorError
from inspector.measure.build import build, quantizer_for
from inspector.measure.weightsource import RandomWeights, SafetensorsWeights
from inspector.precision import scheme_named

BITSANDBYTES = ["int8", "nf4", "nf4-dq", "fp4", "fp4-dq"]
CONFIGS = {
    "llama": LlamaConfig(
        hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=320,
    ),
    "llama, tied": LlamaConfig(
        hidden_size=128, intermediate_size=256, num_hidden_layers=1, num_attention_heads=4, vocab_size=320,
        tie_word_embeddings=True,
    ),
    "gpt2": GPT2Config(n_embd=128, n_layer=2, n_head=4, vocab_size=320, n_positions=64),
    "opt": OPTConfig(
        hidden_size=128, ffn_dim=256, num_hidden_layers=2, num_attention_heads=4, vocab_size=320,
        word_embed_proj_dim=128, max_position_embeddings=64,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=CONFIGS)
def saved(request, tmp_path_factory):
    """A small model with biases and norms that are not what they start as, saved in shards."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[request.param], dtype=torch.bfloat16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("saved")
    with quiet():
        model.save_pretrained(folder, max_shard_size="200KB")
    return model.config.to_dict(), folder


def described(model):
    return {
        "modules": [(path, type(module)) for path, module in model.named_modules()],
        "parameters": [
            (name, type(tensor), tensor.dtype, tuple(tensor.shape), tensor.requires_grad, tensor.device.type)
            for name, tensor in model.named_parameters(remove_duplicate=False)
        ],
        "buffers": [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in model.named_buffers()],
        "training": {module.training for module in model.modules()},
    }


def logits(model):
    with torch.no_grad(), quiet():
        return model(torch.arange(24)[None]).logits


@pytest.mark.parametrize("scheme", [*BITSANDBYTES, "bf16", "fp16", "fp32"])
def test_the_model_is_the_one_from_pretrained_gives(saved, scheme):
    config, folder = saved
    rule = scheme_named(scheme)
    quantizer = quantizer_for(rule)
    with quiet():
        real = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, rule.rest),
            quantization_config=quantizer.quantization_config if quantizer else None,
            device_map="cpu",
        )
    ours = build(config, scheme, SafetensorsWeights(folder, prefix=real.base_model_prefix))
    assert described(ours) == described(real)
    assert {name: tensor.tolist() for name, tensor in ours.named_buffers()} == {
        name: tensor.tolist() for name, tensor in real.named_buffers()
    }
    assert ours.get_memory_footprint() == real.get_memory_footprint()
    mine, theirs = ours.state_dict(), real.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert torch.equal(logits(ours), logits(real))


@pytest.fixture(scope="module")
def random_weights():
    """One pool of random numbers for all: drawing it takes longer than a small model."""
    return RandomWeights(seed=1)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("scheme", [*BITSANDBYTES, "fp8", "bf16"])
def test_random_weights_fill_every_tensor(name, scheme, random_weights):
    model = build(CONFIGS[name].to_dict(), scheme, random_weights)
    for tensor in (*model.parameters(), *model.buffers()):
        assert tensor.device.type == "cpu"
        if tensor.dtype == torch.bfloat16:
            assert torch.isfinite(tensor).all()


def test_tied_weights_stay_tied(random_weights):
    model = build(CONFIGS["llama, tied"].to_dict(), "nf4", random_weights)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_another_block_size_reaches_bitsandbytes(random_weights):
    model = build(CONFIGS["llama"].to_dict(), "nf4:128", random_weights)
    weight = model.model.layers[0].self_attn.q_proj.weight
    assert weight.quant_state.blocksize == 128
    assert weight.quant_state.absmax.numel() == 128 * 128 // 128


def test_fp8_has_the_modules_and_dtypes_transformers_makes():
    from transformers.integrations.finegrained_fp8 import FP8Linear

    model = build(CONFIGS["llama"].to_dict(), "fp8", RandomWeights())
    layer = model.model.layers[0].mlp.up_proj
    assert type(layer) is FP8Linear
    assert layer.weight.dtype == torch.float8_e4m3fn
    block = FineGrainedFP8Config().weight_block_size
    restored = layer.weight.float() * layer.weight_scale_inv.float().repeat_interleave(block[0], 0).repeat_interleave(
        block[1], 1
    )
    name, cpu = "model.layers.0.mlp.up_proj.weight", torch.device("cpu")
    source = RandomWeights().tensor(name, (256, 128), torch.bfloat16, cpu)
    assert torch.allclose(restored, source.float(), rtol=0.07, atol=1e-4)


def test_seeds_say_which_numbers():
    cpu = torch.device("cpu")
    first = RandomWeights(1).tensor("a.weight", (64, 64), torch.bfloat16, cpu)
    assert torch.equal(first, RandomWeights(1).tensor("a.weight", (64, 64), torch.bfloat16, cpu))
    assert not torch.equal(first, RandomWeights(2).tensor("a.weight", (64, 64), torch.bfloat16, cpu))
    assert not torch.equal(first, RandomWeights(1).tensor("b.weight", (64, 64), torch.bfloat16, cpu))
    large = RandomWeights(1).tensor("c.weight", (5000, 5000), torch.bfloat16, cpu).float()
    assert abs(large.mean().item()) < 1e-4
    assert large.std().item() == pytest.approx(0.02, rel=0.01)


class TestBadWeights:
    """Each is one clear line, before anything was quantized."""

    @pytest.fixture
    def folder(self, tmp_path):
        torch.manual_seed(0)
        with quiet(), warnings.catch_warnings():
            AutoModelForCausalLM.from_config(CONFIGS["llama"]).save_pretrained(tmp_path, max_shard_size="300KB")
        return tmp_path

    def fails(self, folder, match, config=CONFIGS["llama"]):
        with pytest.raises(InspectorError, match=match) as caught:
            build(config.to_dict(), "nf4", SafetensorsWeights(folder))
        assert "\n" not in caught.value.message

    def test_truncated(self, folder):
        shard = sorted(folder.glob("*.safetensors"))[1]
        shard.write_bytes(shard.read_bytes()[:-100])
        self.fails(folder, "no sound safetensors file")

    @pytest.mark.parametrize("content", [b"", b"x" * 1000, (2**40).to_bytes(8, "little") + b"{}"])
    def test_corrupt(self, folder, content):
        min(folder.glob("*.safetensors")).write_bytes(content)
        self.fails(folder, "no sound safetensors file")

    def test_no_file_at_all(self, folder):
        """A pipe that nobody writes to would be waited for without end."""
        shard = min(folder.glob("*.safetensors"))
        shard.unlink()
        os.mkfifo(shard)
        self.fails(folder, "no regular file")

    def test_missing_shard(self, folder):
        min(folder.glob("*.safetensors")).unlink()
        self.fails(folder, "lacks 1 of . shards")

    def test_damaged_index(self, folder):
        (folder / "model.safetensors.index.json").write_text('{"weight_map": 3}')
        self.fails(folder, "no weight_map")

    def test_other_shapes(self, folder):
        other = LlamaConfig(**{**CONFIGS["llama"].to_dict(), "intermediate_size": 512})
        self.fails(folder, r"gate_proj.weight is \[256, 128\] .* config says \[512, 128\]", other)

    def test_missing_tensors(self, folder):
        deeper = LlamaConfig(**{**CONFIGS["llama"].to_dict(), "num_hidden_layers": 3, "layer_types": None})
        self.fails(folder, r"lacks 9 of \d+ tensors, such as model.layers.2", deeper)

    def test_no_weights_at_all(self, tmp_path):
        self.fails(tmp_path, "has no safetensors")
        self.fails(tmp_path / "nowhere", "no such folder")

    def test_fewer_layers_than_the_weights_have(self, folder):
        shallow = LlamaConfig(**{**CONFIGS["llama"].to_dict(), "num_hidden_layers": 1, "layer_types": None})
        model = build(shallow.to_dict(), "nf4", SafetensorsWeights(folder))
        assert len(model.model.layers) == 1

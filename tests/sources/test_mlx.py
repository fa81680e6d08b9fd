"""Weights packed by MLX, as mlx-lm saves them: named as such, counted as what they are, nothing unexpected."""

import json

import pytest
import torch
from safetensors.torch import save_file

from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.cli.main import run
from inspector.sources.resolve import locate, resolve
from tests.sources.conftest import LLAMA

QWEN_MOE = {
    "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128, "head_dim": 32,
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "tie_word_embeddings": False,
    "dtype": "bfloat16",
}  # fmt: skip


def packed(shape, bits, group):
    """As ``mx.quantize`` lays it out: words, scales and biases of a group each."""
    *rows, columns = shape
    return {
        "weight": torch.zeros(*rows, columns * bits // 32, dtype=torch.uint32),
        "scales": torch.zeros(*rows, columns // group, dtype=torch.bfloat16),
        "biases": torch.zeros(*rows, columns // group, dtype=torch.bfloat16),
    }


def save(folder, config, bits_of, group=32, named=("quantization", "quantization_config"), change=None):
    """A folder as mlx-lm writes it; ``bits_of`` says the bits of a module, 0 for what it leaves alone."""
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {}
    for tensor in resolve(str(folder / "config.json")).tensors:
        bits = bits_of(tensor.owner) if tensor.persistent and len(tensor.shape) > 1 else 0
        if not tensor.is_parameter or tensor.tied_to:
            continue
        if not bits:
            tensors[tensor.name] = torch.zeros(tensor.shape, dtype=torch.bfloat16)
            continue
        owner, shape = tensor.owner, tensor.shape
        if tensor.name.endswith("experts.gate_up_proj"):
            half = (shape[0], shape[1] // 2, shape[2])
            parts = {"switch_mlp.gate_proj": half, "switch_mlp.up_proj": half}
        else:
            parts = {"switch_mlp.down_proj": shape} if tensor.name.endswith("experts.down_proj") else {"": shape}
        for part, its in parts.items():
            path = f"{owner.removesuffix('experts')}{part}" if part else owner
            tensors |= {f"{path}.{name}": value for name, value in packed(its, bits, group).items()}
    if change:
        change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "mlx"})
    said = {name: {"group_size": group, "bits": 4} for name in named}
    (folder / "config.json").write_text(json.dumps({**config, **said}))
    return tensors


def in_four(_path):
    return 4


def found_in(folder):
    source = locate(str(folder))
    return compare_with_skeleton(source.checkpoint, source.skeleton)


@pytest.mark.parametrize(("config", "bits_of"), [
    pytest.param(LLAMA, in_four, id="all in 4 bits"),
    pytest.param(LLAMA, lambda path: 6 if "lm_head" in path else 3, id="mixed, a head in 6 bits"),
    pytest.param(LLAMA, lambda path: 0 if "embed" in path else 8, id="embeddings left alone"),
    pytest.param({**LLAMA, "tie_word_embeddings": True}, lambda _: 5, id="tied, the head not stored"),
    pytest.param(QWEN_MOE, lambda path: 0 if path.endswith("gate") else 4, id="stacked experts"),
])  # fmt: skip
@pytest.mark.parametrize("named", [("quantization", "quantization_config"), ("quantization",), ()])
def test_nothing_is_unexpected_and_the_format_is_named(tmp_path, config, bits_of, named):
    tensors = save(tmp_path, config, bits_of, named=named)
    found = found_in(tmp_path)
    assert (found.missing, found.unexpected, found.misshapen, found.redundant) == ((), (), (), ())
    assert found.quantization == "mlx"
    assert found.parameters == resolve(str(tmp_path)).num_parameters
    constants = sum(value.nbytes for name, value in tensors.items() if name.endswith((".scales", ".biases")))
    assert found.constant_bytes == constants
    assert found.tensor_bytes == sum(value.nbytes for value in tensors.values())


def test_the_published_kind(tmp_path):
    """Repositories of mlx-community (hub-docs#2704): logical parameters, not words."""
    config = {**LLAMA, "hidden_size": 128, "intermediate_size": 256}
    save(tmp_path, config, in_four, group=64)
    found = found_in(tmp_path)
    assert (found.parameters, found.num_tensors, len(found.unexpected)) == (361_088, 53, 0)
    assert round(found.bits_per_parameter, 2) == 4.52


def test_every_word_is_counted_as_stored(tmp_path, capsys):
    tensors = save(tmp_path, LLAMA, in_four)
    assert run(["memory", str(tmp_path), "--scheme", "stored", "--json"]) == 0
    (scheme,) = json.loads(capsys.readouterr().out)["schemes"]
    assert scheme["tensor_bytes"] == sum(value.nbytes for value in tensors.values())


def test_a_page_says_that_it_is_mlx(tmp_path, capsys):
    save(tmp_path, LLAMA, in_four)
    for command in ("checkpoint", "layers"):
        assert run([command, str(tmp_path)]) == 0
        assert "published in mlx, which transformers does not load" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("name", "shape"), [
    ("lm_head.weight", (256, 9)),  # no whole number of bits
    ("lm_head.weight", (255, 8)),  # a row short
    ("model.embed_tokens.scales", (256, 3)),  # groups that divide no row
])  # fmt: skip
def test_words_that_do_not_hold_the_weights_are_named(tmp_path, name, shape):
    def change(tensors):
        tensors[name] = torch.zeros(shape, dtype=tensors[name].dtype)

    save(tmp_path, LLAMA, in_four, change=change)
    assert [finding.name for finding in found_in(tmp_path).misshapen] == [name.rpartition(".")[0] + ".weight"]

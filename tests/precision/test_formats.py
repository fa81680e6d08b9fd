"""Formats that checkpoints are published in: predictions held to published sizes and to the libraries' own modules."""

import pytest
import torch

import inspector
from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.lenses.weights import grouped, stored_tensors, weights
from inspector.precision import PUBLISHED_NAMES, chosen_schemes, scheme_named
from inspector.precision.gguf_rules import FILE_TYPES
from inspector.sources.bundled import find, load_bundled

# Bits a weight of Llama 3.1 8B in llama.cpp's tools/quantize/README.md (commit 311c2c9f).
PUBLISHED_BITS = {
    "iq1_s": 2.0042, "iq1_m": 2.1460, "iq2_xxs": 2.3824, "iq2_xs": 2.5882, "iq2_s": 2.7403, "iq2_m": 2.9294,
    "iq3_xxs": 3.2548, "iq3_xs": 3.4977, "iq3_s": 3.6606, "iq3_m": 3.7628, "iq4_xs": 4.4597, "iq4_nl": 4.6818,
    "q2_k_s": 2.9697, "q2_k": 3.1593, "q3_k_s": 3.6429, "q3_k_l": 4.2979, "q4_k_s": 4.6672, "q4_k_m": 4.8944,
    "q5_k_s": 5.5704, "q5_k_m": 5.7036, "q6_k": 6.5633, "q8_0": 8.5008, "f16": 16.0005,
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED_BITS)
def test_gguf_files_have_the_published_bits_a_weight(name):
    report = inspector.load("llama-3.1-8b").memory(scheme=f"gguf:{name}").focus
    assert round(report.bits_per_parameter, 4) == PUBLISHED_BITS[name]


@pytest.mark.parametrize("name", FILE_TYPES)
def test_every_type_is_one_that_the_gguf_package_can_size(name):
    """Each tensor's bytes are those of the package's own arithmetic for its type."""
    from gguf import GGMLQuantizationType
    from gguf.quants import quant_shape_to_byte_shape

    skeleton = load_bundled("Qwen/Qwen2.5-0.5B")
    scheme = scheme_named(f"gguf:{name}").for_model(skeleton)
    for row in stored_tensors(skeleton, scheme):
        if row.quantized:
            shape = quant_shape_to_byte_shape(row.tensor.shape, GGMLQuantizationType[scheme.types[row.tensor.name]])
            assert row.tensor_bytes == torch.Size(shape).numel()


def test_experts_and_tied_heads_follow_the_rules():
    mixtral = load_bundled("mistralai/Mixtral-8x7B-v0.1")
    types = scheme_named("gguf:q4_k_m").for_model(mixtral).types
    assert types["model.layers.5.self_attn.v_proj.weight"] == "Q8_0"
    assert types["model.layers.5.self_attn.o_proj.weight"] == "Q5_K"
    assert types["model.layers.0.mlp.experts.down_proj"] == "Q6_K"
    assert types["model.layers.0.mlp.gate.weight"] == "F32"
    tied = load_bundled("meta-llama/Llama-3.2-1B")
    assert scheme_named("gguf:q4_k_m").for_model(tied).types["model.embed_tokens.weight"] == "Q6_K"


def test_layers_are_counted_by_weights_alone():
    """The biases of Qwen2's value projections and the shared experts of DeepSeek are not layers of their own."""
    types = scheme_named("gguf:q4_k_m").for_model(load_bundled("Qwen/Qwen2.5-0.5B")).types
    raised = {i for i in range(24) if types[f"model.layers.{i}.mlp.down_proj.weight"] == "Q6_K"}
    assert raised == {0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23}  # rows of 4,864 are whole blocks of 256
    assert types["model.layers.3.self_attn.q_proj.weight"] == "Q5_0"  # rows of 896 are not
    values = {i for i in range(24) if types[f"model.layers.{i}.self_attn.v_proj.weight"] == "Q8_0"}
    assert values == raised
    types = scheme_named("gguf:q4_k_m").for_model(load_bundled("deepseek-ai/DeepSeek-V2-Lite")).types
    raised = {i for i in range(1, 27) if types[f"model.layers.{i}.mlp.shared_experts.down_proj.weight"] == "Q6_K"}
    assert raised == {1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26}


def test_types_of_few_bits_say_that_they_need_an_importance_matrix():
    assert "with an importance matrix" in scheme_named("gguf:iq2_xxs").title
    assert "no importance matrix" in scheme_named("gguf:iq4_xs").title
    types = scheme_named("gguf:iq1_s").for_model(load_bundled("mistralai/Mixtral-8x7B-v0.1")).types
    assert types["model.layers.5.self_attn.o_proj.weight"] == "Q5_K"
    assert types["model.layers.5.self_attn.k_proj.weight"] == "Q4_K"
    assert types["model.layers.5.mlp.experts.gate_up_proj"] == "IQ1_S"


NAMED = ["gptq", "gptq:3:64", "gptq:8:-1", "awq", "hqq", "hqq:2:16", "w4a16", "nvfp4", "mxfp4", "gguf:q4_k_m"]


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("model", ["meta-llama/Llama-3.1-8B", "openai-community/gpt2", "openai/gpt-oss-20b"])
def test_the_waterfall_and_every_grouping_add_up(model, name):
    skeleton, scheme = load_bundled(model), scheme_named(name)
    report = weights(skeleton, scheme)
    assert report.naive_bytes + sum(step.nbytes for step in report.steps) == report.tensor_bytes
    for by in ("module", "layer", "kind"):
        assert sum(group.tensor_bytes for group in grouped(skeleton, scheme, by)) == report.tensor_bytes


def test_mxfp4_is_what_transformers_module_holds():
    from transformers import GptOssConfig
    from transformers.integrations.mxfp4 import Mxfp4GptOssExperts

    from inspector.sources.bundled import bundled_config

    config = GptOssConfig.from_dict(bundled_config("openai/gpt-oss-20b"))
    with torch.device("meta"):
        real = Mxfp4GptOssExperts(config)
    rows = {row.tensor.name: row for row in stored_tensors(load_bundled("openai/gpt-oss-20b"), scheme_named("mxfp4"))}
    for name in ("gate_up_proj", "down_proj"):
        assert rows[f"model.layers.0.mlp.experts.{name}"].weight_bytes == getattr(real, name).nbytes


@pytest.mark.parametrize("name", ["gptq:4:128", "awq:4:128", "w4a16:4:128", "nvfp4"])
@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        ("mistralai/Mixtral-8x7B-v0.1", {(14336, 4096): 16, (4096, 14336): 8}),
        ("openai/gpt-oss-20b", {(2880, 2880): 96}),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", {(8192, 5120): 32, (5120, 8192): 16}),
    ],
)
def test_each_expert_is_packed_as_linear_layers(model, sizes, name):
    """Gate, up and down of every expert, of so many outputs and inputs."""
    scheme = scheme_named(name)
    skeleton = load_bundled(find(model))
    rows = [
        row
        for row in stored_tensors(skeleton, scheme)
        if ".layers.1." in f".{row.module.path}" and row.module.part == "expert"
    ]
    packed = [row for row in rows if row.quantized]
    linears = [scheme.layout(*size, scheme.bits, scheme.group) for size, count in sizes.items() for _ in range(count)]
    assert sum(row.tensor_bytes for row in packed) == sum(piece.nbytes for pieces in linears for piece in pieces)
    assert sum(row.allocated_bytes for row in packed) == sum(
        -(-piece.nbytes // 512) * 512 for pieces in linears for piece in pieces
    )
    assert all("bias" in row.tensor.name for row in rows if not row.quantized)


def test_what_becomes_of_experts_is_said():
    def said(model, name):
        return " ".join(weights(load_bundled(model), scheme_named(name)).assumptions)

    assert "each expert's linear layers are packed" in said("mistralai/Mixtral-8x7B-v0.1", "gptq")
    assert "fused experts stay in bfloat16" in said("mistralai/Mixtral-8x7B-v0.1", "hqq")
    assert "expert" not in said("openai-community/gpt2", "gptq")


def test_gptq_of_phi_4_takes_what_vllm_reports():
    """8.5107 GiB in vLLM's log; it keeps no g_idx and pads nothing, so half a per cent is the band."""
    report = inspector.load("phi-4").memory(scheme="gptq:4:128").focus
    assert report.tensor_bytes / 2**30 == pytest.approx(8.5107, rel=0.005)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gptq:5", "no 5-bit"), ("gptq:4:3", "group size"), ("gptq:4:64:2", "not what follows"), ("awq:8", "no 8-bit"),
        ("hqq:x", "not what follows"), ("nvfp4:4", "not what follows"), ("gguf:q4_k_x", "did you mean gguf:q4_k"),
        ("gguf:", "no GGUF file type"), ("gptq:" + "9" * 5000, "not what follows"), ("gpt", "did you mean"),
    ],
)  # fmt: skip
def test_an_impossible_format_is_one_clear_line(name, message):
    with pytest.raises(InspectorError, match=message):
        chosen_schemes((name,))


def test_an_architecture_that_llama_cpp_does_not_name(capsys):
    assert run(["memory", "facebook/opt-350m", "--scheme", "gguf:q4_k_m"]) == 2
    assert "llama.cpp" in capsys.readouterr().err


def test_the_names_can_be_listed():
    assert "gptq" in PUBLISHED_NAMES
    assert "gguf:q4_k_m" in PUBLISHED_NAMES

"""The arithmetic of every scheme equals the real libraries' own modules, built on the meta device."""

import contextlib
import functools

import pytest
import torch
from transformers import BitsAndBytesConfig, FineGrainedFP8Config
from transformers.core_model_loading import build_glob_alternation
from transformers.integrations.bitsandbytes import replace_with_bnb_linear
from transformers.integrations.finegrained_fp8 import replace_with_fp8_linear
from transformers.quantizers.base import HfQuantizer

from inspector.architecture import build_model, build_skeleton
from inspector.lenses.weights import stored_tensors
from inspector.patched import patched
from inspector.precision import scheme_named
from inspector.precision.as_published import published_scheme
from inspector.simulate.device.bitsandbytes import map_apart
from inspector.sources.bundled import bundled_config, load_bundled
from tests.models import Depth, at_depths

SMALL = ["Qwen/Qwen2.5-0.5B", "openai-community/gpt2", "facebook/opt-350m", "google/gemma-3-4b-it"]


@contextlib.contextmanager
def bfloat16_by_default():
    torch.set_default_dtype(torch.bfloat16)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def kept(model):
    return HfQuantizer.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)


@functools.cache
def quantized_to_4_bits(rows, columns, quant_type, double):
    """Bytes of everything that the real function makes of a weight; layer after layer has the same shapes."""
    import bitsandbytes as bnb

    weight = torch.empty(rows, columns, dtype=torch.bfloat16, device="meta")
    with patched(map_apart()):
        packed, state = bnb.functional.quantize_4bit(
            weight, blocksize=64, compress_statistics=double, quant_type=quant_type
        )
    tensors = [packed, state.absmax, state.code]
    if state.nested:
        tensors += [state.offset, state.state2.absmax, state.state2.code]
    return sorted(tensor.nbytes for tensor in tensors)


@functools.cache
def quantized_to_8_bits(rows, columns):
    import bitsandbytes as bnb

    weight = torch.empty(rows, columns, dtype=torch.float16, device="meta")
    values, scales, _ = bnb.functional.int8_vectorwise_quant(weight)
    return sorted([values.nbytes, scales.nbytes])


def quantized_by_bitsandbytes(depth, config):
    """The real model with the real modules, every replaced weight quantized on the meta device."""
    import bitsandbytes as bnb

    model = build_model(depth.config(), "bfloat16")
    with bfloat16_by_default():  # as from_pretrained does: the new modules' biases get it
        replace_with_bnb_linear(model, kept(model), config)
    four_bits = (config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant)
    sizes = {}
    for path, module in model.named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            sizes[f"{path}.weight"] = quantized_to_4_bits(module.out_features, module.in_features, *four_bits)
        elif isinstance(module, bnb.nn.Linear8bitLt):
            sizes[f"{path}.weight"] = quantized_to_8_bits(module.out_features, module.in_features)
    for name, nbytes in loaded_sizes(model).items():
        sizes.setdefault(name, [nbytes])
    return sizes


def loaded_sizes(model):
    """Bytes of every tensor after loading in bfloat16: those in transformers' dtype plan come out as it says."""
    plan = model._get_dtype_plan(torch.bfloat16)
    search, pattern_of_group, _ = build_glob_alternation(list(plan)) if plan else (None, None, None)
    stored = set(model.state_dict())
    sizes = {}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        planned = search.search(name) if search and name in stored else None
        dtype = plan[pattern_of_group[planned.lastgroup]] if planned else tensor.dtype
        sizes[name] = tensor.numel() * dtype.itemsize
    return sizes


def predicted(depth, scheme):
    rows = stored_tensors(depth.skeleton(), scheme_named(scheme))
    return {row.tensor.name: sorted(piece.nbytes for piece in row.pieces) for row in rows}


CONFIGS = {
    "int8": BitsAndBytesConfig(load_in_8bit=True),
    "nf4-dq": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    "fp4-dq": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=True),
    "fp4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="fp4"),
}


@pytest.mark.slow
@pytest.mark.parametrize("depth", at_depths(), ids=str)
def test_double_quantized_nf4_is_what_bitsandbytes_stores(depth):
    assert predicted(depth, "nf4-dq") == quantized_by_bitsandbytes(depth, CONFIGS["nf4-dq"])


@pytest.mark.slow
@pytest.mark.parametrize("depth", at_depths(), ids=str)
def test_int8_is_what_bitsandbytes_stores(depth):
    assert predicted(depth, "int8") == quantized_by_bitsandbytes(depth, CONFIGS["int8"])


@pytest.mark.parametrize("scheme", ["nf4", "fp4-dq", "fp4"])
@pytest.mark.parametrize("model", SMALL)
def test_the_other_4_bit_types_are_what_bitsandbytes_stores(model, scheme):
    assert predicted(Depth(model), scheme) == quantized_by_bitsandbytes(Depth(model), CONFIGS[scheme])


@pytest.mark.parametrize("scheme", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("model", [*SMALL, "meta-llama/Llama-3.1-8B"])
def test_plain_dtypes_have_the_footprint_transformers_prints(model, scheme):
    dtype = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[scheme]
    built = build_model(bundled_config(model), dtype)
    assert sum(sum(sizes) for sizes in predicted(Depth(model), scheme).values()) == built.get_memory_footprint()


@pytest.mark.parametrize(
    "model",
    [*SMALL, "meta-llama/Llama-3.1-8B", "tiiuae/falcon-7b", "Qwen/Qwen3-30B-A3B", "mistralai/Mixtral-8x7B-v0.1"],
)
def test_fp8_is_what_transformers_stores(model):
    built = build_model(bundled_config(model), "bfloat16")
    with bfloat16_by_default():
        replace_with_fp8_linear(built, kept(built), FineGrainedFP8Config())
    real = sum(tensor.nbytes for tensor in [*built.parameters(), *built.buffers()])
    assert sum(sum(sizes) for sizes in predicted(Depth(model), "fp8").values()) == real


@pytest.mark.parametrize(
    "said",
    [
        {"weight_block_size": [64, 32]}, {"weight_block_size": None}, {"activation_scheme": "static"},
        {"scale_fmt": "ue8m0"}, {"expert_dtype": "fp4"},
        {"weight_block_size": None, "activation_scheme": "static", "scale_fmt": "ue8m0", "expert_dtype": "fp4"},
    ],
    ids=str,
)  # fmt: skip
def test_every_form_of_fp8_is_what_transformers_stores(said):
    """Sizes that no block divides, experts narrower than a block, and a head of its own."""
    config = {
        "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "vocab_size": 96, "hidden_size": 96,
        "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
        "num_local_experts": 3, "dtype": "bfloat16",
    }  # fmt: skip
    built = build_model(config, "bfloat16")
    with bfloat16_by_default():
        replace_with_fp8_linear(built, kept(built), FineGrainedFP8Config(**said))
    real = sum(tensor.nbytes for tensor in [*built.parameters(), *built.buffers()])
    skeleton = build_skeleton(config, model_id="small")
    scheme = published_scheme({**config, "quantization_config": {"quant_method": "fp8", **said}}, skeleton)
    assert sum(row.tensor_bytes for row in stored_tensors(skeleton, scheme)) == real


def test_the_class_of_every_replaced_module_is_found():
    """The modules transformers replaces are those the skeleton says, for a model where only some are plain Linear."""
    import bitsandbytes as bnb

    for model_id in ("tiiuae/falcon-7b", "Qwen/Qwen3-Next-80B-A3B-Instruct", "openai/gpt-oss-20b"):
        model = build_model(bundled_config(model_id), "bfloat16")
        replace_with_bnb_linear(model, kept(model), CONFIGS["nf4"])
        real = {f"{path}.weight" for path, module in model.named_modules() if isinstance(module, bnb.nn.Linear4bit)}
        rows = stored_tensors(load_bundled(model_id), scheme_named("nf4"))
        assert {row.tensor.name for row in rows if row.quantized} == real

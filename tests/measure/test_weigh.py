"""What is weighed equals what is predicted, to the byte, at real shapes and in every scheme."""

import functools
import gc
import json

import pytest
import torch

from inspector.architecture import build_skeleton
from inspector.lenses.weights import grouped, stored_tensors, weights
from inspector.measure.build import build
from inspector.measure.spec import cut_config
from inspector.measure.weigh import weigh
from inspector.measure.weightsource import RandomWeights
from inspector.precision import SCHEME_NAMES, scheme_named
from inspector.sources.bundled import bundled_config

# The decoder layers are the real ones; the vocabulary is not, because two matrices of 262 million weights that no
# 8- or 4-bit scheme touches would only take time. Four bits take seconds on a CPU, and Qwen's layers are a quarter of
# Llama's.
LLAMA, QWEN = ({**cut_config(bundled_config(model), 2), "vocab_size": 1024}
               for model in ("meta-llama/Llama-3.2-1B", "Qwen/Qwen2.5-0.5B"))  # fmt: skip
REAL_LAYERS = {scheme: QWEN if scheme in {"nf4", "fp4", "fp4-dq"} else LLAMA for scheme in SCHEME_NAMES}


def small(model_id, **changes):
    return {**cut_config(bundled_config(model_id), 1), **changes}


OTHERS = {
    "tied": small("Qwen/Qwen2.5-0.5B", vocab_size=1000),
    "Conv1D": small("openai-community/gpt2", vocab_size=1000),
    "fused experts": small("Qwen/Qwen3-30B-A3B", vocab_size=1000, hidden_size=256, num_experts=4),
    "odd sizes": small("facebook/opt-125m", vocab_size=1000, ffn_dim=100, hidden_size=60, word_embed_proj_dim=60),
}


@functools.cache
def random_weights(dtype):
    """One pool of random numbers for each dtype: it is drawn anew for another, and takes longer than a small model."""
    return RandomWeights()


@functools.cache
def skeleton_of(config):
    return build_skeleton(json.loads(config), model_id="test")


def both(config, scheme):
    skeleton, rule = skeleton_of(json.dumps(config)), scheme_named(scheme)
    parts = {module.path: module.part for module in skeleton.modules}
    return skeleton, rule, weigh(build(config, scheme, random_weights(rule.rest)), parts)


def assert_equal(skeleton, scheme, found):
    predicted = weights(skeleton, scheme)
    assert found.tensor_bytes == predicted.tensor_bytes
    assert found.footprint_bytes == predicted.footprint_bytes
    assert found.kinds == {group.name: group.tensor_bytes for group in grouped(skeleton, scheme, "kind")}
    pieces = [piece for row in stored_tensors(skeleton, scheme) for piece in row.pieces if not piece.in_footprint]
    assert found.constant_bytes == sum(piece.nbytes for piece in pieces)
    assert set(found.constants) == {piece.role for piece in pieces}
    shared = sum(piece.nbytes for piece in scheme.shared())
    assert found.block_bytes + shared == predicted.allocated_bytes


@pytest.mark.slow
def test_the_real_vocabulary_is_predicted_to_the_byte():
    """A real layer between an embedding and a head of all 128,256 words, which no 4-bit scheme touches: 1.1 GB."""
    config = cut_config(bundled_config("meta-llama/Llama-3.2-1B"), 1)
    assert_equal(*both({**config, "tie_word_embeddings": False}, "nf4-dq"))
    gc.collect()  # a model refers to itself, and these gigabytes are wanted back now


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEME_NAMES)
def test_two_real_layers_are_predicted_to_the_byte(scheme):
    assert_equal(*both(REAL_LAYERS[scheme], scheme))


@pytest.mark.parametrize("scheme", ["int8", "nf4-dq", "nf4:256", "fp16"])
@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures_are_predicted_to_the_byte(name, scheme):
    assert_equal(*both(OTHERS[name], scheme))


def test_a_storage_is_counted_once():
    model = build(OTHERS["tied"], "bf16", random_weights("bfloat16"))
    found = weigh(model)
    assert found.tensor_bytes == sum(each.nbytes for each in (*model.parameters(), *model.buffers()))
    assert found.kinds.keys() == {"other", "buffers"}


def test_more_bytes_than_31_bits_hold_are_weighed():
    model = build(OTHERS["tied"], "bf16", random_weights("bfloat16"))
    before = weigh(model).tensor_bytes
    # Never written, so that it takes no memory.
    model.large = torch.nn.Parameter(torch.empty(2**16 + 1, 2**15, dtype=torch.bfloat16))
    assert weigh(model).tensor_bytes == before + 2**32 + 2**16


def test_int8_weighs_the_same_after_a_forward():
    """The first forward moves the scales from the weight to the module's state."""
    model = build(OTHERS["tied"], "int8", random_weights("bfloat16"))
    before = weigh(model)
    with torch.no_grad():
        model(torch.arange(4)[None])
    assert weigh(model) == before

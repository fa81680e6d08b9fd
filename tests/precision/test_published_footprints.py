"""Footprints that people printed with `get_memory_footprint()`, in MB (10^6 bytes)."""

import json

import pytest

import inspector
from inspector.lenses.weights import weights
from inspector.precision import scheme_named
from inspector.sources.bundled import bundled_config, find, load_bundled

# Source of each: data/truth/footprints.json. The bloom record is the ratio of fp16 to int8.
PRINTED = [
    ("meta-llama/Llama-3.1-8B", "nf4-dq", 5591.5, 0.05),
    ("Qwen/Qwen2.5-3B", "nf4-dq", 2010.1, 0.2),
    ("meta-llama/Llama-3.2-1B", "nf4-dq", 1012.0, 0.2),
]


@pytest.mark.parametrize(("model", "scheme", "megabytes", "tolerance"), PRINTED)
def test_footprints_are_those_people_printed(model, scheme, megabytes, tolerance):
    report = weights(load_bundled(find(model)), scheme_named(scheme))
    assert report.footprint_bytes / 1e6 == pytest.approx(megabytes, abs=tolerance)


def test_blooms_ratio_of_fp16_to_int8():
    skeleton = load_bundled("bigscience/bloom-1b7")
    half, eighth = (weights(skeleton, scheme_named(name)).footprint_bytes for name in ("fp16", "int8"))
    assert half / eighth == pytest.approx(1.540025, abs=1e-6)


# Allocated after loading and one round of training with LoRA of rank 16 on q, k, v and o, in bytes: the model, the
# adapter and Adam's two moments in float32, and the two cuBLAS workspaces of 8,519,680 bytes that PyTorch keeps.
# Group sizes are not recorded with them: each is the one of -1 and 128 that comes out, so these check everything but
# that choice. The other would make 37.44 and 24.86 GB of the two larger. Of a sister repository, Llama-2-70B-chat-GPTQ,
# a user says that its branch `main` has -1 (AutoGPTQ issue 302).
AFTER_TRAINING = [
    ("mistralai/Mistral-7B-v0.1", {}, "gptq:4:128", 32 * 16 * (2 * 8192 + 2 * 5120), 4.337e9),
    ("meta-llama/Llama-3.1-70B", {"vocab_size": 32000}, "gptq:4:-1", 80 * 16 * (2 * 16384 + 2 * 9216), 36122332160),
    ("mistralai/Mixtral-8x7B-v0.1", {}, "gptq:4:-1", 32 * 16 * (2 * 8192 + 2 * 5120), 23.975e9),
]


@pytest.mark.parametrize(("model", "changes", "scheme", "adapter", "published"), AFTER_TRAINING)
def test_gptq_is_what_training_with_it_left_allocated(model, changes, scheme, adapter, published, tmp_path):
    """Within 0.02 %. The dimensions of Llama 2 70B are those of 3.1 with another vocabulary."""
    (tmp_path / "config.json").write_text(json.dumps({**bundled_config(model), **changes}))
    parts = inspector.load(str(tmp_path)).memory(scheme=scheme).focus.tensor_bytes, 12 * adapter, 2 * 8_519_680
    assert sum(parts) == pytest.approx(published, rel=2e-4)


def test_more_value_heads_are_not_why_405b_was_published_larger(tmp_path):
    """1625.1 GB in float32 rules out the first release's 16 value heads (1640.3); 249.1 GB are 4.91 bits a weight."""
    sizes = {}
    for heads in (8, 16):
        (tmp_path / "config.json").write_text(
            json.dumps({**bundled_config("meta-llama/Llama-3.1-405B"), "num_key_value_heads": heads})
        )
        model = inspector.load(str(tmp_path))
        sizes[heads] = [model.memory(scheme=name).focus.tensor_bytes / 1e9 for name in ("fp32", "gguf:q4_k_m")]
    assert sizes[8][0] == pytest.approx(1625.1, rel=0.002)
    assert sizes[16][0] > 1640
    assert sizes[8][1] < sizes[16][1] < 246

"""The tensors of GGUF files of mixtures of experts, by llama.cpp's names, find their places in the skeleton."""

import pytest

from inspector.checkpoint import Checkpoint, FileTensor
from inspector.precision.gguf import gguf_names
from inspector.precision.stored import stored
from inspector.sources.bundled import load_bundled

MODELS = ["mistralai/Mixtral-8x7B-v0.1", "Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-V2-Lite", "openai/gpt-oss-20b"]


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_every_tensor_of_a_file_is_counted_once(model, split):
    """Gate and up of all experts go to one fused tensor; MLA's second projection is one tensor or two."""
    skeleton, tensors = load_bundled(model), {}
    names = gguf_names(skeleton)
    for tensor in skeleton.parameters:
        ours = names[tensor.name]
        parts = [ours]
        if "gate_up" in tensor.name:
            parts.append(ours.replace("ffn_gate_exps", "ffn_up_exps"))
        elif split and "attn_kv_b" in ours:
            parts = [ours.replace("kv_b", "k_b"), ours.replace("kv_b", "v_b")]
        for part in parts:
            assert part not in tensors
            tensors[part] = FileTensor(part, (tensor.numel // len(parts),), "uint8", tensor.numel // len(parts), "m")
    size = sum(tensor.nbytes for tensor in tensors.values())
    file = Checkpoint("m", "gguf", tuple(tensors.values()), ("m.gguf",), size)
    assert sum(piece.nbytes for pieces in stored(file, skeleton).found.values() for piece in pieces) == size

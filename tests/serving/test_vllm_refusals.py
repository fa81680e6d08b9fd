"""What vLLM and SGLang refuse before they look at memory, in their own words."""

import pytest

import inspector
from inspector.errors import InspectorError

REFUSED = (
    ("llama-3.1-8b", "--max-num-seqs 0", "max_num_seqs 0: Input should be greater than or equal to 1"),
    ("llama-3.1-8b", "--block-size 40", "block_size 40 not supported"),
    ("llama-3.1-8b", "--cpu-offload-gb -2", "cpu_offload_gb -2: Input should be"),
    ("qwen3-8b", "--enable-lora --max-lora-rank 12", r"max_lora_rank \(12\) must be one of \(1, 8, 16"),
    ("gpt2", "--enable-lora", "LoRA is not supported for this model"),
    ("gemma-3-4b-it", "--enable-expert-parallel", "Number of experts in the model must be greater than 0"),
    ("deepseek-r1", "-tp 8 -dcp 3 --gpu H200", "tp_size=8 must be divisible by dcp_size=3"),
    ("qwen3-32b", "-tp 8 -dcp 2", "greater than the model's total number of KV heads"),
    ("gemma-2b", "-tp 8 -dcp 16", "must be divisible by dcp_size=16"),
    ("qwen2.5-3b", "-tp 8 -dcp 8", r"exceeds the maximum supported value \(4\)"),
    (
        "mistral-7b-v0.3", "--no-enable-chunked-prefill --max-num-batched-tokens 1000 --max-model-len 2000",
        r"max_num_batched_tokens \(1000\) is smaller than max_model_len \(2000\)",
    ),
    ("llama-3.2-1b", "--max-num-batched-tokens 32 --max-num-seqs 64", "greater than or equal to max_num_seqs"),
    ("qwen3-8b", "--kv-cache-dtype fp8_e5m2 --gpu T4", "FP8 KV cache is not supported by the Triton attention backend"),
    ("qwen3-8b", "--engine sglang --context-length 99999", "greater than the derived context_length"),
)  # fmt: skip


@pytest.mark.parametrize(("model", "words", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_refusals(model, words, said):
    split = words.split()
    options = {}
    for name in ("--gpu", "--engine"):
        if name in split:
            place = split.index(name)
            options[name[2:]] = split[place + 1]
            del split[place : place + 2]
    with pytest.raises(InspectorError, match=said):
        inspector.serve(model, **options, words=split)


def test_a_value_is_asked_for_by_an_example_of_its_kind():
    for words, hint in (
        (["--tensor-parallel-size", "2.5"], "--tensor-parallel-size 2"),
        (["--max-model-len", "8x"], "--max-model-len 8192"),
        (["--gpu-memory-utilization", "high"], "--gpu-memory-utilization 0.9"), (["--cpu-offload-gb", "x"], "4"),
    ):  # fmt: skip
        with pytest.raises(InspectorError) as caught:
            inspector.serve("llama-3.2-1b", words=words)
        assert hint in caught.value.hint


def test_layers_of_several_sorts_are_grouped_over_all_stages():
    alone = inspector.serve("gemma-3-12b-it", gpu="H100", max_model_len=8192)
    three = inspector.serve("gemma-3-12b-it", gpu="H100", max_model_len=8192, pipeline_parallel_size=3)
    assert three.cache.groups == alone.cache.groups
    # Eight layers of each group, of which a stage has three at the most.
    assert three.cache.block_bytes * 8 == alone.cache.block_bytes * 3


def test_adapters_of_a_row_layer_have_their_inputs_shared_out():
    def slots(**options):
        report = inspector.serve("llama-3.2-1b", gpu="H100", enable_lora=True, max_lora_rank=8, **options)
        return next(part.nbytes for part in report.weights if part.name == "LoRA slots")

    # 16 layers: q, k, v, o, gate, up and down, then the embedding and the head; ranks of 8 in 16 bits.
    layer = (2048 + 2048) * 2 + (2048 + 512) * 2 + (2048 + 8192) * 2 + (8192 + 2048)
    words = 2 * (128_256 + 2048)
    assert slots() == 8 * 2 * (16 * layer + words)
    assert slots(max_loras=3) == 3 * slots()
    half = (2048 + 1024) + (1024 + 2048) + (2048 + 256) * 2 + (2048 + 4096) * 2 + (4096 + 2048)
    assert slots(tensor_parallel_size=2) == 8 * 2 * (16 * half + words)

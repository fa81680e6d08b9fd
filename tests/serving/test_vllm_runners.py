"""Which runner and whose sampler vLLM has, by release, card and installation; and how wide the stated range is."""

import pytest

import inspector
from inspector.gpus import find_gpu
from inspector.serving.answering import serve_line
from inspector.serving.lora_slots import lora_bytes
from inspector.serving.sharding import Ranks
from inspector.serving.vllm.graphs import capture_sizes
from inspector.serving.vllm.runner import engine_runner, is_second
from inspector.sources.resolve import locate


@pytest.mark.parametrize(
    ("said", "version", "card", "runner"),
    [
        ("0.8.5", (0, 8, 5), "T4", "V0"), ("0.8.5", (0, 8, 5), "L4", "V1"), ("0.8.5 V1", (0, 8, 5), "T4", "V1"),
        ("0.10.2", (0, 10, 2), "T4", "V1"), ("0.7.3", (0, 7, 3), "H100", "V0"), ("0.10.0 V0", (0, 10), "H100", "V0"),
    ],
)  # fmt: skip
def test_cards_below_8_0_had_v0_for_longer(said, version, card, runner):
    assert engine_runner(said, version, find_gpu(card)) == runner


@pytest.mark.parametrize(
    ("version", "name", "kinds", "second"),
    [
        ((0, 22), "Qwen3ForCausalLM", {}, True),
        ((0, 22), "LlamaForCausalLM", {}, False),
        ((0, 23), "LlamaForCausalLM", {}, True),
        ((0, 23), "LlamaForCausalLM", {"packed"}, False),
        ((0, 24), "LlamaForCausalLM", {"packed"}, True),
        ((0, 24), "DeepseekV2ForCausalLM", {"mixture"}, True),
        ((0, 24), "Gemma2ForCausalLM", {}, False),
        ((0, 25), "Gemma2ForCausalLM", {}, True),
        ((0, 28), "Qwen3MoeForCausalLM", {"mixture"}, False),
        ((0, 28), "Qwen3NextForCausalLM", {"hybrid"}, False),
        ((0, 29), "Qwen3MoeForCausalLM", {"mixture"}, True),
    ],
)
def test_the_second_model_runner_came_family_by_family(version, name, kinds, second):
    said = {kind: kind in kinds for kind in ("mixture", "hybrid", "packed")}
    assert is_second(version, (name,), **said) is second


def _peak(report):
    return next(term.span for term in report.terms if term.name == "activation peak")


def test_the_official_image_does_not_sort_to_sample():
    line = "vllm serve Qwen/Qwen3-8B --max-model-len 8192"
    wheel = serve_line(line, gpu="L4", engine_version="0.10.1")
    image = serve_line(
        "docker run --gpus all vllm/vllm-openai:v0.10.1 --model Qwen/Qwen3-8B --max-model-len 8192", gpu="L4"
    )
    # 24 bytes of 256 rows of 151,936 entries. A log with and without it had 4.00 and 2.49 GiB left, of a model that it
    # does not name (flashinfer-ai/flashinfer issues/1180).
    assert _peak(wheel).value - _peak(image).value == pytest.approx(24 * 256 * 151_936, rel=0.02)
    assert any("--official-image" in said for said in wheel.assumed)
    assert not any("--official-image" in said for said in image.assumed)
    sorting = serve_line(f"VLLM_USE_FLASHINFER_SAMPLER=0 {line}", gpu="L4", engine_version="0.24")
    assert _peak(sorting).value == _peak(inspector.serve("qwen3-8b", gpu="L4", engine_version="0.24")).value


def test_the_second_runner_counts_tokens_and_set_nothing_apart_for_graphs_at_first():
    names = {
        version: {term.name for term in inspector.serve("qwen3-8b", gpu="L4", engine_version=version).terms}
        for version in ("0.20", "0.25", "0.29")
    }
    counts, graphs = "the sampler's state", "CUDA graphs, estimated"
    assert [counts in names[version] for version in names] == [False, True, True]
    assert [graphs in names[version] for version in names] == [False, False, True]


def test_sizes_that_are_captured():
    assert len(capture_sizes(256, 2048)) == 51  # as a log says: PIECEWISE=51 (largest=512)
    assert capture_sizes(8, 2048) == (1, 2, 4, 8, 16)  # PIECEWISE=5 (largest=16)


WIDEST = 0.06


@pytest.mark.parametrize("version", ["0.7.3", "0.8.5", "0.10.1", "0.16", "0.21", "0.25", "0.29", "0.33"])
def test_the_range_is_narrow_on_one_card(version):
    asked = [
        ("qwen2.5-1.5b", "T4"), ("llama-3.2-3b", "RTX 3060"), ("qwen3-4b", "T4"), ("llama-3.1-8b", "L4"),
        ("gpt-oss-20b", "RTX 4090"), ("gpt-oss-120b", "H100"),
    ]  # fmt: skip
    for name, card in asked:
        report = inspector.serve(name, gpu=card, engine_version=version, max_model_len=4096)
        width = (report.kv_bytes.high - report.kv_bytes.low) / report.card_bytes
        assert width <= WIDEST, (name, card)


EXPERTS = {
    "ranks of a tensor": ("qwen3-30b-a3b", Ranks(2), 119_537_664),
    "whole experts": ("qwen3-30b-a3b", Ranks(4, 1, 4), 34_603_008),
    "gate and up together": ("gpt-oss-20b", Ranks(), 58_982_400),
}
"""Bytes of one layer's slots for two adapters of rank 32, as vLLM 0.33's own FusedMoEWithLoRA and FusedMoE3DWithLoRA
make them on shapes."""


@pytest.mark.parametrize("case", EXPERTS)
def test_slots_of_experts_are_those_of_vllms_own_classes(case):
    name, ranks, nbytes = EXPERTS[case]
    skeleton = locate(name).skeleton
    with_them, without = (lora_bytes(skeleton, ranks, 2, 32, experts=one).nbytes for one in (True, False))
    facts = skeleton.facts
    routers = 0 if facts.model_type == "gpt_oss" else 2 * 2 * 32 * (facts.hidden_size + facts.num_experts)
    assert (with_them - without) // facts.num_layers == nbytes + routers


def test_experts_had_no_slots_at_first():
    old, new = (
        inspector.serve("qwen3-30b-a3b", gpu="H100", engine_version=version, enable_lora=True, max_lora_rank=32)
        for version in ("0.11.0", "0.11.2")
    )
    assert new.weights_bytes.value - old.weights_bytes.value > 3 * 2**30

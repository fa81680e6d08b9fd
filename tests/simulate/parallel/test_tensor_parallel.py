"""transformers' own tensor parallelism: what a rank reads, keeps and sends, and what the library refuses."""

from __future__ import annotations

import json

import pytest
import torch

from inspector.errors import InspectorError
from inspector.fit.longest_prompt import generate_with_longest_prompt
from inspector.fit.ways import finetune_anywhere
from inspector.memory_kinds import MemoryKind
from inspector.render.sharing_words import units_line
from inspector.simulate.device.kernels import cpu_kernels
from inspector.simulate.parallel.ranks import alike
from inspector.simulate.program import routing
from inspector.simulate.setup.parallel import read
from inspector.simulate.tracing.tracer import Tracer
from tests.simulate.parallel.test_ranks import TINY, WEIGHTS, alive_at_end, ranked

CUT = WEIGHTS - 2 * 64 * 5
"""All but the norms."""


@pytest.fixture(scope="module")
def pair():
    return ranked("tp:2", 2)


def test_a_rank_reads_its_part_and_keeps_it(pair):
    traced, line = pair
    assert alive_at_end(traced, MemoryKind.BASE_WEIGHTS) == CUT // 2 + 640
    assert traced.replicated_bytes == 640
    assert sum(unit.model_bytes for unit in traced.units) == CUT
    assert {(unit.name, unit.cls) for unit in traced.units} >= {("model.layers.0", "LlamaDecoderLayer")}
    # The warm-up of the allocator and then the parts themselves: never a whole weight.
    assert line.stages[0].peak_allocated <= CUT // 2 + 640 + 512 * 21
    # Layers send their sums in both directions.
    sent = {each.kind: each for each in traced.collectives}
    assert sent["all-reduce"].times >= 2 * 2 * 2
    assert sent["all-gather"].nbytes == 32 * 1000 * 2


def test_ranks_that_have_the_same_are_traced_once(pair):
    assert [group.ranks for group in alike(read("tp:2", 2), pair[0].cuts)] == [(0, 1)]


def test_layers_that_are_cut_are_sharded_too():
    report = finetune_anywhere(TINY | {"vocab_size": 999}, gpus=4, parallel="tp:2+fsdp2", method="full", gpu="H100",
                               seq_len=32)  # fmt: skip
    # 999 rows are 500 and 499, and those 250 and 250, 250 and 249.
    assert [rank.members for rank in report.ranks] == [(0, 2), (1,), (3,)]
    first = report.ranks[0]
    assert first.whole_bytes == WEIGHTS - 2 * 2 * 64
    assert first.sharded_bytes <= first.whole_bytes / 4 + 4 * 640
    assert units_line(report.ranks[0].units) == "1 x Embedding, 2 x LlamaDecoderLayer, 1 x LlamaRMSNorm"
    assert {sent.collective.group_size for sent in report.sent} == {2}
    assert report.layers_are_units


def test_adapters_are_cut_with_the_layer_they_adapt():
    traced, _ = ranked("tp:2", 2, method="lora", r=8, target_modules=["q_proj", "v_proj"])
    # Of each pair the second matrix has the rows that are cut; in float32.
    assert alive_at_end(traced, MemoryKind.ADAPTERS) == 4 * 2 * 8 * (64 + 64 // 2 + 64 + 32 // 2)


MIXTURE = {
    "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 64, "intermediate_size": 192,
    "moe_intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16, "vocab_size": 1000, "num_experts": 8, "num_experts_per_tok": 2, "dtype": "bfloat16",
}  # fmt: skip
EXPERTS = 2 * 8 * 3 * 64 * 32


def test_experts_stay_on_their_ranks_and_tokens_travel():
    said = {"method": "full", "gpu": "H100", "seq_len": 32, "gradient_checkpointing": False}
    even = finetune_anywhere(MIXTURE, gpus=4, parallel="ep:4+fsdp2", **said)
    worst = finetune_anywhere(MIXTURE, gpus=4, parallel="ep:4+fsdp2", routing="worst", **said)
    rank = even.ranks[0]
    units = {unit.name: unit for unit in rank.units}
    experts = units["model.layers.0.mlp.experts"]
    assert (experts.model_bytes, experts.whole_bytes, experts.rank_bytes) == (EXPERTS, EXPERTS // 4, EXPERTS // 4)
    sent = {each.collective.kind: each.collective for each in even.sent}
    # 32 tokens of two experts each go there and come back, and so do their gradients.
    assert sent["all-to-all"].nbytes >= 4 * 32 * 2 * 64 * 2
    assert worst.ranks[0].peaks.allocated > rank.peaks.allocated


def folder(path, config):
    (path / "config.json").write_text(json.dumps(config))
    return str(path)


def test_a_generation_is_shared_layer_by_layer(tmp_path):
    said = {"gpu": "T4", "prompt_len": 53, "max_new_tokens": 12, "solve": False}
    config = folder(tmp_path, TINY | {"vocab_size": 999})
    alone = generate_with_longest_prompt(config, **said)
    shared = generate_with_longest_prompt(config, parallel="tp:2", **said)
    assert [card.card for card in shared.cards] == [0, 1]
    first, second = shared.cards
    assert first.cache_bytes == second.cache_bytes == alone.cache_bytes // 2
    # Embedding and head of 999 rows: 500 and 499. In blocks, so that a rank has a little more than its half.
    assert alone.weights_bytes / 2 < second.weights_bytes <= first.weights_bytes < alone.weights_bytes / 2 + 22 * 512
    assert 0 < first.peaks.nccl < first.peaks.nccl_most
    assert shared.verdict == "fits"


def test_experts_generate_on_their_ranks(tmp_path):
    said = {"gpu": "H100", "prompt_len": 40, "max_new_tokens": 4, "solve": False}
    mixture = folder(tmp_path, MIXTURE)
    alone = generate_with_longest_prompt(mixture, **said)
    shared = generate_with_longest_prompt(mixture, parallel="ep:2", **said)
    assert [card.card for card in shared.cards] == [0, 1]
    assert shared.cards[0].weights_bytes < alone.weights_bytes / 2 + 40 * 512


@pytest.mark.parametrize(
    ("config", "words", "why"),
    [
        (TINY | {"num_key_value_heads": 1}, {}, "do not divide num_key_value_heads: 1"),
        ({"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100}, {}, "has no `tp_plan`"),
        (TINY, {"parallel": "ep:2"}, "has no `ep_plan`"),
        (MIXTURE | {"num_experts": 7}, {"parallel": "ep:2"}, "Cannot evenly shard 7 experts"),
        (TINY, {"method": "qlora"}, "quantized weights is not simulated"),
        (TINY, {"method": "lora", "target_modules": ["o_proj"]}, "is invalid for input"),
        (TINY, {"method": "lora", "parallel": "tp:2+fsdp2", "gpus": 4}, "refuses PEFT's adapters: shape"),
    ],
)
def test_what_the_libraries_refuse_is_a_line(config, words, why):
    said = {"method": "full", "parallel": "tp:2", "gpus": 2, **words}
    with pytest.raises(InspectorError, match=why) as error:
        finetune_anywhere(config, gpu="H100", seq_len=32, **said)
    assert "\n" not in str(error.value)


def test_tokens_that_a_rank_gets_are_for_its_own_experts():
    tracer = Tracer(cpu_kernels())
    routing.install(tracer, {"num_experts": 4}, "balanced", shared_by=2)
    table = torch.empty((1, 64), dtype=torch.bool, device="meta")
    assert tracer.kernels.replaced[torch.ops.aten.nonzero.default](table).shape == (32, 2)

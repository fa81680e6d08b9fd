"""The parts of a weight, made when asked for, against PyTorch's own list; and more ranks than a weight has rows."""

import itertools
import time
from types import SimpleNamespace

import pytest
import torch
from torch.distributed.fsdp import _runtime_utils
from torch.distributed.fsdp._flat_param import FlatParamHandle
from torch.distributed.fsdp._fully_shard import _fsdp_param

from inspector.simulate.finetuning import question
from inspector.simulate.parallel.parts import Parts, to_reduce_scatter, unpadded_shard
from inspector.simulate.setup.parallel import read
from inspector.simulate.several_cards import finetune_on_cards

CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 160,
    "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 997,
    "max_position_embeddings": 128, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip


@pytest.mark.parametrize("shape", [(7, 4), (8, 6), (1, 5), (0, 3), (12,)])
def test_each_part_is_pytorch_s(shape):
    weight = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    for count, dim in itertools.product((1, 2, 3, 5, 8, 40), range(len(shape))):
        ours = Parts(weight, count, dim)
        for at, theirs in enumerate(_fsdp_param._chunk_with_empty(weight, count, dim)):
            assert (ours[at].shape, ours[at].stride()) == (theirs.shape, theirs.stride()), (count, dim, at)
            assert torch.equal(ours[at], theirs)
            assert ours[at].storage_offset() == theirs.storage_offset()
        with pytest.raises(IndexError):
            ours[count]


@pytest.mark.parametrize("length", [1, 7, 8, 40])
@pytest.mark.parametrize("world", [1, 3, 8, 50])
def test_each_part_of_a_flat_weight_is_pytorch_s(length, world):
    weight = torch.arange(float(length))
    for tensor in (weight, weight.expand(2, -1)[1], weight.as_strided((-(-length // 2),), (2,))[:1].reshape(1, 1)):
        for rank in range(world):
            ours, theirs = (of(tensor, rank, world) for of in (unpadded_shard, FlatParamHandle._get_unpadded_shard))
            assert torch.equal(ours[0], theirs[0])
            assert ours[0].shape == theirs[0].shape
            assert (ours[1], ours[0].storage_offset()) == (theirs[1], theirs[0].storage_offset())
    state = SimpleNamespace(world_size=world)
    for ours, theirs in zip(to_reduce_scatter(state, weight), _runtime_utils._get_reduce_scatter_tensors(state, weight),
                            strict=True):  # fmt: skip
        assert ours.shape == theirs.shape
        assert (ours is weight) == (theirs is weight)


@pytest.mark.parametrize("way", ["fsdp1", "hsdp:2x65536", "tp:2+fsdp2"])
def test_a_hundred_thousand_ranks_cost_what_eight_do(way):
    asked = question(CONFIG, method="full", gpu="H100", seq_len=32, batch_size=1)
    began = time.process_time()
    (first,) = finetune_on_cards(asked, read(way, 1 << 17), rank="first").ranks
    assert time.process_time() - began < 10
    assert 0 < first.sharded_bytes <= first.whole_bytes
    # All-gathers of FSDP, or of HSDP within a replica, give what the weights are at the least.
    assert first.gathered_bytes >= 997 * 64 * 2 // 2


def test_a_million_ranks_of_which_most_hold_nothing():
    asked = question(CONFIG, method="full", gpu="H100", seq_len=32, batch_size=1)
    (last,) = finetune_on_cards(asked, read("fsdp2", 1_000_000), rank="last").ranks
    # The longest weight has 997 rows: whoever is behind them has no row of any, and keeps one of padding of each.
    assert last.alike == 1_000_000 - 997
    assert last.sharded_bytes == (8 * 64 + 160 + 3) * 2
    # And yet a row for each rank is gathered, as FSDP2 pads what it cuts.
    assert last.peaks.allocated > 1_000_000 * 64 * 2

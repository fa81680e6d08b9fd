"""Several cards are simulated beside a program that may have ranks of its own: nothing of it is touched."""

from __future__ import annotations

import sys

import pytest

from inspector.errors import InspectorError
from inspector.simulate.finetuning import question
from inspector.simulate.parallel.ranks import trace_rank
from inspector.simulate.setup.parallel import read


def run(config, words="fsdp2", **settings):
    asked = question(config, method="full", gpu="L4", seq_len=8, **settings)
    return trace_rank(asked.config, asked.resolved.setup, read(words, 2), 1, (8, 9), 58)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("words", ["ddp", "fsdp1", "fsdp2"])
def test_no_group_and_no_hook_is_left(words, tiny):
    import torch.distributed as dist

    hook = sys.excepthook
    run(tiny, words)
    assert not dist.is_initialized()
    assert sys.excepthook is hook


@pytest.mark.usefixtures("untouched")
def test_nor_after_an_error(tiny):
    import torch.distributed as dist

    with pytest.raises(InspectorError):
        run(
            {
                **tiny,
                "max_position_embeddings": 4,
                "model_type": "gpt2",
                "architectures": ["GPT2LMHeadModel"],
                "n_positions": 4,
            }
        )
    assert not dist.is_initialized()


def test_in_a_process_with_a_group_of_its_own_it_is_refused_in_a_line(tiny):
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        group = dist.group.WORLD
        with pytest.raises(InspectorError, match="a rank of a process group itself"):
            run(tiny)
        assert dist.group.WORLD is group
    finally:
        dist.destroy_process_group()

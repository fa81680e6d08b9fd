"""What is typed after ``--parallel``: read, said again, and refused in one line."""

from __future__ import annotations

import pytest

from inspector.errors import InspectorError
from inspector.simulate.setup.parallel import ParallelSetup, read


@pytest.mark.parametrize(
    ("words", "gpus", "said"),
    [
        ("ddp", 2, "ddp"), ("FSDP2", 8, "fsdp2"), ("fsdp", 8, "fsdp1"), ("hsdp:2x4", 8, "hsdp:2x4"),
        ("zero-3", 16, "zero3"), ("tp:4", 4, "tp:4"), ("tp", 4, "tp:4"), ("tp:2+fsdp2", 8, "tp:2+fsdp2"),
        ("ep:2", 2, "ep:2"), ("ep", 8, "ep:8"), ("ep:8+fsdp2", 16, "ep:8+fsdp2"),
        ("pp:2", 2, "device_map"), ("device_map", 3, "device_map"),
    ],
)  # fmt: skip
def test_words_are_read_and_said_again(words, gpus, said):
    setup = read(words, gpus)
    assert (setup.words, setup.world_size) == (said, gpus)
    assert read(setup.words, gpus) == setup


@pytest.mark.parametrize(
    ("words", "gpus", "why"),
    [
        ("fsdp3", 2, "not known"), ("hsdp:2x4", 6, "8 cards, not 6"), ("tp:3+fsdp2", 8, "do not divide by tp:3"),
        ("tp:2", 8, "takes 2 cards"), ("hsdp:0x8", 8, "empty"), ("tp:0", 8, "empty"), ("ddp", 0, "0 cards"),
        ("pp:4", 2, "takes 4 cards"), ("hsdp:" + "9" * 99 + "x1", 8, "too many"), ("", 2, "not known"),
        ("ep:3+fsdp2", 8, "do not divide by ep:3"), ("ep:2", 8, "takes 2 cards"),
        ("cp:3", 8, "do not divide by cp:3"), ("cp:0", 8, "empty"),
        ("hsdp:-1x8", 8, "not known"), ("fsdp2+tp:2", 8, "not known"), ("fsdp2", 10**9, "cannot be simulated"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(words, gpus, why):
    with pytest.raises(InspectorError, match=why) as error:
        read(words, gpus)
    assert "\n" not in str(error.value)


def test_machines_share_the_cards_evenly():
    assert read("fsdp2", 16, nodes=2).nodes == 2
    with pytest.raises(InspectorError, match="do not divide over 3 machines"):
        read("fsdp2", 16, nodes=3)


def test_what_cannot_be_offloaded():
    with pytest.raises(InspectorError, match="ddp offloads nothing"):
        ParallelSetup("ddp", 2, offload="params")
    with pytest.raises(InspectorError, match="offload 'disk' is not known"):
        ParallelSetup("fsdp2", 2, offload="disk")

"""Accelerators that run no CUDA: each figure with its source, found by any spelling, and taken for no NVIDIA card."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from inspector.errors import InspectorError
from inspector.gpus import accelerators, catalogue, find_accelerator, find_card, find_gpu
from inspector.gpus.other_makers import MPS_REFUSES_AT

MiB, GiB = 2**20, 2**30


def rows():
    return json.loads((files("inspector") / "data" / "accelerators.json").read_text())["accelerators"]


def test_there_are_many_each_with_its_source_and_a_name_of_its_own():
    found = accelerators()
    assert len(found) >= 100
    assert {each.maker for each in found} == {"AMD", "Apple", "Google", "Intel"}
    assert all(each.sources and all(each.sources) for each in found)
    assert len({each.name for each in (*found, *catalogue())}) == len(found) + len(catalogue())


def test_a_printed_figure_stands_in_its_source():
    """In MiB, KB, GiB or 10^6 bytes, as it was printed; the label stands in it where nothing was."""
    for row in rows():
        text = " ".join(row["sources"]).replace(",", ".")
        numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]
        if row["total_mib"] is None:
            assert row["label_gb"] in numbers or row["maker"] == "Apple", row["name"]
            continue
        ways = (1, 1024, 1 / 1024, 1e6 / MiB)
        assert any(int(number * way) == row["total_mib"] for number in numbers for way in ways), row["name"]


def test_what_was_not_printed_is_reckoned_on_the_safe_side():
    for each in accelerators():
        assert 0.6 * each.label_gb * GiB < each.usable_bytes <= each.label_gb * GiB, each.name
    # A Mac's share is no larger than that of either neighbour that was printed.
    assert find_accelerator("M2 24GB").usable_bytes <= 24 * GiB * 21845 // 32768
    assert find_accelerator("M2 Ultra 192GB").usable_bytes == 144 * GiB


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["name"])
def test_every_name_of_one_is_its_own(row):
    for name in (row["name"], row["name"].lower().replace(" ", "-"), f"{row['maker']} {row['name']}", *row["also"]):
        assert find_card(name).name == row["name"], name
    with pytest.raises(InspectorError, match="no NVIDIA card"):
        find_gpu(row["name"])


@pytest.mark.parametrize("card", catalogue(), ids=lambda card: card.name)
def test_an_nvidia_card_stays_one(card):
    assert find_card(card.name) is card
    assert find_card(f"NVIDIA {card.name}") is card


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("AMD Instinct MI300X", "MI300X"), ("mi300x 192gb", "MI300X"), ("7900xtx", "RX 7900 XTX"),
        ("Radeon RX 7900 XT", "RX 7900 XT"), ("AMD Radeon PRO W7900", "PRO W7900"), ("w7800 48 GB", "PRO W7800 48GB"),
        ("Apple M3 Max 64 GB", "M3 Max 64GB"), ("M1 16", "M1 16GB"), ("MacBook M2 Pro (32GB)", "M2 Pro 32GB"),
        ("Intel(R) Arc(TM) A770 Graphics", "Arc A770"), ("b580", "Arc B580"), ("gaudi2", "Gaudi 2"),
        ("Intel Data Center GPU Max 1550", "Data Center GPU Max 1550"), ("max 1100", "Data Center GPU Max 1100"),
        ("v5e", "TPU v5e"), ("Ironwood", "TPU v7"), ("TPU7x", "TPU v7"), ("cloud tpu v5litepod", "TPU v5e"),
    ],
)  # fmt: skip
def test_spellings(text, name):
    assert find_card(text).name == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("M3 Max", "could be several accelerators.*M3 Max 36GB"), ("MI300", "could be several.*MI300A, MI300X"),
        ("M1", "could be several"), ("M3 Max 50GB", "no NVIDIA card|no card"), ("MI30", "no NVIDIA card|no card"),
        ("7900", "could be several"), ("", "no card|several"), ("x" * 500, "no card"),
    ],
)  # fmt: skip
def test_what_means_none_or_several_is_a_line(text, said):
    with pytest.raises(InspectorError) as caught:
        find_card(text)
    assert re.search(said, str(caught.value)), str(caught.value)


def test_bitsandbytes_own_guide_says_where_it_runs():
    assert find_card("MI300X").bitsandbytes == find_card("M1 8GB").bitsandbytes == "0.50"
    assert find_card("Gaudi 3").bitsandbytes == "0.48"
    assert find_card("TPU v4").bitsandbytes == ""


def test_pytorchs_own_header_says_where_metals_allocator_refuses():
    torch = pytest.importorskip("torch")
    header = Path(torch.__file__).parent / "include" / "ATen" / "mps" / "MPSAllocator.h"
    (ratio,) = re.findall(r"double default_high_watermark_ratio = ([\d.]+);", header.read_text())
    assert float(ratio) == MPS_REFUSES_AT
    mac, card = find_card("M1 8GB"), find_card("MI300X")
    assert mac.refused_bytes == int(1.7 * mac.usable_bytes)
    assert card.refused_bytes == card.usable_bytes

"""The catalogue says what a program gets, not what the box says, and finds a card by any of its names."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest

from inspector.errors import InspectorError
from inspector.gpus import card_of_size, catalogue, find_gpu

MiB, GiB = 2**20, 2**30


def rows():
    return json.loads((files("inspector") / "data" / "gpus.json").read_text())["gpus"]


def test_at_least_forty_cards_each_with_a_source():
    assert len(catalogue()) >= 40
    assert len({card.name for card in catalogue()}) == len(catalogue())
    assert all(card.sources for card in catalogue())


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["name"])
def test_figures_are_plausible(row):
    card = find_gpu(row["name"])
    assert card.name == row["name"]
    assert find_gpu(card.name.lower().replace(" ", "")) == card
    # Decimal labels are larger than what the driver gives; ECC and the driver take at most an eighth.
    assert 0.87 * row["label_gb"] * GiB < card.usable_bytes < 1.03 * row["label_gb"] * GiB
    assert 6 <= card.capability[0] <= 12
    if row["smi_total_mib"]:
        assert card.usable_bytes < row["smi_total_mib"] * MiB
    assert card.basis == ("torch" if row["torch_total_mib"] else "nvidia-smi")


def memory_said(sources):
    """Every total of torch that the sources name, in MiB; a GiB with two digits is one too."""
    text = " ".join(source for source in sources if "nvidia-smi" not in source)
    whole = {int(number) for number in re.findall(r"(\d{4,6}) ?M", text)}
    return whole | {int(float(number) * 1024) for number in re.findall(r"([\d.]+) GiB", text)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["name"])
def test_every_figure_is_in_its_source(row):
    """Memory, multiprocessors and what nvidia-smi says are the numbers that their sources print."""
    total = row["torch_total_mib"]
    if total:
        said = memory_said(row["sources"])
        assert total in said
        if row["name"] != "Quadro RTX 5000":  # with ECC on, which it is not by default
            assert total == min(said)
    if row["smi_total_mib"]:
        assert any(f"{row['smi_total_mib']} MiB" in source for source in row["sources"])
    source = row["multiprocessors_source"].replace(",", "")
    if cores := re.search(r"(\d+) CUDA cores (\d+) in each", source):
        assert int(cores[1]) == row["multiprocessors"] * int(cores[2])
    else:
        assert re.search(rf"\b0?{row['multiprocessors']}\b", source)


def test_a_card_tells_its_sources():
    told = find_gpu("T4").sources
    assert [source.partition(":")[0] for source in told if source[0].islower()][-3:] == [
        "multiprocessors",
        "compute capability",
        "context",
    ]
    for card in catalogue():
        assert any(source.startswith("multiprocessors: ") for source in card.sources)
        assert any(source.startswith("compute capability: ") for source in card.sources)


def test_a_capability_is_its_architectures():
    """The first number of a compute capability is the generation; 8.9 is Ada, of Ampere's number."""
    generations = {"6": "Pascal", "8": "Ampere", "9": "Hopper", "10": "Blackwell", "12": "Blackwell"}
    named = {"7.0": "Volta", "7.5": "Turing", "8.9": "Ada"}
    for row in rows():
        capability = row["compute_capability"]
        assert named.get(capability, generations.get(capability.partition(".")[0])) == row["generation"]


def test_known_figures():
    assert find_gpu("T4").usable_bytes == 14913 * MiB  # 14.56 GiB
    assert find_gpu("T4").context_bytes == 141 * MiB
    assert round(find_gpu("h100-sxm").usable_bytes / GiB, 2) == 79.11


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("t4", "T4"),
        ("Tesla T4", "T4"),
        ("4090", "RTX 4090"),
        ("rtx4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("RTX 4060", "RTX 4060"),
        ("4060", "RTX 4060"),
        ("a100-80gb", "A100-80GB"),
        ("A100 40", "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM"),
        ("h200", "H200"),
        ("gh200", "GH200"),
        ("l40s", "L40S"),
        ("L40", "L40"),
        ("b200", "B200"),
        ("6000 ada", "RTX 6000 Ada"),
        ("3080ti", "RTX 3080 Ti"),
        ("h20", "H20"),
        ("5060", "RTX 5060"),
        ("5060 ti", "RTX 5060 Ti 16GB"),
        ("rtx pro 6000", "RTX PRO 6000 Blackwell"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 Blackwell"),
        ("MIG 1g.10gb", "A100-MIG-1g.10gb"),
    ],
)
def test_names(text, name):
    assert find_gpu(text).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A100", "A100-40GB, A100-80GB"),
        ("H100", "H100-SXM, H100-PCIe, H100-NVL"),
        ("RTX 4900", "did you mean"),
        ("TPU v4", "--vram|did you mean"),
        ("", "--vram|several"),
    ],
)
def test_unknown_and_ambiguous_names_are_one_line(text, message):
    with pytest.raises(InspectorError, match=message):
        find_gpu(text)


def test_abilities():
    assert not find_gpu("T4").bf16
    assert find_gpu("T4").int8
    assert not find_gpu("V100-16GB").int8
    assert find_gpu("A100-40GB").bf16
    assert not find_gpu("A100-40GB").fp8
    assert find_gpu("RTX 4090").fp8
    assert not find_gpu("RTX 2080 Ti").flash_attention_2


def test_a_size_is_a_card():
    card = card_of_size("16GiB")
    assert card.usable_bytes == 16 * GiB
    assert card.available_bytes < card.usable_bytes
    with pytest.raises(InspectorError):
        card_of_size("16")
    with pytest.raises(InspectorError, match="context"):
        card_of_size("100MiB")


def test_importing_it_is_light():
    import subprocess
    import sys

    code = "import sys, inspector.gpus as g; g.catalogue(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

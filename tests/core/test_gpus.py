"""The catalogue says what a program gets, not what the box says, and finds a card by any of its names."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest

from inspector.errors import InspectorError
from inspector.gpus import card_of_size, catalogue, find_gpu, shared

MiB, GiB = 2**20, 2**30


def rows():
    return json.loads((files("inspector") / "data" / "gpus.json").read_text())["gpus"]


def test_at_least_a_hundred_cards_each_with_a_source():
    assert len(catalogue()) >= 100
    assert len({card.name for card in catalogue()}) == len(catalogue())
    assert all(card.sources for card in catalogue())


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["name"])
def test_figures_are_plausible(row):
    card = find_gpu(row["name"])
    assert card.name == row["name"]
    assert find_gpu(card.name.lower().replace(" ", "")) == card
    # Decimal labels are larger than what the driver gives; ECC and the driver take at most an eighth.
    assert 0.87 * row["label_gb"] * GiB < card.usable_bytes < 1.03 * row["label_gb"] * GiB
    assert 3 <= card.capability[0] <= 12
    if row["smi_total_mib"]:
        assert card.usable_bytes < row["smi_total_mib"] * MiB
    assert card.basis == ("torch" if row["torch_total_mib"] else "nvidia-smi")


def memory_said(sources):
    """Every total of torch that the sources name, in MiB; a GiB with two digits is one too."""
    text = " ".join(source for source in sources if "nvidia-smi" not in source)
    whole = {int(number) for number in re.findall(r"(\d{4,6})(?:\.\d+)? ?M", text)}
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
        assert re.search(rf"\b0*{row['multiprocessors']}\b", source)


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
    generations = {
        "3": "Kepler", "5": "Maxwell", "6": "Pascal", "8": "Ampere", "9": "Hopper", "10": "Blackwell",
        "11": "Blackwell", "12": "Blackwell",
    }  # fmt: skip
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
        ("5060 ti 16 GB", "RTX 5060 Ti 16GB"),
        ("rtx pro 6000", "RTX PRO 6000 Blackwell"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 Blackwell"),
        ("MIG 1g.10gb", "A100-MIG-1g.10gb"),
        ("4090D", "RTX 4090 D"),
        ("RTX 4090 D", "RTX 4090 D"),
        ("2080 Ti 22 GB", "RTX 2080 Ti 22GB"),
        ("2080ti 22g", "RTX 2080 Ti 22GB"),
        ("2080 Ti", "RTX 2080 Ti"),
        ("Tesla K80", "K80"),
        ("DGX Spark", "DGX Spark"),
        ("gb10", "DGX Spark"),
        ("Jetson AGX Orin 64 GB", "Jetson AGX Orin 64GB"),
        ("Orin NX", "Jetson Orin NX 16GB"),
        ("RTX 4060 Laptop GPU", "RTX 4060 Laptop"),
        ("4060 mobile", "RTX 4060 Laptop"),
        ("laptop 4090", "RTX 4090 Laptop"),
        ("notebook rtx 3070", "RTX 3070 Laptop"),
        ("rtx laptop 4080", "RTX 4080 Laptop"),
        ("a100-80gb sxm", "A100-80GB"),
        ("kaggle t4", "T4"),
        ("t4 colab", "T4"),
        ("V100 SXM2 32GB", "V100-32GB"),
        ("m40 24gb", "M40-24GB"),
        ("orin nano 8gb", "Jetson Orin Nano 8GB"),
        ("RTX 4060M", "RTX 4060 Laptop"),
        ("rtx 3080 ti notebook", "RTX 3080 Ti Laptop"),
        ("GTX 3090", "RTX 3090"),
        ("RTX 3090 24GB", "RTX 3090"),
        ("Tesla T4 (16GB)", "T4"),
        ("nvidia-tesla-t4", "T4"),
        ("H100 SXM5", "H100-SXM"),
        ("H100", "H100-SXM"),
        ("H100 94GB", "H100-NVL"),
        ("V100 32 GiB", "V100-32GB"),
        ("1 x T4", "T4"),
    ],
)
def test_names(text, name):
    assert find_gpu(text).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A100", "A100-40GB, A100-80GB"),
        ("V100", "V100-16GB, V100-32GB"),
        ("RTX 4900", "did you mean"),
        ("TPU v4", "no NVIDIA card"),
        ("", "--vram|several"),
        ("5060 ti", "RTX 5060 Ti 16GB, RTX 5060 Ti 8GB"),
        ("RTX 3080 Laptop", "RTX 3080 Laptop 8GB, RTX 3080 Laptop 16GB"),
        ("Jetson Orin", "Nano 8GB, Jetson Orin NX 16GB, Jetson AGX Orin 32GB, Jetson AGX Orin 64GB"),
        ("RTX 3090 48GB", "RTX 3090 has 24 GB"),
        ("MI300X", "no NVIDIA card"),
        ("Apple M3 Max", "could be several accelerators"),
        ("Apple M3 Max 64GB", "no NVIDIA card"),
        ("Ascend 910B", "no NVIDIA card"),
    ],
)
def test_unknown_and_ambiguous_names_are_one_line(text, message):
    with pytest.raises(InspectorError, match=message):
        find_gpu(text)


@pytest.mark.parametrize(
    ("text", "count", "name"),
    [
        ("2xT4", 2, "T4"), ("2 x T4", 2, "T4"), ("T4 x2", 2, "T4"), ("GPU T4 x2", 2, "T4"), ("T4:2", 2, "T4"),
        ("8x L40S", 8, "L40S"), ("two T4s", 2, "T4"), ("dual 3090", 2, "RTX 3090"), ("4 x A100 80GB", 4, "A100-80GB"),
        ("8xH100 SXM", 8, "H100-SXM"),
    ],
)  # fmt: skip
def test_several_cards_are_told_as_several_and_how_to_ask_for_one(text, count, name):
    with pytest.raises(InspectorError, match=f"{count} cards") as caught:
        find_gpu(text)
    assert f"say {name}:" in caught.value.hint


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["name"])
def test_a_name_with_its_size_behind_it_is_the_card_still(row):
    """Whatever else a name could be, its own spellings are its own: no count, no laptop, no other maker."""
    name = row["name"]
    for written in (name, name.upper(), name.replace(" ", "-"), f"1x{name}"):
        assert find_gpu(written).name == name
    if not re.search(r"\dgb", name.lower()):
        assert find_gpu(f"{name} {row['label_gb']} GB").label_gb == row["label_gb"]


def test_pytorch_itself_says_which_cards_it_has_kernels_for():
    """By the table it warns from; Jetson boards of 8.7 have NVIDIA's own builds."""
    torch = pytest.importorskip("torch.cuda")
    if not hasattr(torch, "PYTORCH_RELEASES_CODE_CC"):
        pytest.skip("this PyTorch has no such table")
    built = {
        code for by_host in torch.PYTORCH_RELEASES_CODE_CC.values() for codes in by_host.values() for code in codes
    }
    for card in catalogue():
        own = card.capability[0] * 10 + card.capability[1]
        runs = any(torch._code_compatible_with_device(own, code) for code in built)
        assert card.pytorch == (runs or card.capability == (8, 7)), card.name
    assert not find_gpu("K80").pytorch
    assert not find_gpu("M40").bitsandbytes
    assert find_gpu("P100").bitsandbytes


def test_memory_of_the_system_is_told_as_such():
    assert {card.name for card in catalogue() if card.unified} == {
        "DGX Spark", "Jetson AGX Thor", "Jetson AGX Orin 32GB", "Jetson AGX Orin 64GB", "Jetson Orin NX 16GB",
        "Jetson Orin Nano 8GB",
    }  # fmt: skip
    (line,) = shared(find_gpu("T4"), find_gpu("DGX Spark"))
    assert line.startswith("DGX Spark: ")
    assert shared(find_gpu("T4")) == ()


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


@pytest.mark.parametrize(
    ("typed", "card"),
    [
        ("a100 80g", "A100-80GB"), ("4090 24 gigs", "RTX 4090"), ("3090 24", "RTX 3090"),
        ("4060 Ti 16 Go", "RTX 4060 Ti 16GB"),
        ("GeForce RTX\u2122 4090", "RTX 4090"), ("'T4'", "T4"), ("RTX Pro 6000 Max-Q", "RTX PRO 6000 Blackwell"),
        ("rtx pro 6000 server edition", "RTX PRO 6000 Blackwell"), ("V100S", "V100-32GB"), ("H800", "H800"),
        ("H800 80GB", "H800"), ("GB300 NVL72", "GB300"), ("RTX A5500", "RTX A5500"),
        ("A6000 ada", "RTX 6000 Ada"), ("rtx 6000 48gb", "RTX 6000 Ada"), ("rtx 6000 24GB", "Quadro RTX 6000"),
        ("Quadro RTX 6000", "Quadro RTX 6000"), ("RTX 8000", "Quadro RTX 8000"), ("rtx 3050 6gb", "RTX 3050 6GB"),
        ("grace hopper", "GH200"), ("T1000", "T1000"),
    ],
)  # fmt: skip
def test_more_spellings(typed, card):
    assert find_gpu(typed).name == card


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("l2", "no card is named 'l2'"), ("rtx 30", "no card is named"),
        ("g5.xlarge", "a machine .*its cards are A10G"),
        ("Standard_ND96asr_v4", "its cards are A100-40GB"),
        ("standard_nc80adis_h100_v5", "its cards are H100-NVL"),
        ("p2.8xlarge", "its cards are K80"),
        ("gx10", "no card is named 'gx10'"),
        ("Standard_NC24ads_A100_v4", "its cards are A100-80GB-PCIe"), ("a3-highgpu-8g", "its cards are H100-SXM"),
        ("rtx 6000", "could be several"), ("rtx4000", "could be several"), ("t4g", "no card is named 't4g'"),
        ("4090 48", "no 4090 of 48 GB"), ("H800 40GB", "H800 has 80 GB"),
    ],
)  # fmt: skip
def test_no_other_card_is_taken_for_it(typed, said):
    with pytest.raises(InspectorError, match=said):
        find_gpu(typed)


def test_machines_have_cards_that_are_known():
    from inspector.gpus.words import _MACHINES

    assert all(find_gpu(card).name == card for _, card in _MACHINES)

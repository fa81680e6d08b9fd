"""What a full card says: the request of the allocator, and sizes as PyTorch prints them."""

from pathlib import Path

import pytest

import inspector
from inspector.simulate.allocator.settings import AllocatorSettings

# Public reports whose tensor is known from the model's config: its bytes, and what PyTorch printed.
# (trl 3172, vllm 2140, swift 5943, openrlhf 398, vllm 636, xturing 140, stanford_alpaca 223, cgft 4)
REPORTED = [
    (135_790_592, "130.00 MiB"), (543_162_368, "518.00 MiB"), (2_819_260_416, "2.63 GiB"), (117_440_512, "112.00 MiB"),
    (167_772_160, "160.00 MiB"), (45_088_768, "44.00 MiB"), (404_766_720, "388.00 MiB"), (33_554_432, "32.00 MiB"),
]  # fmt: skip
# The rules of the allocator below a segment's size, and the bounds of the units.
RULES = [(8, "2.00 MiB"), (1 << 20, "2.00 MiB"), ((1 << 20) + 1, "20.00 MiB"), (1 << 30, "1024.00 MiB")]


@pytest.mark.parametrize(("nbytes", "printed"), REPORTED + RULES)
def test_what_could_not_be_had_is_the_segment_as_pytorch_prints_it(nbytes, printed):
    from inspector.simulate.script.child.memory import format_size

    settings = AllocatorSettings()
    assert format_size(settings.segment_size(settings.round_size(nbytes))) == printed


@pytest.mark.parametrize(
    ("nbytes", "printed"),
    [(0, "0 bytes"), (1024, "1024 bytes"), (1025, "1.00 KiB"), (1018 << 10, "1018.00 KiB"), (13_432_259, "12.81 MiB"),
     (84_932_978_278, "79.10 GiB")],
)  # fmt: skip
def test_sizes_are_printed_in_the_units_that_reports_show(nbytes, printed):
    from inspector.simulate.script.child.memory import format_size

    assert format_size(nbytes) == printed


def test_triton_is_of_the_version_that_pytorch_brings_along():
    from inspector.simulate.script.child.stubs.triton_package import brought_along

    assert [brought_along(each) for each in ("2.9.0", "2.11.1+cu128", "2.13.0+cpu")] == ["3.5.1", "3.5.1", "3.7.1"]


def test_modules_that_only_one_build_of_triton_has_are_not_there():
    from inspector.simulate.script.child.stubs.triton_package import Finder

    found = {name: Finder("3.9.0").find_spec(name, None) is not None for name in (
        "triton", "triton.language.extra", "triton._C.libtriton", "triton._torchtlx_default", "torch",
    )}  # fmt: skip
    assert list(found.values()) == [True, True, True, False, False]


def test_what_stands_in_is_taken_to_be_here_and_nothing_else():
    from inspector.simulate.script.check.installed import HOSTED, STOOD_IN, is_here
    from inspector.simulate.script.notebook.names import hosted_modules

    stubs = Path(inspector.__path__[0]) / "simulate" / "script" / "child" / "stubs"
    assert {path.stem for path in stubs.glob("*.py")} - {"__init__", "triton_package"} == STOOD_IN
    assert set(hosted_modules()) >= HOSTED - {"google"}
    assert is_here("triton")
    assert is_here("kaggle_secrets", notebook=True)
    assert not is_here("kaggle_secrets")
    assert not is_here("a_package_that_is_not")

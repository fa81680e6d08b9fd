"""The figures everybody quotes for Llama 3.1 8B, and what must hold for every model and scheme."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
from inspector.errors import InspectorError
from inspector.lenses.weights import grouped, weights
from inspector.precision import SCHEME_NAMES, chosen_schemes, scheme_named
from inspector.sources.bundled import load_bundled
from tests.models import at_depths


@pytest.fixture(scope="module")
def llama():
    return inspector.load("llama-3.1-8b")


@pytest.mark.parametrize(
    ("bits", "footprint"), [(32, 32_121_045_504), (16, 16_060_523_008), (8, 9_081_201_152), (4, 5_591_540_224)]
)
def test_the_footprints_of_the_course(llama, bits, footprint):
    report = llama.memory(bits=bits)
    assert report.footprint_bytes == footprint
    assert report.parameters == 8_030_261_248


def test_double_quantization_saves_325_mb_that_the_footprint_does_not_see(llama):
    plain, double = (llama.memory(scheme=name).focus for name in ("nf4", "nf4-dq"))
    assert plain.footprint_bytes == double.footprint_bytes
    assert round((plain.tensor_bytes - double.tensor_bytes) / 1e6) == 325


def test_four_bits_mean_nf4_with_double_quantization_first(llama):
    report = llama.memory(bits=4)
    assert [line.scheme for line in report.schemes] == ["nf4-dq", "nf4", "fp4-dq", "fp4"]
    assert report.focus.scheme == "nf4-dq"


@pytest.mark.parametrize("depth", at_depths(), ids=str)
def test_the_waterfall_and_every_grouping_add_up(depth):
    skeleton = depth.skeleton()
    for name in SCHEME_NAMES:
        scheme = scheme_named(name)
        report = weights(skeleton, scheme)
        assert report.naive_bytes + sum(step.nbytes for step in report.footprint_steps) == report.footprint_bytes, name
        assert report.naive_bytes + sum(step.nbytes for step in report.steps) == report.tensor_bytes, name
        assert report.tensor_bytes + report.rounding_bytes == report.allocated_bytes, name
        for by in ("module", "layer", "kind"):
            groups = grouped(skeleton, scheme, by)
            assert sum(group.tensor_bytes for group in groups) == report.tensor_bytes, (name, by)
            assert sum(group.footprint_bytes for group in groups) == report.footprint_bytes, (name, by)
            assert sum(group.parameters for group in groups) == report.parameters, (name, by)


def test_experts_are_named_as_what_bitsandbytes_leaves_alone():
    report = inspector.load("qwen3-30b-a3b").memory(bits=4).focus
    assert report.coverage < 0.05
    biggest = max(report.footprint_steps, key=lambda step: step.nbytes)
    assert biggest.cause == "fused experts in bfloat16"


@given(st.sampled_from([32, 64, 128, 256, 512, 1024, 2048, 4096]))
def test_larger_blocks_never_cost_more(size):
    skeleton = load_bundled("meta-llama/Llama-3.2-1B")
    usual = weights(skeleton, scheme_named("nf4", block_size=32)).tensor_bytes
    assert weights(skeleton, scheme_named("nf4", block_size=size)).tensor_bytes <= usual


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ("nf5",)}, "no scheme"),
        ({"names": ("nf4",), "bits": 4}, "exclude"),
        ({"bits": 3}, "no scheme stores"),
        ({"names": ("nf4:65",)}, "block size 65"),
        ({"names": ("nf4:x",)}, "not a block size"),
        ({"names": ("bf16",), "block_size": 64}, "no block size"),
        ({"bits": 8, "block_size": 64}, "4-bit scheme"),
    ],
)
def test_impossible_choices_are_one_clear_line(arguments, message):
    with pytest.raises(InspectorError, match=message):
        chosen_schemes(**arguments)

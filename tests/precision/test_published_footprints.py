"""Footprints that people printed with `get_memory_footprint()`, in MB (10^6 bytes)."""

import pytest

from inspector.precision import scheme_named
from inspector.sources.bundled import find, load_bundled
from inspector.weights import weights

# Source of each: data/truth/footprints.json. The bloom record is the ratio of fp16 to int8.
PRINTED = [
    ("meta-llama/Llama-3.1-8B", "nf4-dq", 5591.5, 0.05),
    ("Qwen/Qwen2.5-3B", "nf4-dq", 2010.1, 0.2),
    ("meta-llama/Llama-3.2-1B", "nf4-dq", 1012.0, 0.2),
]


@pytest.mark.parametrize(("model", "scheme", "megabytes", "tolerance"), PRINTED)
def test_footprints_are_those_people_printed(model, scheme, megabytes, tolerance):
    report = weights(load_bundled(find(model)), scheme_named(scheme))
    assert report.footprint_bytes / 1e6 == pytest.approx(megabytes, abs=tolerance)


def test_blooms_ratio_of_fp16_to_int8():
    skeleton = load_bundled("bigscience/bloom-1b7")
    half, eighth = (weights(skeleton, scheme_named(name)).footprint_bytes for name in ("fp16", "int8"))
    assert half / eighth == pytest.approx(1.540025, abs=1e-6)

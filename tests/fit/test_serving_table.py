"""Cards and engines for so many users."""

import pytest

import inspector
from inspector.errors import InspectorError
from inspector.fit.serving_table import serving_table


def test_more_users_need_more_memory():
    few = serving_table("llama-3.1-8b", users=2, context=8192, gpu=("L4", "A100-80GB"))
    many = serving_table("llama-3.1-8b", users=50, context=8192, gpu=("L4", "A100-80GB"))
    assert few.fits
    assert few.holding[0].memory_bytes < many.holding[0].memory_bytes
    sizes = [cell.memory_bytes for cell in many.holding]
    assert sizes == sorted(sizes)
    # 50 x 8,192 tokens of 131,072 bytes are 50 GiB: one card of 80 GB holds them beside the weights.
    cells = {(cell.engine, cell.gpu.name): cell.cards for cell in many.cells}
    assert cells["vllm", "A100-80GB"] == 1
    assert cells["vllm", "L4"] in {0, 4}
    assert cells["llama.cpp", "L4"] == 0


def test_it_is_fits_answer_too():
    table = inspector.load("llama-3.2-1b").fit(serving=True, users=3, context=2048, gpu=["T4"])
    assert {cell.engine for cell in table.cells} == {"vllm", "sglang", "llama.cpp"}
    assert list(table.to_frame()["engine"]) == ["vllm", "sglang", "llama.cpp"]
    with pytest.raises(InspectorError, match="cannot be asked for"):
        serving_table("llama-3.2-1b", users=0)

"""The page of a served model as a file, and what an engine beside a trainer holds."""

import pytest

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.serving import colocated_bytes


def test_the_page_is_a_file_with_the_waterfall(tmp_path):
    place = tmp_path / "page.html"
    words = ["serving", "llama-3.2-1b", "--gpu", "L4", "--max-model-len", "4096", "--max-num-seqs", "16"]
    assert run([*words, "-o", str(place)]) == 0
    page = place.read_text(encoding="utf-8")
    assert "left for the KV cache" in page
    assert '"serving": {' in page or '"serving":{' in page  # the figure's own data
    assert " ".join(words) in page
    assert run([*words, "--json", "-o", str(place)]) == 2


def test_an_engine_beside_a_trainer():
    awake = colocated_bytes("llama-3.2-1b", gpu="A100-80GB", max_model_len=4096)
    assert awake.held == awake.weights + awake.kv.value
    share = awake.report.terms[0].span.value
    assert 0.9 * share < awake.held < share
    asleep = colocated_bytes("llama-3.2-1b", gpu="A100-80GB", max_model_len=4096, sleep_level=1)
    assert (asleep.held, asleep.host) == (0, awake.weights)
    assert colocated_bytes("llama-3.2-1b", gpu="A100-80GB", sleep_level=2).host == 0
    with pytest.raises(InspectorError, match="level 1 or 2"):
        colocated_bytes("llama-3.2-1b", sleep_level=3)

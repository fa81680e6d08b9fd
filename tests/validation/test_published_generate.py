"""Published peaks of generation: the errors of what can be asked, and the reasons for what is left out."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from inspector.lenses.kv_cache import cache_report
from inspector.sources.bundled import load_bundled
from inspector.sources.resolve import resolve_config
from inspector.validation.ledger import compare
from inspector.validation.runs import questions

CHOSEN = (
    "Qwen2.5-0.5B-Instruct BF16 30720", "Qwen2.5-7B-Instruct BF16 1", "Qwen2.5-7B-Instruct BF16 14336",
    "Qwen2.5-0.5B-Instruct-GPTQ-Int4 30720",
)  # fmt: skip


def asked():
    return {question.id: question for question in questions("inference_peaks") if not question.skipped}


def test_every_run_on_the_a100_is_asked():
    """Half of them in GPTQ, with the kernel that transformers took then and its buffers."""
    assert len(asked()) == 32
    assert sum("-GPTQ-Int4" in name for name in asked()) == 16
    assert {question.gpu for question in asked().values()} == {"A100-80GB"}


def test_what_is_left_out_says_why():
    reasons = {question.skipped for question in questions("inference_peaks")} - {""}
    assert len(reasons) == 6
    left_out = [question for question in questions("inference_peaks") if question.skipped]
    assert all(not question.settings and not question.figures for question in left_out)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_peaks(name):
    (line,) = compare(asked()[name])
    assert abs(line.error) <= 0.002, (name, line.error)


def test_the_h20_page_is_below_what_must_be_there():
    """Why its unquantized runs are not asked: weights and cache alone take more than it says was used."""
    path = files("inspector") / "data" / "truth" / "inference_peaks.json"
    page = [row for row in json.loads(path.read_text(encoding="utf-8")) if "H20" in (row.get("gpu") or "")]
    rows = [row for row in page if row["quantization"] == "BF16"]
    below = []
    for row in rows:
        skeleton = load_bundled(row["model"])
        report = cache_report(skeleton.model_id, skeleton.facts, resolve_config(row["model"]), "bfloat16")
        held = 2 * skeleton.num_parameters + report.nbytes(1, row["input_tokens"] + row["generated_tokens"] - 1)
        if row["peak"] * 2**20 < held:
            below.append((row["model"], row["input_tokens"]))
    assert len(rows) == 16
    assert below == [("Qwen/Qwen3-1.7B", 1), ("Qwen/Qwen3-14B", 1), ("Qwen/Qwen3-32B", 1)]

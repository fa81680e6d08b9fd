"""Published measurements: the errors the project promises. `inspector validate` runs all of them."""

from __future__ import annotations

import pytest

from inspector.validation.ledger import RESERVED, compare
from inspector.validation.runs import questions

CHOSEN = {
    "t4_transformers_peft_loop": ("10", "18", "21", "39", "42", "47"),
    "rtx4080_qlora": ("93", "105"),
    "a100_sfttrainer": ("230", "246"),
    "l40s_peft_benchmark": ("lora/llama-3.2-3B-rank64-rslora",),
}
LIMITS = {
    "t4_transformers_peft_loop": 0.01,
    "rtx4080_qlora": 0.01,
    "a100_sfttrainer": 0.005,
    "l40s_peft_benchmark": 0.01,
}
BYTE_EXACT = ("10", "39", "47")
"""Runs whose loading leaves nothing to chance: every stage of theirs is predicted to the byte."""


@pytest.fixture(scope="module")
def lines():
    found = []
    for file, ids in CHOSEN.items():
        asked = {question.id: question for question in questions(file)}
        for name in ids:
            found.extend(compare(asked[name]))
    return found


@pytest.mark.slow
def test_allocated_bytes(lines):
    for line in lines:
        if line.figure not in RESERVED:
            assert abs(line.error) <= LIMITS[line.question.file], (line.question.id, line.figure, line.error)


@pytest.mark.slow
def test_reserved_bytes(lines):
    errors = [abs(line.error) for line in lines if line.figure in RESERVED]
    assert sum(errors) / len(errors) < 0.02


@pytest.mark.slow
def test_to_the_byte(lines):
    exact = [line for line in lines if line.question.id in BYTE_EXACT and line.question.file.startswith("t4")]
    assert len(exact) == 5 * len(BYTE_EXACT)
    for line in exact:
        if line.figure not in RESERVED:
            assert line.predicted == line.measured, (line.question.id, line.figure)


def test_what_is_left_out_says_why():
    for question in questions():
        assert bool(question.skipped) != bool(question.settings) or question.skipped
        assert question.source

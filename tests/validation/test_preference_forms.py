"""Losses and preference training: every row is read, what is compared is equal at the digits, what is not says why."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from inspector.validation.ledger import validate
from inspector.validation.runs import questions

ROWS = {
    row["id"]: row
    for row in json.loads((files("inspector") / "data/truth/preference.json").read_text(encoding="utf-8"))
}
RUNS = {run.id: run for run in questions("preference")}
COMPARED = [run for run in RUNS.values() if not run.skipped]


def test_only_rows_of_trust_a_that_say_enough_are_compared():
    assert set(RUNS) == set(ROWS)
    assert not any(run.wrong or "\n" in run.skipped or run.not_understood for run in RUNS.values())
    assert {ROWS[run.id]["trust"] for run in COMPARED} == {"A"}
    assert len(COMPARED) == 48
    assert {ROWS[run.id]["provider"] for run in COMPARED} == {"huggingface", "liger"}
    assert not any(run.file == "preference" for run in questions())


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """A point of cross-entropy on given logits, of a head, and two batches of each loss of pairs, each side's."""
    rows, taken = [], {}
    for run in COMPARED:
        point = run.settings["loss_benchmark"]
        kind = point["objective"], bool(point["hidden"]), point["liger"]
        taken[kind] = taken.get(kind, 0) + 1
        if taken[kind] <= (2 if point["objective"] != "sft" else 1):
            rows.append(ROWS[run.id])
    # As a file of one's own: the same form, and one row that never counts.
    path = tmp_path_factory.mktemp("own") / "mine.json"
    path.write_text(json.dumps([*rows, {**rows[0], "id": "fitted", "use": "fit_only"}]))
    ledger = validate(str(path), form="preference")
    assert [run.id for run in ledger.skipped] == ["fitted"]
    return {line.question.id: line for line in ledger.lines}


def test_cross_entropy_is_equal_at_the_digits(predicted):
    plain = [name for name in predicted if "cross-entropy" in name]
    assert len(plain) == 4
    for name in plain:
        given = 2 * ROWS[name]["rounding_bytes"] + 512 if ROWS[name]["provider"] == "huggingface" else 2**17
        assert abs(predicted[name].predicted - ROWS[name]["value_bytes"]) <= given


@pytest.mark.parametrize("objective", ["orpo", "cpo", "simpo"])
def test_losses_of_pairs_are_equal_at_the_digits(predicted, objective):
    """With what Liger's compiled loss left, which the script had run before; of its own but for a block not split."""
    names = [name for name in predicted if ROWS[name]["objective"] == objective]
    assert len(names) == 4
    for name in names:
        given = 2 * ROWS[name]["rounding_bytes"] + 512 if ROWS[name]["provider"] == "huggingface" else 2**20
        assert abs(predicted[name].predicted - ROWS[name]["value_bytes"]) <= given


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objective": "dpo"}, "the loss of dpo alone"),
        ({"provider": "apex"}, "provider apex"),
        ({"shape": {"batch": 3, "seq": 8, "vocab": 9, "hidden": 4}, "objective": "orpo"}, "even shape.batch"),
        ({"shape": None}, "shape was not published"),
        ({"measured": "nvidia-smi"}, "nvidia-smi is not compared"),
        ({"method": "full", "model": "HuggingFaceTB/SmolLM2-135M", "tool": "mine"}, "runs of mine are not compared"),
        ({"card": "Voodoo 2"}, "Voodoo 2"),
    ],
)
def test_what_a_row_lacks_is_said_by_name(change, said):
    from inspector.validation.runs import question

    row = {**ROWS[COMPARED[0].id], **change}
    assert said in question(row, "preference", file="preference").skipped

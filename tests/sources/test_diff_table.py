"""`inspector diff` and `inspector table`."""

import json

import pytest

from inspector.cli.main import run
from inspector.lenses.diff import diff, skeleton_side
from inspector.lenses.table import table
from inspector.lenses.weights import weights
from inspector.precision import SCHEME_NAMES, scheme_named
from inspector.sources.bundled import load_bundled, model_ids


def test_a_base_model_and_its_instruct_variant_are_the_same():
    sides = [skeleton_side(load_bundled(f"meta-llama/Llama-3.1-8B{end}")) for end in ("", "-Instruct")]
    assert diff(*sides).tensors == ()


def test_what_differs_is_told_once_for_all_layers(capsys):
    assert run(["diff", "qwen2.5-0.5b", "qwen2.5-1.5b", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    changed = {row["name"]: row for row in found["tensors"] if row["before"] and row["after"]}
    assert changed["model.layers.*.mlp.up_proj.weight"]["num_tensors"] == 24
    assert not found["same"]


@pytest.mark.parametrize("model", ["gpt2", "llama-3.1-8b"])
def test_no_model_differs_from_itself(model, capsys):
    assert run(["diff", model, model]) == 0
    assert "the same tensors" in capsys.readouterr().out


def test_stored_needs_files(capsys):
    assert run(["diff", "gpt2", "gpt2", "--stored"]) == 2
    assert "--stored" in capsys.readouterr().err


def test_the_whole_table_in_under_thirty_seconds():
    report = table(model_ids(), SCHEME_NAMES)
    assert report.seconds < 30
    assert [row.model for row in report.rows] == list(model_ids())
    for row in report.rows[::40]:
        expected = [weights(load_bundled(row.model), scheme_named(name)).tensor_bytes for name in SCHEME_NAMES]
        assert list(row.tensor_bytes) == expected


def test_a_part_of_the_table(capsys):
    assert run(["table", "gpt2", "--scheme", "bf16", "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert run(["table", "nothing-like-it"]) == 2

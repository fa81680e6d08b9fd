"""A file of runs of one's own: how its form is told, where its models are, and what is wrong with it in one line."""

from __future__ import annotations

import csv
import io
import json

import pytest

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.simulate import finetune
from inspector.simulate.generation import simulate_generate
from inspector.validation import validate
from inspector.validation.forms import FORMS
from inspector.validation.own_runs import own_runs
from tests.simulate.conftest import TINY
from tests.validation.conftest import EXAMPLES

SMALL = {**TINY, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 256}
T4 = "t4_transformers_peft_loop"


def lines_of(path, *options, capsys):
    assert run(["validate", path, *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def complaint(path, *options, capsys):
    assert run(["validate", path, *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line, *hint) = captured.err.splitlines()
    assert len(hint) <= 1
    return line


@pytest.mark.parametrize("form", FORMS)
def test_the_example_of_each_form_works_as_it_is(form, written, capsys):
    document = lines_of(written([EXAMPLES[form]]), capsys=capsys)
    assert document["skipped"] == document["not_understood"] == []
    for line in document["lines"]:
        assert line["unit"] == "bytes"
        assert (line["predicted"], line["measured"]) == (line["predicted_bytes"], line["measured_bytes"])
        assert line["error"] == line["predicted"] / line["measured"] - 1
        assert abs(line["error"]) < 0.005, line
        assert line["file"] == "runs.json"


def test_a_path_is_found_from_the_files_folder_and_simulated_as_it_says(written, example, tmp_path, capsys):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "config.json").write_text(json.dumps(SMALL), encoding="utf-8")
    changes = {"model": "small", "target_modules": ["q_proj"], "gradient_checkpointing": False, "attn": "eager"}
    document = lines_of(written([example(T4, **changes)]), capsys=capsys)
    report = finetune(
        SMALL, method="lora", r=8, alpha=16, target_modules=["q_proj"], dtype="float16", seq_len=64, attention="eager",
        gradient_checkpointing=False, use_cache=False, gpu="T4",
    )  # fmt: skip
    wanted = {line["figure"]: line["predicted_bytes"] for line in document["lines"]}
    assert wanted["backward"] == report.stage_peak("backward").peak_allocated
    assert wanted["optimizer"] == report.stage_peak("optimizer").peak_allocated


def test_generation_is_simulated_as_it_says(written, example, tmp_path, capsys):
    from inspector.gpus import find_gpu

    path = tmp_path / "config.json"
    path.write_text(json.dumps(SMALL), encoding="utf-8")
    record = example(
        "inference_peaks", model=str(path), batch=3, input_tokens=7, generated_tokens=5, quantization="BF16"
    )
    (line,) = lines_of(written([record]), capsys=capsys)["lines"]
    report = simulate_generate(
        str(path), gpu=find_gpu("A100-80GB"), batch_size=3, prompt_len=7, max_new_tokens=5, dtype="bfloat16",
        attention="sdpa",
    )  # fmt: skip
    assert (line["figure"], line["predicted"]) == ("generate_peak", report.peak_allocated_bytes)


@pytest.mark.parametrize("form", FORMS)
def test_the_form_is_told_by_fields_of_its_own(form, written):
    from pathlib import Path

    (found,) = own_runs(Path(written([EXAMPLES[form]])))
    assert not found.skipped
    assert found.figures


def test_the_form_is_told_by_the_option_the_file_or_its_name(written, example, capsys):
    bare = {name: value for name, value in example(T4).items() if not name.endswith("_mib")}
    assert "cannot be told" in complaint(written([bare]), capsys=capsys)
    for path, options in (
        (written([bare]), ("--form", T4)),
        (written([{**bare, "form": T4}]), ()),
        (written({"form": T4, "records": [bare]}), ()),
        (written([bare], name=f"{T4}.json"), ()),
    ):
        (line,) = lines_of(path, *options, capsys=capsys)["lines"]
        assert line["figure"] == "peak"


def test_two_forms_in_one_file_are_one_line(written, capsys):
    both = written([EXAMPLES[T4], EXAMPLES["inference_peaks"]])
    assert f"could be of the form {T4} or inference_peaks" in complaint(both, capsys=capsys)
    contradicting = written({"form": "rtx4080_qlora", "records": [EXAMPLES[T4]]})
    assert "could be of the form" in complaint(contradicting, "--form", T4, capsys=capsys)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ("{nonsense", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("3", "holds no list of records"),
        ("{}", "holds one JSON object"),
        ('{"records": 3}', "holds no list of records"),
        ('{"records": [], "extra": 1}', "says 'extra' beside its records"),
        ("[]", "holds no runs"),
        ("[3]", "record 1 of"),
        ('[{"model": "a", "model": "b"}]', "says 'model' twice"),
        ('[{"peak_forward_mib": NaN}]', "NaN is no number"),
        ('[{"peak_forward_mib": Infinity}]', "Infinity is no number"),
        ('[{"peak_forward_mib": ' + "9" * 5000 + "}]", "is not usable JSON"),
        ("[" + "1," * 300_000 + "1]", "has over 200,000 values"),
        ('[{"form": "no_such_form"}]', "no form is named 'no_such_form'"),
        ('[{"form": 7}]', "is not a name"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_list_of_runs(content, said, written, capsys):
    assert said in complaint(written(content), capsys=capsys)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": ""}, 'model is "", not a text'),
        ({"model": "no-such-model-anywhere"}, "is named 'no-such-model-anywhere'"),
        ({"model": 7}, "model is 7, not a text"),
        ({"model": {"a": 1}}, 'model is {"a": 1}, not a text'),
        ({"micro_batch": "two"}, 'micro_batch is "two", not a whole number'),
        ({"micro_batch": 0}, "micro_batch is 0, not a whole number of at least 1"),
        ({"micro_batch": True}, "micro_batch is true, not a whole number"),
        ({"seq_len": 10.5}, "seq_len is 10.5, not a whole number"),
        ({"seq_len": 1e30}, "seq_len must be a whole number"),
        ({"peak": "much"}, 'peak is "much", not a number'),
        ({"peak": -1}, "peak is -1, not a number of at least 0"),
        ({"peak": 0}, "peak is no number of bytes"),
        ({"peak": 1e300}, "peak is no number of bytes"),
        ({"gradient_checkpointing": "maybe"}, 'gradient_checkpointing is "maybe", not true or false'),
        ({"target_modules": [1]}, "target_modules is [1], not a list of names"),
        ({"target_modules": ["no_such_layer"]}, "no_such_layer match nothing"),
        ({"id": {"a": 1}}, "not a name or a number"),
        ({"versions": "2.14"}, 'versions is "2.14", not an object'),
        ({"method": "qlora", "quantization": "none"}, "method says qlora and quantization says none"),
    ],
)  # fmt: skip
def test_a_record_that_its_writer_can_mend(change, said, written, example, capsys):
    path = written([example(T4, **change)])
    assert said in complaint(path, capsys=capsys)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gpu": "Voodoo 2"}, "no card is named 'Voodoo 2'"),
        ({"unit": "furlongs"}, 'unit "furlongs" is not understood'),
        ({"model": None}, "model was not published"),
    ],
)  # fmt: skip
def test_a_value_without_meaning_leaves_the_run_out(change, said, written, example, capsys):
    document = lines_of(written([example(T4, **change)]), capsys=capsys)
    assert document["lines"] == []
    assert said in document["skipped"][0]["because"]


def test_one_bad_record_does_not_take_the_others_along(written, example, capsys):
    records = [example(T4, id="good"), example(T4, id="bad", seq_len="long"), example(T4, id="worse", model="nowhere")]
    document = lines_of(written(records), capsys=capsys)
    assert {line["id"] for line in document["lines"]} == {"good"}
    assert [(item["id"], item["because"][:8]) for item in document["skipped"]] == [
        ("bad", "seq_len "),
        ("worse", "no bundl"),
    ]


def test_ids(written, example, capsys):
    assert "two runs with the id '7'" in complaint(written([example(T4, id=7), example(T4, id="7")]), capsys=capsys)
    nameless = [example(T4, id=None), example(T4, id=None)]
    assert {line["id"] for line in lines_of(written(nameless), capsys=capsys)["lines"]} == {"#1", "#2"}
    twice = [EXAMPLES["inference_peaks"] | {"id": None}] * 2
    assert len({line["id"] for line in lines_of(written(twice), capsys=capsys)["lines"]}) == 2


def test_a_field_that_is_missing_is_named(written, example, capsys):
    without = {name: value for name, value in example(T4).items() if name != "micro_batch"}
    assert "micro_batch is missing" in complaint(written([without]), capsys=capsys)


def test_nothing_was_measured(written, example, capsys):
    bare = {name: value for name, value in example(T4).items() if "peak" not in name}
    assert "no measured figure can be compared" in complaint(written([bare]), "--form", T4, capsys=capsys)


@pytest.mark.parametrize("name", ["no_such_set", "no/such/file.json", "nothing.json", "."])
def test_no_such_file(name, capsys):
    complaint(name, capsys=capsys)


def test_a_form_without_a_file(capsys):
    assert "for a file of your own" in complaint("rtx4080_qlora", "--form", "rtx4080_qlora", capsys=capsys)


def test_page_table_and_text_name_what_was_not_understood(written, example, tmp_path, capsys):
    records = [example(T4, warp="<b>9</b>"), example(T4, id="out", optimizer="<i>Lion9000")]
    path, page = written(records), tmp_path / "page.html"
    assert run(["validate", path, "-o", str(page)]) == 0
    text = capsys.readouterr().out
    assert "not understood: warp" in text
    assert "Lion9000 is not simulated" in text
    html = page.read_text(encoding="utf-8")
    assert "Lion9000" in html
    assert "<i>Lion9000" not in html
    assert "<b>9" not in html
    assert run(["validate", path, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["figure"] for row in rows] == ["forward", "backward", "optimizer", "peak", "reserved"]
    assert all(row["unit"] == "bytes" and row["predicted"] == row["predicted_bytes"] for row in rows)


def test_a_page_without_a_single_comparison(written, example, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert run(["validate", written([example(T4, optimizer="Lion9000")]), "-o", str(page)]) == 0
    assert "Lion9000" in page.read_text(encoding="utf-8")
    capsys.readouterr()


def test_in_python(written):
    ledger = validate(written([EXAMPLES[T4]]), form=T4)
    assert {line.figure for line in ledger.lines} == {"forward", "backward", "optimizer", "peak", "reserved"}
    with pytest.raises(InspectorError, match="no form is named"):
        validate(written([EXAMPLES[T4]]), form="x")

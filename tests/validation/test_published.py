"""Published measurements: the errors that the README states, and that they are today's.

All runs take three minutes, so the whole ledger is kept as golden/ledger.csv, and made anew by this file's tests with
`--update-golden`. The README is held to it; and so is the simulator, on runs of every kind, among them the worst of
every line of the README.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from inspector.validation.known_versions import known_differences
from inspector.validation.ledger import compare
from inspector.validation.ledger_by_set import BOUNDS
from inspector.validation.runs import questions

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tests" / "golden" / "ledger.csv"
COLUMNS = ["file", "id", "figure", "predicted_bytes", "measured_bytes"]

CHOSEN = {
    "t4_transformers_peft_loop": ("2", "10", "21", "26", "38", "39", "40", "47"),
    "rtx4080_qlora": ("91", "93", "105"),
    "a100_sfttrainer": ("182", "198", "230", "246"),
    "l40s_peft_benchmark": (
        "lora/llama-3.2-3B-rank64-rslora",
        "lora/llama-3.2-3B-rank32-mica (B)",
        "hira/llama-3.2-3B-rank32-lr4e-3 (B)",
        "prompt_tuning/llama-3.2-3B-sample_vocab-lr_0.001",
    ),
    "inference_peaks": ("Qwen2.5-0.5B-Instruct BF16 1", "Qwen2.5-0.5B-Instruct-GPTQ-Int4 1"),
}
BYTE_EXACT = ("10", "39", "47")
"""Runs whose loading leaves nothing to chance: every stage of theirs is predicted to the byte."""
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate")
RESERVED = ("reserved", "run_reserved", "step_reserved", "process")

T4, RTX, A100, L40S, GENERATION = CHOSEN
ROWS = {
    ("plain PEFT loop, T4", "peak allocated"): (T4, ["peak"]),
    ("plain PEFT loop, T4", "forward, backward, optimizer"): (T4, ["forward", "backward", "optimizer"]),
    ("plain PEFT loop, T4", "peak reserved"): (T4, ["reserved"]),
    ("QLoRA and LoRA, RTX 4080", "peak allocated"): (RTX, ["run_peak"]),
    ("QLoRA and LoRA, RTX 4080", "peak reserved"): (RTX, ["run_reserved"]),
    ("SFTTrainer, A100 80 GB", "peak allocated"): (A100, ["peak"]),
    ("SFTTrainer, A100 80 GB", "whole process, as nvidia-smi says"): (A100, ["process"]),
    ("PEFT's benchmark, L40S", "allocated after the step"): (L40S, ["steady"]),
    ("PEFT's benchmark, L40S", "reserved in the step"): (L40S, ["step_reserved"]),
    ("generation, A100 80 GB", "peak allocated"): (GENERATION, ["generate_peak"]),
}
"""Where each line of the README's table comes from."""

RIVALS_ROWS = {
    "T4, peak allocated": (T4, "peak"),
    "T4, peak reserved": (T4, "reserved"),
    "RTX 4080, peak allocated": (RTX, "run_peak"),
    "RTX 4080, peak reserved": (RTX, "run_reserved"),
    "A100, peak allocated": (A100, "peak"),
    "A100, whole process": (A100, "process"),
    "A100, generation, peak allocated": (GENERATION, "generate_peak"),
}


def rows_of(asked):
    """What the simulator says today, as lines of the kept ledger."""
    for question in asked:
        for line in compare(question):
            yield [question.file, question.id, line.figure, str(line.predicted), str(line.measured)]


@pytest.fixture(scope="module")
def kept(request):
    """Predicted and measured bytes of every run there is, by file, run and figure."""
    if request.config.getoption("--update-golden"):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows_of(question for question in questions() if not question.skipped))
        KEPT.write_text(text.getvalue())
    rows = list(csv.DictReader(KEPT.read_text().splitlines()))
    assert list(rows[0]) == COLUMNS
    return {
        (row["file"], row["id"], row["figure"]): (int(row["predicted_bytes"]), int(row["measured_bytes"]))
        for row in rows
    }


@pytest.fixture(scope="module")
def errors(kept):
    """Errors in percent by file and figure, the worst first."""
    found = defaultdict(list)
    for (file, _, figure), (predicted, measured) in kept.items():
        found[file, figure].append(100 * (predicted / measured - 1))
    return {key: sorted(values, key=abs, reverse=True) for key, values in found.items()}


def readme_table(head):
    """The rows below a table's head, as lists of cells."""
    _, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(head)
    lines = rest.lstrip("\n").partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def readme_rows():
    """The README's accuracy by set and figure: how many runs, the mean errors and the worst as they are printed."""
    name = ""
    for said, figure, runs, means, worst in readme_table("| measured runs | figure | runs | mean error | worst |\n"):
        name = said or name
        yield (name, figure), int(runs), means.removesuffix(" %").split(", "), worst.removesuffix(" %").split(", ")


def printed_like(value, said):
    """A value with as many decimals as a printed one has."""
    return f"{value:.{len(said.partition('.')[2])}f}"


def libraries_are_the_pinned_ones():
    pinned = re.findall(r"^([a-z]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return all(version(name).partition("+")[0] == said for name, said in pinned if name in LIBRARIES)


@pytest.mark.slow
@pytest.mark.skipif(not libraries_are_the_pinned_ones(), reason="other libraries than those the ledger was made with")
@pytest.mark.parametrize("file", CHOSEN)
def test_the_ledger_is_what_the_simulator_says_today(file, kept, kept_answers):
    asked = {question.id: question for question in questions(file)}
    found = list(rows_of(asked[name] for name in CHOSEN[file]))
    assert found == [
        [*key, *map(str, both)] for name in CHOSEN[file] for key, both in kept.items() if key[:2] == (file, name)
    ]


def test_the_ledger_has_every_run_and_every_measured_figure(kept):
    asked = [question for question in questions() if not question.skipped]
    measured = {(each.file, each.id, figure.of): figure.measured for each in asked for figure in each.figures}
    assert {key: both[1] for key, both in kept.items()} == measured


def test_the_readme_says_what_the_ledger_says(errors):
    said = {key: (runs, means, worst) for key, runs, means, worst in readme_rows()}
    assert set(said) == set(ROWS)
    for key, (file, figures) in ROWS.items():
        runs, means, worst = said[key]
        found = [errors[file, figure] for figure in figures]
        assert {len(each) for each in found} == {runs}, key
        assert [
            printed_like(sum(map(abs, each)) / runs, text) for each, text in zip(found, means, strict=True)
        ] == means
        assert [printed_like(abs(each[0]), text) for each, text in zip(found, worst, strict=True)] == worst, key


def test_the_readme_says_the_same_beside_other_estimators(errors):
    rows = readme_table("| mean error, worst | runs | Inspector | fitcheck-llm 0.3.1 | canifinetune 0.4.1 |\n")
    assert {row[0] for row in rows} == set(RIVALS_ROWS)
    for name, runs, said, *_ in rows:
        found = errors[RIVALS_ROWS[name]]
        mean, worst = re.fullmatch(r"([\d.]+) %, ([+-]?[\d.]+) %", said).groups()
        assert len(found) == int(runs)
        assert printed_like(sum(map(abs, found)) / len(found), mean) == mean, name
        assert float(printed_like(found[0], worst)) == float(worst), name


def test_the_worst_of_every_line_is_among_the_runs_asked_anew(kept, errors):
    """So that a bound of the README cannot be crossed unseen."""
    for file, figures in ROWS.values():
        for figure in figures:
            worst = errors[file, figure][0]
            (name,) = {
                key[1]
                for key, (predicted, measured) in kept.items()
                if (key[0], key[2]) == (file, figure) and 100 * (predicted / measured - 1) == worst
            }
            assert name in CHOSEN[file], (file, figure, name)


def test_bounds_hold_and_would_not_if_accuracy_halved(errors):
    """What the ledger says its errors are held to: of every figure, mean and worst."""
    for key, found in errors.items():
        bound, mean, worst = BOUNDS[key], sum(map(abs, found)) / len(found) / 100, abs(found[0]) / 100
        assert mean <= bound.mean < 2 * mean, key
        assert worst <= bound.worst < 2 * worst, key
    assert {file for file, _ in BOUNDS} == {*CHOSEN, "preference"}


ALLOCATORS = {
    "2.4.1": (A100, "process", ("230", "232", "238", "240")),
    "2.6": (RTX, "run_reserved", ()),
    "2.7": (L40S, "step_reserved", ()),
    "2.9": (L40S, "step_reserved", ()),
    "2.10": (T4, "reserved", ("47",)),
    "2.14": (T4, "reserved", ("21", "27", "35", "37", "39")),
}
"""Sets by the PyTorch that measured runs of them; all of these runs where none is named."""


def test_the_allocator_is_right_for_every_version_of_pytorch_that_measured(kept):
    page = (ROOT / "docs" / "explanation" / "how-right.md").read_text(encoding="utf-8")
    said = re.findall(r"^\| ([\d.]+) \| .* \| (\d+) \| ([\d.]+) % \| ([\d.]+) % \|$", page, re.MULTILINE)
    assert [row[0] for row in said] == list(ALLOCATORS)
    versions = {(each.file, each.id): each.versions.get("torch", "") for each in questions()}
    for version_of, runs, mean, worst in said:
        file, figure, names = ALLOCATORS[version_of]
        found = {
            key[1]: 100 * abs(predicted / measured - 1)
            for key, (predicted, measured) in kept.items()
            if (key[0], key[2]) == (file, figure)
            and (not names or key[1] in names)
            and versions[file, key[1]].startswith(version_of)
        }
        assert len(found) == int(runs)
        assert (printed_like(sum(found.values()) / len(found), mean), printed_like(max(found.values()), worst)) == (
            mean,
            worst,
        )


def test_to_the_byte(kept):
    exact = {key: both for key, both in kept.items() if key[0] == T4 and key[1] in BYTE_EXACT}
    assert len(exact) == 5 * len(BYTE_EXACT)
    for key, (predicted, measured) in exact.items():
        assert key[2] in RESERVED or predicted == measured, key


def test_reserved_of_16_bit_lora_on_the_t4(kept):
    """Without 4-bit loading the allocator's replay is right: its bound is not that of the mixed line."""
    plain = {question.id for question in questions(T4) if not question.skipped and question.method == "lora"}
    found = [
        abs(predicted / measured - 1)
        for (file, name, figure), (predicted, measured) in kept.items()
        if file == T4 and name in plain and figure == "reserved"
    ]
    assert len(found) == 6
    assert max(found) <= 0.003
    assert sum(found) / len(found) <= 0.001


def test_versions_known_to_differ_are_named_where_they_count():
    named = {question.id: known_differences(question) for question in questions(T4) if not question.skipped}
    touched = {name: {item.library for item in found} for name, found in named.items() if found}
    threads = {name for name, libraries in touched.items() if "transformers" in libraries}
    assert threads == {"40", "42", "50", "51", "53", "54"}
    assert all("#44576" in str(named[name]) for name in threads)
    assert touched["40"] == {"transformers", "peft"}
    # The same libraries on 16-bit weights: nothing of it touches them.
    assert "47" not in touched
    one = next(question for question in questions(T4) if question.id == "40")
    for transformers, there in {"4.57.1": False, "5.0.0": True, "5.3.0": True, "5.4.0": False, "main": False}.items():
        found = known_differences(replace(one, versions={"transformers": transformers}))
        assert bool(found) is there, transformers


def test_what_is_left_out_says_why():
    for question in questions():
        assert bool(question.skipped) != bool(question.settings) or question.skipped
        assert question.source

"""The pages of dry runs and of the ledger as files: the same twice, names escaped, every figure the report's own."""

import csv
import html
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.lesson.film import of_step
from inspector.render.pages import finetune_html, generate_html, validate_html
from inspector.simulate.reports.at_peak import KindLine, LiveTensor, Share
from inspector.simulate.reports.libraries import versions
from inspector.validation.ledger import Ledger, Line
from inspector.validation.ledger_by_set import Bound, differences, record_sets
from inspector.validation.runs import questions

ROOT = Path(__file__).parents[3]
HOSTILE = "</script><img src=x onerror=alert(1)>"
TINY = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256,
    "torch_dtype": "float16", "_name_or_path": HOSTILE,
}  # fmt: skip


@pytest.fixture(scope="module")
def ledger():
    """Every published run with an error of its own: 1 % too much, or too little for the odd ones."""
    asked = questions()
    lines = [
        Line(question, figure.of, figure.measured * (99 if number % 2 else 101) // 100, figure.measured)
        for number, question in enumerate(asked)
        if not question.skipped
        for figure in question.figures
    ]
    return Ledger(tuple(lines), tuple(item for item in asked if item.skipped), {"torch": "2.13.0+cpu"}, 12.5)


@pytest.fixture(scope="module")
def step():
    from inspector.simulate.finetuning import finetune

    return finetune(TINY, method="lora", r=4, target_modules=("q_proj",), seq_len=64, gpu="T4")


def embedded(page):
    return json.loads(re.search(r'<script type="application/json" id="page-data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_ledger_page_has_every_line_and_is_the_same_twice(ledger):
    page = validate_html(ledger)
    assert page == validate_html(ledger)
    assert page.count("<tr data-file=") == len(ledger.lines)
    charts = embedded(page)["charts"]
    drawn = [x for trace in charts["all"]["data"][1:] for x in trace["x"]]
    assert len(drawn) == len(ledger.lines)
    for found in record_sets(ledger):
        assert html.escape(found.title).replace("&#x27;", "&#39;") in page
        for cause in found.causes:
            assert f"({len(cause.runs)} of {len(found.runs)} runs)" in page
        if found.runs:
            assert sum(len(trace["x"]) for trace in charts[found.file]["data"]) == len(found.lines)
    assert page == validate_html(replace(ledger, seconds=99.0)), "how long it took is not on the page"


def test_the_terminal_says_how_many_runs_and_names_no_list(ledger):
    from rich.console import Console

    from inspector.render.validate import text

    for width in (80, 100):
        stream = io.StringIO()
        Console(width=width, file=stream).print(text(ledger))
        said = stream.getvalue()
        assert "padded rows taken as 226 tokens (52 runs)" in said
        assert max(map(len, said.splitlines())) <= width
        assert len(said.splitlines()) < 400


def test_bounds_and_versions():
    from inspector.validation.ledger import Summary

    near = Summary("f", "peak", 3, 0.001, -0.02, "x")
    assert Bound(0.002, 0.02).met(near)
    assert not Bound(0.002, 0.01).met(near)
    assert not Bound(0.0005, 0.02).met(near)
    assert str(Bound(0.00005, 0.035)) == "0.005 %, 3.5 %"
    now = {"torch": "2.13.0+cpu", "peft": "0.21.2"}
    assert differences({"torch": "2.13.0+cu126", "peft": "0.15.0", "trl": "1"}, now) == ("peft 0.15.0, here 0.21.2",)


def test_a_step_s_page_is_the_same_twice_and_says_its_numbers(step):
    page = finetune_html(step)
    assert page == finetune_html(step)
    for nbytes in (step.peak_allocated_bytes, step.peak_reserved_bytes, step.process_bytes):
        assert f"{nbytes / 2**20:,.1f} MiB" in page
    for name in step.settings:
        assert f'<th scope="row">{name.replace("_", " ")}</th>' in page
    traces = {trace["name"]: trace for trace in embedded(page)["charts"]["timeline"]["data"]}
    assert max(traces["allocated"]["y"]) == round(step.peak_allocated_bytes / 2**20, 2)
    assert {line.kind for line in step.timeline_kinds} <= set(traces)


def test_a_step_s_page_has_it_as_a_film(step):
    page = finetune_html(step)
    data, told = embedded(page)["film"], of_step(step)
    assert data["unit"] == {"name": "MiB", "bytes": 2**20, "small": 1}
    assert [sum(moment) for moment in data["step"]["moments"]] == [moment.allocated for moment in told.moments]
    last = [point.allocated for point in step.timeline if point.step == max(at.step for at in step.timeline)]
    assert told.moment("peak").allocated == max(last)
    for moment in told.moments:
        assert f"<b>{moment.allocated / 2**20:,.1f}\N{NO-BREAK SPACE}MiB</b>" in page
    # A run that kept no kinds has none to show.
    assert "data-part" not in finetune_html(replace(step, timeline_kinds=()))


@pytest.mark.browser
def test_the_film_of_a_step_is_moved_by_hand(step, show, tmp_path):
    path = tmp_path / "step.html"
    path.write_text(finetune_html(step), encoding="utf-8")
    browser, told = show(path, width=390, height=844, phone=True), of_step(step)
    peak = told.moment("peak")
    said, highest, sentence = browser.execute_script(
        "const film = document.querySelector('.film'), slider = film.querySelector('.scrub input');"
        "slider.value = arguments[0]; slider.dispatchEvent(new Event('input'));"
        "const first = film.querySelector('.told').textContent;"
        "return [first, [...film.querySelectorAll('.kinds b')].map((b) => b.textContent),"
        " film.querySelector('.frames .now').textContent]",
        peak.part,
    )
    assert said.endswith(f"at its highest {sum(told.highest[peak.part]) / 2**20:,.1f}\N{NO-BREAK SPACE}MiB")
    shown = [
        value for value, line in zip(told.highest[peak.part], zip(*told.ends, strict=True), strict=True) if any(line)
    ]
    assert highest == [f"{value / 2**20:,.1f}" if value else "0" for value in reversed(shown)]
    assert sentence.startswith(f"{peak.allocated / 2**20:,.1f}")
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_names_from_a_config_are_only_text(step):
    bad = replace(
        step,
        modules_at_peak=(Share(HOSTILE, 512),),
        largest_at_peak=(LiveTensor(512, "adapters", HOSTILE, HOSTILE),),
        assumptions=(HOSTILE,),
    )
    page = finetune_html(bad, command=f"inspector simulate finetune '{HOSTILE}'")
    assert step.model == HOSTILE
    assert "<img" not in page.split("<script")[0]
    assert page.count("</script>") == finetune_html(replace(step, model="plain")).count("</script>")


def test_generation_grows_to_the_cache_it_says():
    from inspector.gpus import find_gpu
    from inspector.simulate.generation import simulate_generate

    report = simulate_generate("gpt2", gpu=find_gpu("T4"), prompt_len=40, max_new_tokens=8)
    assert report.growth[0] == (0, 0)
    assert report.growth[-1] == (47, report.cache_bytes)
    assert all(isinstance(line, KindLine) for line in report.timeline_kinds)
    page = generate_html(report)
    assert page == generate_html(report)
    assert sum(embedded(page)["film"]["answer"]["moments"][-1]) == report.timeline[-1].allocated
    assert f"{report.prefill.peak_allocated / 2**20:,.1f} MiB" in page


@pytest.mark.pinned
def test_the_committed_ledger_is_of_the_figures_that_are_kept():
    """No simulation: benchmarks/ledger.py and a few runs of every set hold the figures themselves."""
    with (ROOT / "tests" / "golden" / "ledger.csv").open(encoding="utf-8", newline="") as stream:
        kept = {(row["file"], row["id"], row["figure"]): int(row["predicted_bytes"]) for row in csv.DictReader(stream)}
    asked = questions()
    lines = tuple(
        Line(run, figure.of, kept[run.file, run.id, figure.of], figure.measured, figure.unit)
        for run in asked
        if not run.skipped
        for figure in run.figures
    )
    made = Ledger(lines, tuple(run for run in asked if run.skipped), versions(), 1.0)
    page = validate_html(made)
    assert page == (ROOT / "reports" / "validate.html").read_text(encoding="utf-8"), "stale: run make reports"

"""The deck as a file: what it says, that it is the same twice, and that nobody can put a script in."""

import html
import json
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest

from inspector.cli.main import run
from inspector.lenses.compare import COURSE_CANDIDATES, compare
from inspector.lesson import lesson
from inspector.lesson.measured import LEDGER
from inspector.lesson.parts import described
from inspector.lesson.texts import texts
from inspector.memory_kinds import MemoryKind
from inspector.render import theme
from inspector.render.assets import policy
from inspector.render.charts import CHART_NAMES, chart
from inspector.render.deck import STORIES, deck_html, drawing
from inspector.render.deck.bars import kind_piece, stacked
from inspector.render.deck.slides import MAKERS, told
from inspector.sources.resolve import resolve
from inspector.validation.runs import questions

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
import reports  # noqa: E402

VOID = {"meta", "input", "br", "hr", "img", "link", "wbr"}


class Outline(HTMLParser):
    """The page's slides, its text by slide, its scripts; complains about tags that do not match."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.slides, self.text, self.scripts, self.attributes = [], [], {}, [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag == "section" and "id" in given:
            self.slides.append(given["id"])
        if tag == "script":
            self.scripts.append((given, []))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1][1].append(data)
        elif self.slides:
            self.text[self.slides[-1]] = self.text.get(self.slides[-1], "") + data


def outline(page):
    parsed = Outline()
    parsed.feed(page)
    assert not parsed.open
    return parsed


@pytest.fixture(scope="module")
def llama():
    return lesson(resolve("llama-3.1-8b"), [resolve(model) for model in COURSE_CANDIDATES])


@pytest.fixture(scope="module")
def page(llama):
    return deck_html(llama)


def test_the_four_bars_are_the_course_slide(llama):
    made = chart("sizes", llama)
    assert made.figure.layout.yaxis.title.text == "Size of Weights in MB"
    assert list(made.figure.data[0].text) == ["32,121", "16,061", "9,081", "5,592", "109"]
    assert [name.replace("<br>", " ") for name in made.figure.data[0].x] == [
        "Llama 3.1 8B",
        "as published, 16 bit",
        "quantized to 8 bit",
        "quantized to 4 bit",
        "LoRA adapters r=32",
    ]
    assert [round(value) for value in made.figure.data[0].y] == [32121, 16061, 9081, 5592, 109]


def test_the_waterfall_adds_up(llama):
    bars = chart("waterfall", llama).figure.data[0]
    report = llama.scheme("nf4-dq")
    totals = [value for value, base in zip(bars.x, bars.base, strict=True) if base == 0]
    assert [round(value * 1e9) for value in totals] == [report.naive_bytes, report.footprint_bytes]
    ends = [base + value for value, base in zip(bars.x, bars.base, strict=True)]
    # What is thinner than a line has no bar: the norms' 0.4 MB.
    for end, start in zip(ends[:-1], bars.base[1:], strict=True):
        assert start == 0 or start == pytest.approx(end, abs=0.001)
    assert ends[-1] * 1e9 == pytest.approx(report.tensor_bytes)


def test_every_chart_has_words_and_a_table(llama):
    for name in CHART_NAMES:
        made = chart(name, llama)
        assert len(made.alt) > 40
        assert made.rows
        assert {len(row) for row in made.rows} == {len(made.columns)}


def test_the_story_is_told_in_order(page):
    parsed = outline(page)
    assert parsed.slides == [name for name in STORIES["lora-qlora"] if name in MAKERS]
    assert "70% of the model is MLP; attention is 17%" in parsed.text["model"]
    assert "8,030,261,248 \N{MULTIPLICATION SIGN} 4 bytes (32 bits) = 32,121,044,992 bytes" in parsed.text["model"]
    assert "0-31: 32 x LlamaDecoderLayer" in parsed.text["model"]


def test_every_slide_has_notes_in_four_parts_and_a_drawer(llama):
    for slide in told(llama, texts(), story="lora-qlora"):
        assert slide.notes.say
        assert slide.notes.ask
        assert len(slide.notes.if_asked) == 3
        assert slide.numbers
        assert len(slide.title) <= 54


def test_areas_are_as_large_as_their_parameters(llama):
    run = drawing.usual_run(llama.skeleton)
    made = drawing.layer(run, texts(), width=660, height=390)
    whole = sum(box.width * box.height for box in made.boxes)
    entries = {entry.module.path: entry for entry in run.block.entries}
    parameters = {path: described(entry).parameters for path, entry in entries.items() if entry.tensors}
    for box in made.boxes:
        assert box.width * box.height / whole == pytest.approx(
            parameters[box.path] / sum(parameters.values()), rel=0.02
        )


def test_any_title_is_one_line_and_every_story_is_told(llama):
    for model in ("gpt2", "mixtral-8x7b-v0.1", "qwen2.5-7b"):
        skeleton = resolve(model)
        made = lesson(skeleton, [skeleton, llama.skeleton])
        for language, story in (("en", "lora-qlora"), ("de", "lora-qlora"), ("en", "compare"), ("de", "finetune")):
            slides = told(made, texts(language), story=story)
            assert all(0 < len(slide.title) <= 54 for slide in slides)
            assert slides[-1].name == "trust"
            if made.training is None and story == "lora-qlora":
                assert [slide.name for slide in slides].count("before") == 1


def test_a_handout_has_exercises_with_a_key(tmp_path, capsys):
    assert run(["report", "llama-3.1-8b", "--format", "handout", "-o", str(tmp_path / "handout.html")]) == 0
    page = (tmp_path / "handout.html").read_text(encoding="utf-8")
    asked, answered = (page.split(f"<h2>{part}</h2>")[1] for part in ("Exercises", "Answers"))
    assert asked.split("</section>")[0].count("<li>") == 8
    key = answered.split("<h3>Exercises</h3>")[1].split("</section>")[0]
    assert key.count("<li>") == 8
    # r x (inputs + outputs) of o_proj at r 16, and its 32 layers: what `inspector lora` counts.
    assert "= 131,072; times 32: 4,194,304" in key
    assert "1,024 \N{MULTIPLICATION SIGN} 128,256 \N{MULTIPLICATION SIGN} 4 = 525,336,576" in key
    assert "r = 16 on every linear layer" in page.split("<h2>Questions</h2>")[1].split("</section>")[0]


def test_no_request_and_no_script_but_ours(page):
    parsed = outline(page)
    for tag, name, value in parsed.attributes:
        assert name not in {"src", "srcset", "href", "action", "poster"} or (value or "").startswith("#"), (tag, value)
        assert not name.startswith("on"), (tag, name)
    policies = [value for tag, name, value in parsed.attributes if tag == "meta" and name == "content"]
    run_here = ["".join(text) for given, text in parsed.scripts if given.get("type") != "application/json"]
    assert policy(run_here) in policies
    assert "script-src 'sha256-" in policies[0]
    assert "unsafe" not in policies[0].replace("style-src 'unsafe-inline'", "")
    assert len(page.encode()) < 3_000_000


@pytest.mark.parametrize(
    "model", ["gpt2", "mixtral-8x7b-v0.1", "gemma-2-9b", "gemma-3-4b-it", "qwen3-next-80b-a3b-instruct"]
)
def test_any_language_model_has_a_deck(model):
    skeleton = resolve(model)
    made = lesson(skeleton, [skeleton])
    parsed = outline(deck_html(made))
    assert f"{skeleton.num_parameters:,}" in parsed.text["model"]
    assert f"{made.adapters.trainable_parameters:,}" in parsed.text["sizes"]


def test_names_from_users_are_escaped(tmp_path, capsys):
    evil = "\"><script>alert(1)</script>'&{{7*7}}"
    folder = tmp_path / evil.replace("/", "\N{DIVISION SLASH}")
    folder.mkdir()
    config = json.loads((ROOT / "inspector/data/models/openai-community--gpt2.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config.get("config", config)), encoding="utf-8")
    assert run(["report", str(folder), "-o", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    parsed = outline(page)
    assert len(parsed.scripts) == 4
    assert "alert(1)" in parsed.text["model"]
    assert "<script>alert" not in page


def test_committed_reports_are_what_the_command_writes(tmp_path, capsys):
    for file, (_, models) in reports.DECKS.items():
        assert run(["report", *models, "-o", str(tmp_path / file)]) == 0
        assert capsys.readouterr().out.strip() == str(tmp_path / file)
        assert (tmp_path / file).read_bytes() == (ROOT / "reports" / file).read_bytes(), "stale: run make reports"
    assert reports.index() == (ROOT / "reports" / "index.html").read_text(encoding="utf-8")
    assert {path.name for path in (ROOT / "reports").glob("*.html")} == {*reports.DECKS, reports.LEDGER, "index.html"}


def test_the_committed_ledger_lists_these_runs_and_these_errors():
    """Making it anew takes minutes: its runs and its mean errors are held to those that ship as data."""
    page = (ROOT / "reports" / reports.LEDGER).read_text(encoding="utf-8")
    rows = re.findall(r"peak allocated</td><td>(\d+)</td><td>([\d.]+) %</td>", page)
    for line in json.loads(LEDGER.read_text(encoding="utf-8")):
        errors = [abs(predicted / measured - 1) for predicted, measured in line["pairs"]]
        assert (str(len(errors)), f"{100 * sum(errors) / len(errors):.3f}") in rows, "stale: run make reports"
    for question in questions():
        assert question.skipped or html.escape(question.config) in page, "stale: run make reports"


def test_default_file_and_standard_output(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["report", "gpt2", "--deck", "sizes"]) == 0
    assert capsys.readouterr().out == "reports/gpt2-sizes.html\n"
    assert run(["report", "gpt2", "--deck", "sizes", "-o", "-"]) == 0
    assert capsys.readouterr().out == (tmp_path / "reports/gpt2-sizes.html").read_text(encoding="utf-8")


def test_a_model_without_a_linear_layer_is_one_line(tmp_path, capsys):
    assert run(["report", "no-such-model-at-all", "-o", str(tmp_path / "x.html")]) == 2
    assert not list(tmp_path.iterdir())


def test_base_and_instruct_take_the_same_memory():
    report = compare([resolve("llama-3.1-8b"), resolve("llama-3.1-8b-instruct"), resolve("gpt2")])
    assert report.same == (("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct"),)
    assert report.rows[0].variants == ("meta-llama/Llama-3.1-8B-Instruct",)
    assert list(report.to_frame()["nf4-dq_footprint_bytes"])[:2] == [5591540224] * 2


def test_compare_commands(capsys):
    assert run(["compare", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in told["models"]] == list(COURSE_CANDIDATES)
    assert told["models"][0]["nf4-dq_footprint_bytes"] == 5591540224
    assert run(["compare", "gpt2", "--csv"]) == 0
    assert capsys.readouterr().out.startswith("model,architecture,")


def test_powerpoint_has_native_charts_with_the_same_numbers(tmp_path, capsys):
    pptx = pytest.importorskip("pptx")
    path = tmp_path / "deck.pptx"
    assert run(["report", "llama-3.1-8b", "--format", "pptx", "-o", str(path)]) == 0
    file = pptx.Presentation(str(path))
    charts = [shape.chart for slide in file.slides for shape in slide.shapes if shape.has_chart]
    sizes = next(made for made in charts if made.has_title and "Size of Weights" in made.chart_title.text_frame.text)
    assert [round(value) for value in sizes.plots[0].series[0].values] == [32121, 16061, 9081, 5592, 109]
    runs = [
        text
        for slide in file.slides
        for shape in slide.shapes
        for frame in (
            [cell.text_frame for row in shape.table.rows for cell in row.cells] if shape.has_table
            else [shape.text_frame] if shape.has_text_frame else []
        )
        for paragraph in frame.paragraphs
        for text in paragraph.runs
    ]  # fmt: skip
    assert runs
    assert min(text.font.size.pt for text in runs) >= 18
    with zipfile.ZipFile(path) as parts:
        drawn = {
            name: parts.read(name).decode()
            for name in parts.namelist()
            if re.match(r"ppt/(charts|theme|slides)/[^/]*xml", name)
        }
    # No bar is in PowerPoint's own colours: each series or point has one of ours, and the theme has them too.
    palette = {colour.lstrip("#") for colour in (*theme.KIND_COLOURS.values(), theme.CONSTANTS, theme.LIGHT["paper"])}
    for name, text in drawn.items():
        if "charts" in name:
            assert set(re.findall(r'srgbClr val="(\w+)"', text)) <= palette
            assert "schemeClr" not in text
            for series in re.findall(r"<c:ser>.*?</c:ser>", text, re.DOTALL):
                points = int(re.findall(r'<c:ptCount val="(\d+)"', series)[-1])
                assert "<c:spPr>" in series.partition("<c:dPt>")[0] or series.count("<c:dPt>") == points
    accents = re.findall(r'<a:accent\d><a:srgbClr val="(\w+)"', drawn["ppt/theme/theme1.xml"])
    assert len(accents) == 6
    assert set(accents) <= palette
    # The first bar stands above the second, as on the page.
    assert all("maxMin" in text for name, text in drawn.items() if "charts" in name and 'barDir val="bar"' in text)


@pytest.mark.parametrize("form", ["html", "json", "svg", "png"])
def test_charts_alone(tmp_path, capsys, form):
    path = tmp_path / f"chart.{form}"
    code = run(["chart", "sizes", "--format", form, "-o", str(path)])
    if code:
        assert form in {"svg", "png"}
        told = capsys.readouterr().err
        assert "kaleido" in told
        assert not path.exists()
        return
    data = path.read_bytes()
    starts = {"html": b"<!DOCTYPE html>", "json": b'{"data"', "svg": b"<svg", "png": b"\x89PNG"}
    assert data.startswith(starts[form])
    if form != "png":
        assert b"Size of Weights in MB" in data
        assert b"32,121" in data
    if form == "html":
        assert b'src="http' not in data


def test_unknown_chart_is_one_line(capsys):
    assert run(["chart", "pie"]) == 2
    assert "no chart is named 'pie'" in capsys.readouterr().err


@pytest.mark.slow
def test_shipped_dry_runs_are_what_the_simulator_says_today():
    from inspector.lesson.training import load, make

    kept = load("meta-llama/Llama-3.1-8B")
    made = make("llama-3.1-8b", kept.model, lesson(resolve("llama-3.1-8b")).adapters, cards=["T4"])
    assert made.runs == tuple(run for run in kept.runs if run.card == "T4"), "stale: python scripts/dryruns.py"


@pytest.mark.slow
def test_printout_is_what_the_real_modules_print():
    import bitsandbytes
    import peft
    import torch

    from inspector.lesson.printout import difference

    skeleton = resolve("llama-3.1-8b")
    told = difference(skeleton, frozenset({"model.layers.0.self_attn.k_proj"}), 32)

    class Holder(torch.nn.Module):
        def __init__(self, k_proj):
            super().__init__()
            self.k_proj = k_proj

    def printed(module):
        lines = str(Holder(module) if not isinstance(module, Holder) else module).splitlines()[1:-1]
        return [line.removeprefix("  ") for line in lines]

    with torch.device("meta"):
        loaded = [
            torch.nn.Linear(4096, 1024, bias=False),
            bitsandbytes.nn.Linear8bitLt(4096, 1024, bias=False),
            bitsandbytes.nn.Linear4bit(4096, 1024, bias=False),
        ]
        base = Holder(bitsandbytes.nn.Linear4bit(4096, 1024, bias=False))
        base.is_loaded_in_4bit = True  # as from_pretrained marks a model that bitsandbytes quantized
        wrapped = peft.inject_adapter_in_model(peft.LoraConfig(r=32, target_modules=["k_proj"]), base, "default")
    for module, version in zip((*loaded, wrapped), told.versions, strict=True):
        assert printed(module) == [line for line, _ in version.lines]


def test_a_report_needs_neither_torch_nor_the_network(tmp_path):
    code = (
        "import socket, sys\n"
        "def refuse(*given, **named): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "from inspector.cli.main import run\n"
        f"assert run(['report', '-o', {str(tmp_path / 'x.html')!r}]) == 0\n"
        "assert not {'torch', 'transformers', 'peft', 'bitsandbytes'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_parts_of_one_size_are_all_named_below_their_bar():
    given = [
        kind_piece(kind, 10**9, name) for kind, name in ((MemoryKind.GRADIENTS, "one"), (MemoryKind.ADAPTERS, "two"))
    ]
    (bar,) = stacked([("", given, "2")], texts(), end=100 * 10**9, alt="").bars
    assert bar.below[1] == "one 1.0, two 1.0"

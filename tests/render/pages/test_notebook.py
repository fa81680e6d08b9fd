"""Reports in a notebook: real tables, the page's figures drawn, nothing asked of a network, names only text."""

from __future__ import annotations

import json
import os
import re
import time

import pytest

import inspector
from inspector.cli.main import run
from inspector.gpus import find_gpu
from inspector.render.html_text import COLOURS
from inspector.render.theme import luminance
from tests.measuring_here import MEASURING_HERE

TINY = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128, "dtype": "float16",
}  # fmt: skip
CELLS = ("model.generate(gpu='T4', prompt_len=32, max_new_tokens=4)",)
"""What the lesson's notebook does not show."""
CHARTS = 6
"""Weights' steps twice, the step's timeline, predicted beside measured, the generation's and its cache."""
STEP = {"method": "qlora", "gpu": "T4", "dtype": "float16", "r": 8, "seq_len": 256}
"""The step that the lesson's notebook asks for."""


@pytest.fixture
def model(tmp_path, monkeypatch, kept_answers):
    """The tiny model in a folder; its dry runs are kept already, and a kernel reads them without importing torch."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(TINY))
    monkeypatch.chdir(tmp_path)
    found = inspector.load("tiny")
    found.finetune(method="lora", seq_len=64, gpu="T4")
    found.generate(gpu="T4", prompt_len=32, max_new_tokens=4)
    return found


def without_packed(page):
    return re.sub(r"<style>.*?</style>|<script.*?</script>", "", page, flags=re.DOTALL)


def test_styles_of_the_terminal_are_kept(model):
    page = model.finetune(method="lora", seq_len=64, gpu="T4")._repr_html_()
    assert "<b>whole process</b>" in page
    assert f'<b><span style="color:{COLOURS["green"]}">fits</span></b>' in page


def test_tables_are_tables_with_the_terminals_numbers(model):
    page = without_packed(model.lora(r=[8, 16], target_modules="attention")._repr_html_())
    assert "<pre" not in page
    assert page.count("<table>") == page.count("</table>") == 1
    assert re.findall(r'<th scope="col"[^>]*>(.*?)</th>', page)[:3] == ["targets", "r", "trainable"]
    assert '<td class="number">' in page
    assert page == without_packed(model.lora(r=[8, 16], target_modules="attention")._repr_html_())


def test_every_word_of_the_terminal_is_there(model):
    import html

    from inspector.render.terminal import PIPE_WIDTH, console
    from inspector.reporting import renderer

    for report in (model.layers(), model.memory(), model.finetune(method="lora", seq_len=64, gpu="T4")):
        page = html.unescape(re.sub(r"<.*?>", " ", without_packed(report._repr_html_())))
        screen = console(width=PIPE_WIDTH)
        with screen.capture() as shown:
            screen.print(renderer(report.kind).text(report))
        missing = {word for word in shown.get().split() if word not in page}
        assert not {word for word in missing if any(letter.isdigit() for letter in word)}


def test_one_output_is_small_and_asks_for_nothing(model):
    page = model.finetune(method="lora", seq_len=64, gpu="T4")._repr_html_()
    assert len(page) < 700_000
    assert not re.search(r"(src|href)=", page)


def test_colours_can_be_read():
    assert all(1.05 / (luminance(colour) + 0.05) >= 4.5 for colour in COLOURS.values())


def test_names_are_only_text(tmp_path):
    name = "<script>alert(1)<"
    report = inspector.load("gpt2").memory(bits=8)
    from dataclasses import replace

    page = replace(report, model=name)._repr_html_()
    assert name not in page
    assert "&lt;script&gt;alert(1)&lt;" in page


def test_every_cell_s_plain_text_is_short(model):
    for report in (model.finetune(method="lora", seq_len=64, gpu="T4"), model.generate(gpu="T4", prompt_len=32)):
        assert len(repr(report)) < 20_000, "a notebook keeps it beside the HTML"


def exported(path, cells):
    """The page that nbconvert makes of a written notebook and further cells, all run, and how each cell ended."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient").NotebookClient
    exporter = pytest.importorskip("nbconvert").HTMLExporter
    book = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(book)
    book.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    client(book, timeout=300, kernel_name="python3").execute()
    page, _ = exporter(require_js_url="", mathjax_url="").from_notebook_node(book)
    return book, page


def drawn(browser, count):
    """Wait until so many figures are drawn."""
    deadline = time.monotonic() + 20
    while browser.execute_script("return document.querySelectorAll('[data-inspector=drawn]').length") < count:
        assert time.monotonic() < deadline, browser.get_log("browser")
        time.sleep(0.05)


def silent(browser):
    """Nothing went wrong on the page, and it asked no network."""
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = [found["params"]["request"]["url"] for found in messages if found["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if url.startswith(("http", "ws"))] == []


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_that_was_run_draws_its_figures(model, show, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(inspector.__path__[0].rpartition("/inspector")[:1]))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "here.py").write_text(MEASURING_HERE)
    # Kept, so that the kernel reads it.
    model.finetune(**STEP)
    assert run(["report", "tiny", "--format", "ipynb", "-o", "lesson.ipynb"]) == 0
    book, page = exported(tmp_path / "lesson.ipynb", CELLS)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    shown = ["".join(output.get("text", "") + str(output.get("data")) for output in cell.outputs) for cell in code]
    assert [number for number, cell in enumerate(shown) if "inspector-report" in cell] == [1, 2, 3, 4, 5, 7, 8]
    assert shown[0] == "", "it is installed already"
    assert "There is no GPU here" in shown[6] or "measured on" in shown[6]
    assert "equal to the byte" in shown[7] or "DIFFERS" in shown[7]
    path = tmp_path / "notebook.html"
    # Notebooks have a module loader; a library that offers itself to it is lost to the page.
    loader = "<script>window.define = () => { throw new Error('taken by a module loader'); }; define.amd = {};</script>"
    path.write_text(page.replace("<head>", f"<head>{loader}", 1), encoding="utf-8")
    opened = show(path, width=1100, height=900)
    # All of them: on a busy machine the last are drawn long after the first.
    drawn(
        opened, opened.execute_script("return document.querySelectorAll('.inspector-report:has([data-chart])').length")
    )
    boxes = opened.execute_script("""
        return [...document.querySelectorAll('.inspector-report [data-chart]')].map((place) => [
            place.clientWidth,
            place.clientHeight,
            place.querySelectorAll('.main-svg .scatterlayer path, .main-svg .bars path').length,
        ])
    """)
    assert len(boxes) == CHARTS
    assert all(width > 300 and height > 100 and marks > 0 for width, height, marks in boxes)
    silent(opened)
    sides = opened.execute_script("""
        const cells = ['th[scope=row]', 'td.number'].map((name) => `.inspector-report tbody ${name}`);
        return cells.map((name) => getComputedStyle(document.querySelector(name)).textAlign);
    """)
    assert sides == ["left", "right"], "the notebook's own style of tables does not come first"


@pytest.mark.browser
def test_an_output_put_into_a_page_as_jupyterlab_does(model, show, tmp_path):
    """Set as HTML in a box that is not on the page yet, its scripts made anew; twice, as when a cell is run again."""
    path = tmp_path / "empty.html"
    path.write_text("<!DOCTYPE html><html><head><meta charset='utf-8'></head><body></body></html>")
    opened = show(path)
    put = """
        const box = document.createElement('div');
        box.innerHTML = arguments[0];
        for (const script of box.querySelectorAll('script')) {
            const anew = document.createElement('script');
            for (const each of script.attributes) anew.setAttribute(each.name, each.value);
            anew.textContent = script.textContent;
            script.replaceWith(anew);
        }
        document.body.append(box);
    """
    reports = model.memory(bits=4), model.generate(gpu="T4", prompt_len=32, max_new_tokens=4), model.memory(bits=4)
    for count, report in enumerate(reports, 1):
        opened.execute_script(put, report._repr_html_())
        drawn(opened, count)
    assert opened.execute_script("return document.querySelectorAll('.main-svg').length") >= CHARTS
    widths = (
        "return [...document.querySelectorAll('[data-chart]')].map((p) => p.querySelector('.main-svg').clientWidth)"
    )
    opened.execute_script("document.body.style.width = '600px'")  # a side bar opens: the window stays as it is
    deadline = time.monotonic() + 10
    while max(opened.execute_script(widths)) > 600:
        assert time.monotonic() < deadline, opened.execute_script(widths)
        time.sleep(0.05)
    silent(opened)


def test_the_reports_charts_are_their_pages(model):
    from inspector.render.pages import generate_html

    report = model.generate(gpu="T4", prompt_len=32, max_new_tokens=4)
    assert report.gpu == find_gpu("T4")
    names = re.findall(r'data-chart="(\w+)"', report._repr_html_())
    assert names == re.findall(r'data-chart="(\w+)"', generate_html(report)) == ["timeline", "cache"]

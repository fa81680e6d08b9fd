"""Reports in a notebook: real tables, the page's figures drawn, nothing asked of a network, names only text."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import inspector
from inspector.cli.main import run
from inspector.gpus import find_gpu
from inspector.render.html_text import COLOURS
from inspector.render.measure import charts
from inspector.render.theme import luminance
from inspector.units import MB
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


class Card:
    """Stands in for what torch.cuda says of a T4; ``held`` are its allocator's figures. No measurement."""

    def __init__(self, monkeypatch):
        import torch

        card = find_gpu("T4")
        self.held = dict.fromkeys(("allocated", "reserved", "max_allocated", "max_reserved"), 0)
        properties = SimpleNamespace(
            name="Tesla T4", major=7, minor=5, multi_processor_count=40, total_memory=card.usable_bytes, uuid="none"
        )
        said = {
            "is_available": lambda: True, "device_count": lambda: 1, "get_device_name": lambda *_: "Tesla T4",
            "get_device_properties": lambda _: properties, "synchronize": lambda _: None, "memory_stats": lambda _: {},
            "mem_get_info": lambda _: (card.usable_bytes, card.usable_bytes),
            "memory_allocated": lambda _: self.held["allocated"], "memory_reserved": lambda _: self.held["reserved"],
            "max_memory_allocated": lambda _: self.held["max_allocated"],
            "max_memory_reserved": lambda _: self.held["max_reserved"], "reset_peak_memory_stats": lambda _: None,
        }  # fmt: skip
        for name, answer in said.items():
            monkeypatch.setattr(torch.cuda, name, answer)

    def measures(self, order, _progress=None):
        """What the measuring process says, through the functions that read a card; a block more than is predicted."""
        from inspector.lenses.weights import grouped, weights
        from inspector.measure import machine
        from inspector.measure.predict import predicted_memory
        from inspector.measure.report import lora_bytes, skeleton_of
        from inspector.measure.train import _CudaMeter, _result
        from inspector.precision import scheme_named

        self.order, spec, device = order, order.spec, machine.device_named(order.spec.device)
        said = machine.describe(device)
        made = predicted_memory(order.config, spec, said)
        skeleton, scheme = skeleton_of(spec), scheme_named(spec.scheme)
        kinds = {group.name: group.tensor_bytes for group in grouped(skeleton, scheme, "kind")}
        weighed = weights(skeleton, scheme)

        def now(**held):
            self.held.update({name: value + 512 for name, value in held.items()})
            return machine.cuda_memory(device)

        meter, peaks = _CudaMeter(device), {name: [] for name in ("forward", "backward", "optimizer")}
        for name, found in peaks.items():
            for _ in range(2):
                with meter.stage(name, found):
                    now(max_allocated=made[f"step_{name}_bytes"], max_reserved=made["step_reserved_bytes"])
        now(allocated=made["step_load_bytes"])
        return {
            "status": "measured", "build_seconds": 1.0, "versions": machine.versions(), "device": said,
            "model": {
                "tensor_bytes": weighed.tensor_bytes, "footprint_bytes": weighed.footprint_bytes, "kinds": kinds,
                "storages": 1, "constant_bytes": 0,
            },
            "before": now(),
            "after_build": now(
                max_allocated=made["load_peak_allocated_bytes"], max_reserved=made["load_peak_reserved_bytes"]
            ),
            "steady": now(allocated=made["allocated_bytes"], reserved=made["reserved_bytes"]),
            "lora": {
                "tensor_bytes": lora_bytes(skeleton, spec.lora), "allocated_bytes": made["lora_allocated_bytes"] + 512,
            },
            "step": _result(meter, peaks, made["step_load_bytes"] + 512, 0, 0),
        }  # fmt: skip


def test_the_notebook_s_cells_for_a_gpu_draw_predicted_beside_measured(model, monkeypatch, capsys):
    """Its branch for a GPU on a stand-in for the card's figures: it never ran on a card."""
    card = Card(monkeypatch)
    monkeypatch.setattr("inspector.measure.runner.run_order", card.measures)
    assert run(["report", "tiny", "--format", "ipynb", "-o", "lesson.ipynb"]) == 0
    cells = ["".join(cell["source"]) for cell in json.loads(Path("lesson.ipynb").read_text())["cells"]]
    space = {"inspector": inspector, "model": model}
    for cell in cells:
        if "SEQ_LEN = " in cell:
            exec(cell.partition("\n")[0], space)  # noqa: S102 -- the notebook's own cells
        if "torch.cuda.is_available" in cell or "model.measure(" in cell:
            exec(cell, space)  # noqa: S102
    assert capsys.readouterr().out.splitlines()[-1] == "measured on Tesla T4"
    spec = card.order.spec
    assert (spec.device, spec.scheme, spec.lora.r, spec.step.seq_len, spec.layers) == ("cuda", "nf4-dq", 8, 256, None)
    found = space["measured"]
    told = {each.name: each.difference for each in found.comparisons}
    stages = {"step_forward_bytes", "step_backward_bytes", "step_optimizer_bytes", "step_load_bytes"}
    assert {name: told[name] for name in stages} == dict.fromkeys(stages, 512)
    assert told["allocated_bytes"] == 512
    assert not found.agrees
    assert "Tesla T4" in found._repr_html_()
    (chart,) = charts(found)
    drawn_bars = {trace["name"]: list(trace["x"]) for trace in chart.figure.data}
    assert drawn_bars["predicted"] == [each.predicted / MB for each in found.comparisons]
    assert drawn_bars["measured"] == [each.measured / MB for each in found.comparisons]

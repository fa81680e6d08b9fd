"""The ledger's page in a real browser: drawn, no wider than the window, silent, sorted and filtered."""

import json
import time

import pytest

from inspector.render.pages import validate_html
from inspector.validation.ledger import Ledger, Line
from inspector.validation.runs import questions
from tests.render.conftest import in_scheme

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    asked = questions()
    lines = [
        Line(question, figure.of, figure.measured * (99 if number % 2 else 101) // 100, figure.measured)
        for number, question in enumerate(asked)
        if not question.skipped
        for figure in question.figures
    ]
    ledger = Ledger(tuple(lines), tuple(item for item in asked if item.skipped), {"torch": "2.13.0+cpu"}, 1.0)
    path = tmp_path_factory.mktemp("ledger") / "validate.html"
    path.write_text(validate_html(ledger), encoding="utf-8")
    return path, ledger


def opened(show, path, **window):
    browser = show(path, **window)
    deadline = time.monotonic() + 20
    while browser.execute_script("return document.documentElement.dataset.ready") != "yes":
        assert time.monotonic() < deadline, browser.get_log("browser")
        time.sleep(0.05)
    return browser


@pytest.mark.parametrize(
    ("size", "schemes"), [((1280, 800, False), ("light", "dark")), ((400, 800, True), ("dark", "light"))], ids=str
)
def test_it_fits_the_window_and_asks_for_nothing(show, page, size, schemes):
    """Opened in one colour scheme, then seen in the other."""
    width, height, phone = size
    browser = opened(show, page[0], width=width, height=height, phone=phone, scheme=schemes[0])
    for scheme in schemes:
        in_scheme(browser, scheme)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        charts = browser.execute_script("return document.querySelectorAll('[data-chart]').length")
        assert browser.execute_script("return document.querySelectorAll('.chart .main-svg').length") >= charts >= 2
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = [found["params"]["request"]["url"] for found in messages if found["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if url.startswith(("http", "ws"))] == []


def test_the_ledger_sorts_and_filters(show, page):
    browser = opened(show, page[0])
    column = (
        "return [...document.querySelectorAll('#ledger tbody tr:not([hidden])')].map((r) => +r.cells[4].dataset.value)"
    )
    press = "document.querySelectorAll('#ledger thead button')[4].click()"
    predicted = [line.predicted for line in page[1].lines]
    assert browser.execute_script(column) == predicted
    browser.execute_script(press)
    assert browser.execute_script(column) == sorted(predicted)
    browser.execute_script(press)
    assert browser.execute_script(column) == sorted(predicted, reverse=True)
    browser.execute_script(
        "const list = document.querySelector('select[name=file]'); list.value = 'rtx4080_qlora';"
        "list.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    chosen = [line.predicted for line in page[1].lines if line.question.file == "rtx4080_qlora"]
    assert browser.execute_script(column) == sorted(chosen, reverse=True)
    said = browser.execute_script("return document.querySelector('form.controls output').textContent")
    assert said == f"{len(chosen)} of {len(predicted)} rows"

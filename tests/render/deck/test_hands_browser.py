"""The slides that people touch, touched: what a hand does on the page is what Python says of the same choice."""

import json
import re
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from inspector.lesson import film, what_if
from inspector.lesson.rank_picture import picture
from inspector.lesson.rungs import kept, rungs
from inspector.lesson.texts import texts
from inspector.lora import lora
from inspector.sources.resolve import resolve
from tests.render.deck.test_browser import LOOK, go_to, ready

pytestmark = pytest.mark.browser
MODEL = "meta-llama/Llama-3.1-8B"


@pytest.fixture
def deck(show, decks):
    """The deck of Llama 3.1 8B on a slide, in a window with room, after its question."""
    path = decks("llama-3.1-8b")

    def opened(slide, address=""):
        browser = show(path)
        if address:
            browser.get(f"{path.as_uri()}{address}#{slide}")
        ready(browser)
        # The frames of a question come first.
        go_to(browser, slide, 3 if slide in {"rank", "rungs", "film"} else 0)
        return browser

    return opened


def press(browser, selector):
    browser.execute_script(
        "document.querySelector(arguments[0]).dispatchEvent(new MouseEvent('click', {bubbles: true}))", selector
    )


def text(browser, selector):
    return browser.execute_script("return document.querySelector(arguments[0]).textContent", selector)


def key(browser, selector, name):
    browser.execute_script(
        "const e = document.querySelector(arguments[0]); e.focus();"
        "e.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[1], bubbles: true, cancelable:"
        " true}))", selector, name,
    )  # fmt: skip


def test_what_if_shows_the_run_of_the_chips_and_keeps_them(deck):
    browser, grid = deck("what-if"), what_if.load(MODEL)
    runs = {choice.key: bar for choice, bar in grid.bars.items()}

    def shown():
        bar = runs[chosen()]
        total = browser.execute_script("return document.querySelector('#what-if .sum').textContent")
        assert total == f"{bar.process_bytes / 1e9:.1f}\N{NO-BREAK SPACE}GB"
        sign = {"fits": "✓", "tight": "≈", "does not fit": "✗"}[bar.verdict]
        assert text(browser, "#what-if .verdict").startswith(sign)
        return bar

    def chosen():
        pressed = dict(browser.execute_script(
            "return [...document.querySelectorAll('#what-if [data-chip]')].map((g) =>"
            " [g.dataset.chip, g.querySelector('[aria-pressed=true]')?.dataset.value ?? ''])"
        ))  # fmt: skip
        r, targets = (pressed["r"] or "0"), pressed["targets"]
        return ".".join(
            (
                pressed["method"],
                pressed["card"],
                pressed["tokens"],
                r,
                targets,
                pressed["loss"],
                pressed["checkpointing"],
            )
        )

    first = shown()
    # Each chip that may be pressed has a run, each that has none says so.
    for chip in browser.execute_script(
        "return [...document.querySelectorAll('#what-if .chip')].map((c) =>"
        " [c.parentNode.dataset.chip, c.dataset.value, c.ariaDisabled])"
    ):
        names = dict(
            zip(("method", "card", "tokens", "r", "targets", "loss", "checkpointing"), chosen().split("."), strict=True)
        )
        names[chip[0]] = chip[1]
        if names["method"] == "full":
            names |= {"r": "0", "targets": ""}
        assert (".".join(names.values()) in runs) == (chip[2] != "true"), chip
    press(browser, '#what-if [data-chip="loss"] [data-value="chunked"]')
    assert shown() != first
    # The bar before stays as an outline for one step.
    ghost = browser.execute_script(
        "const g = document.querySelector('#what-if .before'); return [g.style.display, parseFloat(g.style.width)]"
    )
    assert ghost == ["block", pytest.approx(100 * first.process_bytes / 20e9, abs=0.01)]
    press(browser, '#what-if [data-chip="tokens"] [data-value="4096"]')
    press(browser, '#what-if [data-chip="r"] [data-value="128"]')
    key(browser, '#what-if [data-chip="card"] .chip', "ArrowRight")
    assert browser.execute_script("return document.activeElement.dataset.value") == "L4"
    before = shown(), chosen()
    assert "r=128" in browser.current_url
    browser.refresh()
    ready(browser)
    assert (shown(), chosen()) == before
    # What is pressed here is pressed there.
    assert browser.execute_script("return document.querySelector('#choices [data-r=\"128\"]').ariaPressed") == "true"
    press(browser, '#what-if [data-chip="method"] [data-value="full"]')
    assert shown().stage == "optimizer"
    press(browser, '#what-if [data-chip="r"] [data-value="8"]')
    assert chosen().startswith("full.T4.4096.0..")


def test_an_address_prepares_the_chips(deck):
    browser = deck("what-if", "?tokens=512&r=8&checkpointing=off&method=lora")
    assert browser.execute_script(
        "return document.getElementById('what-if').dataset.run"
    ) == "lora,T4,512,8,full,attention,off".replace(",", ".")


def test_the_site_s_link_opens_the_committed_deck_on_what_if(show):
    deck = Path(__file__).parents[3] / "reports" / "Llama-3.1-8B.html"
    for phone, width in ((False, 1280), (True, 390)):
        browser = show(SimpleNamespace(as_uri=lambda: f"{deck.as_uri()}#what-if"), width=width, phone=phone)
        ready(browser)
        seen = "return document.elementFromPoint(arguments[0], 300).closest('section[id]').id"
        assert browser.execute_script(seen, width // 2) == "what-if"


def test_the_three_choices_count_as_peft_does(deck):
    browser, rows = deck("choices"), lora(resolve(MODEL)).rows

    def parameters():
        return int(browser.execute_script("return document.getElementById('choices').dataset.parameters"))

    def row(targets, r):
        return next(row.trainable_parameters for row in rows if (row.target_set, row.r) == (targets, r))

    assert parameters() == row("attention", 32)
    press(browser, '#choices [data-r="8"]')
    assert parameters() == row("attention", 8)
    for name in ("gate", "up", "down"):
        key(browser, f'#choices [data-target="mlp.{name}_proj"]', " ")
    assert parameters() == row("all-linear", 8)
    assert "targets=all-linear" in browser.current_url
    assert (
        browser.execute_script("return document.querySelector('#what-if [data-value=all-linear]').ariaPressed")
        == "true"
    )
    before = text(browser, "#choices .whole")
    press(browser, '#choices [data-factor="4"]')
    assert text(browser, "#choices .whole") == before
    # Strips are as large, beside their boxes, as their parameters are beside the matrix.
    strip, box = browser.execute_script(
        "return ['strip', 'target'].map((n) => document.querySelector(`#choices"
        ' [data-${n}="mlp.up_proj"]`).width.baseVal.value)'
    )
    assert strip / box == pytest.approx(8 * (4096 + 14336) / (4096 * 14336), rel=0.02)


def test_bars_follow_the_adapters_that_slides_share(deck):
    """On every slide that has them; what no run has leaves the bars as they are, and each is whole to look at."""
    browser, grid, rows = deck("methods", "?r=8&targets=all-linear"), what_if.load(MODEL), lora(resolve(MODEL)).rows

    def alive(r, targets):
        named = [("full", 0, ""), ("lora", r, targets), ("qlora", r, targets)]
        bars = [grid.bars[what_if.Choice(m, "A100-80GB", 2048, rank, on, "full", True)] for m, rank, on in named]
        return [f"{sum(n for _, n in bar.alive) / 1e9:.1f}\N{NO-BREAK SPACE}GB" for bar in bars]

    def shown():
        return browser.execute_script(
            "return [...document.querySelectorAll('#methods [data-follow]:not([hidden]) .sum')].map((e) =>"
            " e.textContent)"
        )

    def adapters():
        return browser.execute_script(
            "const c = document.querySelector('#sizes .chart'), [b] = c.data;"
            "return [b.y.at(-1), b.text.at(-1), c.getAttribute('aria-label').split('; ').at(-1).split(' ').at(-1)]"
        )

    def whole(slide):
        # A question stands before its slide.
        go_to(browser, slide, 4 if slide == "sizes" else 0)
        return browser.execute_script(f"return (function () {{ {LOOK} }})(arguments[0], arguments[1])", f"#{slide}", 24)

    assert shown() == alive(8, "all-linear")
    for targets, r in product(("attention", "all-linear"), (128, 32, 8)):
        press(browser, f'#what-if [data-chip="targets"] [data-value="{targets}"]')
        press(browser, f'#what-if [data-chip="r"] [data-value="{r}"]')
        assert shown() == alive(r, targets)
        assert f"r = {r}, {texts().target(targets)}" in text(browser, "#methods .fact:not([hidden])")
        if r != 128:
            nbytes = next(row.weight_bytes for row in rows if (row.target_set, row.r) == (targets, r))
            assert adapters() == [nbytes / 1e6, *2 * [f"{nbytes / 1e6:,.{nbytes < 1e8:d}f}"]]
        if (r, targets) == (128, "all-linear"):
            # The longest labels of all.
            assert whole("methods") + whole("sizes") == []
    # Sixteen is no rank of a run, and the weights of such adapters are known.
    press(browser, '#choices [data-r="16"]')
    assert shown() == alive(8, "all-linear")
    assert adapters()[1] == "168"
    press(browser, '#choices [data-target="mlp.up_proj"]')
    assert (shown(), adapters()[1]) == (alive(8, "all-linear"), "168")


@pytest.mark.parametrize("scheme", ["nf4", "int4", "fp4"])
def test_the_rungs_on_the_page_are_those_of_python(deck, scheme):
    browser, found = deck("rungs"), rungs()
    levels, block = found.of(scheme), found.block

    def row(number):
        cells = browser.execute_script(
            "return [...document.querySelectorAll('#rungs tbody tr')[arguments[0]].children].map((c) => c.textContent)",
            number,
        )
        return [
            float(cell.replace("\N{MINUS SIGN}", "-")) if number != 3 else cell for number, cell in enumerate(cells)
        ]

    def expected(weight, scale):
        one = kept(weight, scale, levels)
        return [
            round(one.weight, 4),
            round(one.divided, 3),
            round(one.rung, 3),
            one.bits,
            round(one.back, 4),
            round(one.error, 4),
        ]

    covered = browser.execute_script("return document.querySelectorAll('#rungs .covered').length")
    assert covered == 5 * 4
    browser.execute_script("Reveal.next()")
    assert browser.execute_script("return document.querySelectorAll('#rungs .covered').length") == covered - 4
    press(browser, f'#rungs [data-scheme="{scheme}"]')
    for number, weight in enumerate(block.in_the_hand):
        assert row(number) == pytest.approx(expected(weight, block.scale), abs=1e-9)
    key(browser, "#rungs .dot", "ArrowLeft")
    moved = row(0)
    assert moved[1] == pytest.approx(round(block.in_the_hand[0] / block.scale - 0.02, 3))
    assert moved == pytest.approx(
        expected((block.in_the_hand[0] / block.scale - 0.02) * block.scale, block.scale), abs=1e-9
    )
    press(browser, "#rungs [data-outlier]")
    rest = [weight for weight in block.in_the_hand if weight != block.scale]
    crowded = {kept(weight, 5 * block.scale, levels).rung for weight in rest}
    assert browser.execute_script("return document.getElementById('rungs').dataset.used") == str(len(crowded))
    press(browser, "#rungs [data-outlier]")
    press(browser, "#rungs [data-twice]")
    assert row(0)[4] == round(kept(block.in_the_hand[0], block.scale_twice, levels).back, 4)


def test_levels_and_rank_follow_their_sliders(deck):
    browser, errors = deck("levels"), rungs().errors
    slide = (
        "const i = document.querySelector(arguments[0]); i.value = arguments[1];"
        "i.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    for at, size in enumerate(errors.sizes):
        browser.execute_script(slide, "#levels .block input", at)
        said = text(browser, "#levels .told").replace(",", "")
        assert [float(found) for found in re.findall(r"([\d.]+)%", said)] == [
            round(100 * errors.of(scheme, size), 1) for scheme in ("nf4", "int4", "fp4")
        ]
    for r in (1, 5, 16):
        browser.execute_script(slide, "#rank .scrub input", r)
        drawn = browser.execute_script(
            "return [...document.querySelectorAll('#rank .rebuilt rect:not(.paper)')].map((c) =>"
            " Number(c.getAttribute('fill-opacity')))"
        )
        wanted = [min(max(value, 0), 1) for row in picture().rebuilt(r) for value in row]
        assert drawn == pytest.approx(wanted, abs=0.006)
        assert f"{32 * r} of 256" in text(browser, "#rank .kept")


def test_the_film_goes_from_moment_to_moment_and_may_be_cut(deck):
    browser, told = deck("film"), film.load(MODEL)
    for moment in told.moments:
        place = float(
            browser.execute_script("return document.querySelector('#film .chosen .marker').getAttribute('x1')")
        )
        assert place == (moment.part + 0.5) * 8
        said = text(browser, "#film ol.chosen .now")
        assert said.startswith(f"{moment.allocated / 1e9:.1f}\N{NO-BREAK SPACE}GB")
        assert text(browser, "#film .told").endswith(said)
        browser.execute_script("Reveal.next()")
    browser.execute_script("Reveal.prev()")
    browser.execute_script("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'c', bubbles: true}))")
    assert browser.execute_script(
        "return document.querySelector('#film .chosen .areas').getAttribute('transform')"
    ).startswith("scale(1 ")
    at = next(moment.part for moment in told.moments if moment.name == "peak")
    slide = (
        "const i = document.querySelector('#film .scrub input'); i.value = arguments[0];"
        "i.dispatchEvent(new Event('input'))"
    )
    browser.execute_script(slide, at)
    assert f"at its highest {sum(told.highest[at]) / 1e9:.1f}" in text(browser, "#film .told")
    press(browser, '#film [data-reel="answer"]')
    assert "1 / 7" in text(browser, "#film .told")


def test_paper_has_small_multiples_and_nothing_to_press(deck):
    browser = deck("what-if")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = browser.execute_script(
        "return Object.fromEntries(arguments[0].map((s) => [s,"
        " [...document.querySelectorAll(s)].filter((e) => e.getClientRects().length).length]))",
        [
            "#what-if .chip", "#what-if .printed-bars .stack", "#film .printed-frames figure", "#film .chip",
            "#rank .printed-ranks figure", "#rungs .chip", "#rank .scrub input",
        ],
    )  # fmt: skip
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert shown == {
        "#what-if .chip": 0, "#what-if .printed-bars .stack": 4, "#film .printed-frames figure": 7, "#film .chip": 0,
        "#rank .printed-ranks figure": 5, "#rungs .chip": 0, "#rank .scrub input": 0,
    }, json.dumps(shown)  # fmt: skip

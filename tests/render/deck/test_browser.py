"""The deck in a real browser: every slide walked and looked at, without a network."""

import base64
import json
import re
import time
from pathlib import Path

import pytest

from inspector.cli.main import run
from tests.render.deck.conftest import in_scheme

HERE = Path(__file__).parent
ARTIFACTS = HERE.parent.parent / "artifacts" / "deck"
LOOK = (HERE / "look.js").read_text(encoding="utf-8")
WALK = f"""
    const [smallest, done] = arguments;
    const look = function () {{ {LOOK} }};
    const drawn = () => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    const walk = async () => {{
        const seen = [], complaints = {{}};
        while (true) {{
            const current = Reveal.getCurrentSlide().id;
            seen.push(current);
            await drawn();
            const found = look(`#${{current}}`, smallest);
            if (found.length) complaints[current] = found;
            if (Reveal.isLastSlide()) return [seen, complaints];
            Reveal.next();
        }}
    }};
    walk().then(done, (error) => done(String(error)));
"""
"""From the first slide to the last, each looked at once it is drawn: the slides seen, and what there is to complain."""
AXE = (HERE / "vendor" / "axe.min.js").read_text(encoding="utf-8")
SMALLEST = 24  # 18 pt

DECKS = [
    ("llama-3.1-8b",),
    ("llama-3.1-8b", "qwen2.5-7b", "gemma-2-9b", "phi-3-medium-4k-instruct"),
    ("gpt2",),
    ("mixtral-8x7b-v0.1",),
    ("gemma-3-4b-it",),
    ("qwen3-next-80b-a3b-instruct",),
    ("pythia-1.4b", "--deck", "sizes"),
    ("llama-3.1-8b", "--deck", "finetune"),
]

pytestmark = pytest.mark.browser


def ready(browser):
    deadline = time.monotonic() + 20
    while browser.execute_script("return document.documentElement.dataset.ready") != "yes":
        assert time.monotonic() < deadline, browser.get_log("browser")
        time.sleep(0.05)


def slides(browser):
    return browser.execute_script("return [...document.querySelectorAll('.slides section[id]')].map((s) => s.id)")


def settle(browser):
    """Two frames: Reveal and plotly have drawn."""
    browser.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));")


def go_to(browser, slide):
    browser.execute_script(
        "Reveal.slide(...Object.values(Reveal.getIndices(document.getElementById(arguments[0]))))", slide
    )
    settle(browser)
    assert browser.execute_script("return Reveal.getCurrentSlide().id") == slide


def requests(browser):
    """Addresses asked for since the page was opened, the page itself aside."""
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = [found["params"]["request"]["url"] for found in messages if found["method"] == "Network.requestWillBeSent"]
    return [
        url for url in asked if not url.startswith(("data:", "about:")) and url != browser.current_url.split("#")[0]
    ]


def serious(browser, tags=()):
    """Serious and critical findings of axe-core on what is shown, by all its rules or those of some tags."""
    if not browser.execute_script("return 'axe' in window"):
        browser.execute_script(AXE)
    found = browser.execute_async_script(
        "const [tags, done] = arguments;"
        "const rules = tags.length ? {runOnly: {type: 'tag', values: tags}} : {};"
        # Nothing is loaded ahead: what would be lies in the page.
        "axe.run(document, {resultTypes: ['violations'], preload: false, ...rules})"
        ".then((r) => done(r.violations), (e) => done(String(e)));",
        list(tags),
    )
    assert isinstance(found, list), found
    return [
        f"{item['id']}: {item['nodes'][0]['html'][:120]} {item['nodes'][0]['failureSummary'][:200]}"
        for item in found
        if item["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("arguments", DECKS, ids=" ".join)
def test_every_slide_is_whole_and_readable(show, decks, arguments):
    browser = show(decks(*arguments))
    ready(browser)
    ids, walked = slides(browser), browser.execute_async_script(WALK, SMALLEST)
    assert isinstance(walked, list), walked
    seen, complaints = walked
    folder = ARTIFACTS / re.sub(r"\W+", "-", " ".join(arguments))
    for slide in complaints:  # to be looked at
        folder.mkdir(parents=True, exist_ok=True)
        go_to(browser, slide)
        browser.save_screenshot(str(folder / f"{slide}.png"))
    assert not complaints, json.dumps(complaints, indent=1)
    assert seen == ids
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert requests(browser) == []


def test_the_policy_stops_other_scripts(show, decks):
    browser = show(decks("gpt2"))
    ready(browser)
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.stranger = 1'; document.body.append(s);"
        "const i = document.createElement('img'); i.src = 'https://example.org/x.png'; document.body.append(i);"
        "document.body.insertAdjacentHTML('beforeend', '<b onclick=\"window.stranger = 2\" id=\"trap\">x</b>');"
        "document.getElementById('trap').click();"
    )
    time.sleep(0.2)
    assert browser.execute_script("return window.stranger") is None
    blocked = [
        entry["message"] for entry in browser.get_log("browser") if "Content Security Policy" in entry["message"]
    ]
    assert len(blocked) >= 3


@pytest.mark.parametrize("model", ["llama-3.1-8b", "gpt2", "qwen3-next-80b-a3b-instruct"])
def test_sliders_say_what_inspector_lora_says(show, decks, model, capsys):
    browser = show(decks(model))
    ready(browser)
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('input[name=target]')].map((box) => [box.value, box.dataset.parameter])"
    )
    capsys.readouterr()
    for power, chosen in ((0, boxes[:1]), (3, boxes[1:3]), (5, boxes), (8, boxes[-1:])):
        browser.execute_script(
            "const [power, on] = arguments, rank = document.getElementById('rank');"
            "for (const box of document.querySelectorAll('input[name=target]')) box.checked = on.includes(box.value);"
            "rank.value = power; rank.dispatchEvent(new Event('input', {bubbles: true}));",
            power,
            [name for name, _ in chosen],
        )
        shown = {
            name: browser.execute_script("return document.getElementById(arguments[0]).textContent", f"lora-{name}")
            for name in ("parameters", "mb", "alpha", "share")
        }
        modules = [name for name, parameter in chosen if not parameter]
        parameters = [name for name, parameter in chosen if parameter]
        command = ["lora", model, "--r", str(2**power), "--json"]
        command += ["--target-modules", ",".join(modules)] if modules else []
        command += ["--target-parameters", ",".join(parameters)] if parameters else []
        assert run(command) == 0
        row = json.loads(capsys.readouterr().out)["rows"][0]
        assert shown["parameters"] == f"{row['trainable_parameters']:,}"
        assert shown["mb"] == f"{4 * row['trainable_parameters'] / 1e6:,.1f}"
        assert shown["alpha"] == f"{2 ** (power + 1):,}"


def test_keys_move_notes_theme_and_overview(show, decks):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser = show(decks("llama-3.1-8b"))
    ready(browser)
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.ARROW_RIGHT)
    assert browser.execute_script("return Reveal.getCurrentSlide().id") == "steps"
    body.send_keys("n")
    notes = browser.find_element(By.CSS_SELECTOR, ".speaker").text
    assert "4,096 \N{MULTIPLICATION SIGN} 4,096 = 16,777,216" in notes
    body.send_keys("n")
    before = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    body.send_keys("t")
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") != before
    body.send_keys("o")
    assert browser.execute_script("return Reveal.isOverview()")
    body.send_keys("o")
    # Arrow keys on the slider move the slider, not the deck.
    body.send_keys(Keys.ARROW_RIGHT)
    rank = browser.find_element(By.ID, "rank")
    rank.send_keys(Keys.ARROW_LEFT)
    assert browser.execute_script("return Reveal.getCurrentSlide().id") == "hyper"
    assert browser.find_element(By.ID, "rank-value").text == "16"
    assert browser.find_element(By.ID, "lora-parameters").text == "13,631,488"


@pytest.mark.parametrize("arguments", DECKS[:2], ids=" ".join)
def test_print_is_one_slide_a_page(show, decks, arguments):
    browser = show(decks(*arguments))
    ready(browser)
    made = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    pdf = base64.b64decode(made["data"])
    folder = ARTIFACTS / re.sub(r"\W+", "-", " ".join(arguments))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "print.pdf").write_bytes(pdf)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == len(slides(browser))
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox\s*\[([^\]]*)\]", pdf)}
    assert boxes == {(0, 0, 960, 540)}  # 1280 x 720 px at 96 to the inch, in points
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    cut = browser.execute_script(
        "return [...document.querySelectorAll('.slides section[id], .slides .scroll')]"
        ".filter((e) => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)"
        ".map((e) => `${e.closest('section').id} ${e.scrollWidth} ${e.scrollHeight}`)"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert not cut


def test_axe_finds_nothing_serious(show, decks):
    """All rules in the light; in the dark those of colours, for nothing else of the page is another then."""
    browser = show(decks("llama-3.1-8b"))
    ready(browser)
    found, pages, papers = {}, [], []
    for scheme, rules in (("light", ()), ("dark", ("cat.color",))):
        in_scheme(browser, scheme)
        for slide in slides(browser):
            go_to(browser, slide)
            if problems := serious(browser, rules):
                found[scheme, slide] = problems
        pages.append(browser.execute_script("return document.documentElement.outerHTML"))
        papers.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert not found, found
    assert pages[0] == pages[1]
    assert papers[0] != papers[1]


@pytest.mark.parametrize("size", [(390, 844), (844, 390), (320, 640)], ids=str)
def test_a_phone_gets_a_page_to_read(show, decks, size):
    browser = show(decks("llama-3.1-8b"), width=size[0], height=size[1], phone=True)
    deadline = time.monotonic() + 20
    while browser.execute_script("return document.querySelectorAll('.chart .main-svg').length") < 5:
        assert time.monotonic() < deadline, browser.get_log("browser")
        time.sleep(0.05)
    settle(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    assert browser.execute_script("return !document.querySelector('.slides section[hidden]')")
    smallest = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('.slides p, .slides td, .slides th, .slides li')]"
        ".filter((e) => e.offsetParent).map((e) => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 13
    assert serious(browser) == []


def test_without_scripts_it_is_a_page_with_every_slide(show, decks):
    path = decks("llama-3.1-8b")
    browser = show(path)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(path.as_uri())
        text = browser.execute_cdp_cmd("DOMSnapshot.captureSnapshot", {"computedStyles": ["display"]})
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    shown = {text["strings"][index] for index in text["documents"][0]["layout"]["text"] if index >= 0}
    assert any("There are two matrices" in line for line in shown)
    assert any("How these numbers were made" in line for line in shown)

"""The deck in a real browser: every slide walked and looked at, without a network."""

import base64
import json
import re
import time
from pathlib import Path

import pytest

from tests.render.conftest import in_scheme

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
            const current = Reveal.getCurrentSlide();
            if (seen.at(-1) !== current.id) seen.push(current.id);
            await drawn();
            const found = look(`#${{current.id}}`, smallest);
            const frame = current.querySelectorAll(".frame.visible").length;
            if (found.length) complaints[`${{current.id}} ${{frame}}`] = found;
            if (Reveal.isLastSlide() && frame === Number(current.dataset.frames)) return [seen, complaints];
            document.dispatchEvent(new KeyboardEvent("keydown", {{ keyCode: 39, key: "ArrowRight", bubbles: true }}));
        }}
    }};
    walk().then(done, (error) => done(String(error)));
"""
"""Right from the first slide to the last, every frame looked at: the slides seen, and what there is to complain."""
AXE = (HERE / "vendor" / "axe.min.js").read_text(encoding="utf-8")
SMALLEST = 24  # 18 pt

DECKS = [
    (("llama-3.1-8b",), (1280, 720)),
    # The longest words, on a stage that shrinks.
    (("llama-3.1-8b", "--lang", "de"), (1024, 768)),
    (("llama-3.1-8b", "qwen2.5-7b", "gemma-2-9b", "phi-3-medium-4k-instruct"), (1280, 720)),
    (("gpt2",), (1280, 720)),
    (("gemma-3-4b-it",), (1280, 720)),
    (("qwen3-next-80b-a3b-instruct", "--deck", "sizes"), (1280, 720)),
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


def go_to(browser, slide, frame=-1):
    """To a slide, at its last frame or at one of its frames."""
    browser.execute_script(
        "const at = [...document.querySelectorAll('.slides > section')].findIndex((s) => s.id === arguments[0]);"
        "const section = document.getElementById(arguments[0]);"
        "Reveal.slide(at, 0, arguments[1] < 0 ? Number(section.dataset.frames) - 1 : arguments[1] - 1);",
        slide,
        frame,
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


def serious(browser, tags=(), *, alone=False):
    """Serious and critical findings of axe-core on what is shown, by all its rules or those of some tags.

    ``alone`` takes the other slides off the page meanwhile. They are hidden, so nothing is found on them, and axe-core
    would walk through their thousands of elements for every rule.
    """
    if not browser.execute_script("return 'axe' in window"):
        browser.execute_script(AXE)
    found = browser.execute_async_script(
        "const [tags, alone, done] = arguments, current = Reveal.getCurrentSlide?.(), away = [];"
        "for (const slide of alone ? document.querySelectorAll('.slides > section') : []) {"
        "  if (slide === current) continue;"
        "  const place = document.createComment('');"
        "  slide.replaceWith(place);"
        "  away.push([place, slide]);"
        "}"
        "const rules = tags.length ? {runOnly: {type: 'tag', values: tags}} : {};"
        # Nothing is loaded ahead: what would be lies in the page.
        "axe.run(document, {resultTypes: ['violations'], preload: false, ...rules})"
        ".finally(() => { for (const [place, slide] of away) place.replaceWith(slide); })"
        ".then((r) => done(r.violations), (e) => done(String(e)));",
        list(tags),
        alone,
    )
    assert isinstance(found, list), found
    return [
        f"{item['id']}: {item['nodes'][0]['html'][:120]} {item['nodes'][0]['failureSummary'][:200]}"
        for item in found
        if item["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize(("arguments", "size"), DECKS, ids=str)
def test_right_visits_every_slide_and_each_is_whole(show, decks, arguments, size):
    browser = show(decks(*arguments), width=size[0], height=size[1])
    ready(browser)
    # Letters shrink with the stage.
    smallest = SMALLEST * min(size[0] / 1280, size[1] / 720)
    ids, walked = slides(browser), browser.execute_async_script(WALK, min(smallest, SMALLEST))
    assert isinstance(walked, list), walked
    seen, complaints = walked
    folder = ARTIFACTS / re.sub(r"\W+", "-", " ".join(arguments))
    for place in complaints:  # to be looked at
        folder.mkdir(parents=True, exist_ok=True)
        slide, frame = place.split()
        go_to(browser, slide, int(frame))
        browser.save_screenshot(str(folder / f"{slide}-{frame}.png"))
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


def test_arrows_work_after_a_click_on_every_control(show, decks):
    """A button that was clicked keeps no key: Right goes on from there."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser = show(decks("llama-3.1-8b"))
    ready(browser)
    controls = "button, .option, summary, rect.box, .track, input[type=checkbox]"
    # The last has nowhere to go.
    for slide in slides(browser)[:-1]:
        go_to(browser, slide, 0)
        found = browser.find_elements(By.CSS_SELECTOR, f"#{slide} :is({controls})")
        # From the last on: to ask each of hundreds takes seconds.
        control = next((one for one in reversed(found) if one.is_displayed()), None)
        if control is None:
            continue
        ActionChains(browser, duration=0).move_to_element(control).click().perform()
        settle(browser)
        before = browser.execute_script("return JSON.stringify(Reveal.getIndices())")
        browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
        assert browser.execute_script("return JSON.stringify(Reveal.getIndices())") != before, slide


def test_keys_open_notes_drawer_overview_help_and_the_speakers_window(show, decks):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser = show(decks("llama-3.1-8b"))
    ready(browser)
    body = browser.find_element(By.TAG_NAME, "body")
    go_to(browser, "model")
    body.send_keys("n")
    assert "8,030,261,248 \N{MULTIPLICATION SIGN} 4 bytes" in browser.find_element(By.CSS_SELECTOR, ".speaker").text
    body.send_keys("n")
    before = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    body.send_keys("t")
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") != before
    body.send_keys("d")
    panel = browser.find_element(By.CSS_SELECTOR, "#model .drawer .panel")
    assert panel.is_displayed()
    assert panel.size["width"] <= 0.4 * 1280
    assert panel.location["y"] >= 84
    body.send_keys("d")
    body.send_keys("?")
    assert browser.find_element(By.CSS_SELECTOR, "dialog.help").is_displayed()
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    body.send_keys("o")
    links = browser.find_elements(By.CSS_SELECTOR, "nav.contents a")
    assert [link.is_displayed() for link in links] == [True] * len(slides(browser))
    assert len({link.location["x"] for link in links}) == 5
    links[-1].click()
    assert browser.execute_script("return Reveal.getCurrentSlide().id") == "trust"
    go_to(browser, "waterfall")
    settle(browser)
    said, alt = browser.execute_script(
        "return [document.querySelector('.announcement').textContent,"
        " document.querySelector('#waterfall .chart').getAttribute('aria-label')]"
    )
    title = "The vocabulary stays in 16 bits: that is 1.6\N{NO-BREAK SPACE}GB"
    assert said == f"{title}. 86.9% of the parameters are quantized W. {alt}"
    # Reveal's own says the whole slide with its drawer, at some time: nobody is told of it.
    status = "const status = document.querySelector('.aria-status');"
    own_status = f"{status} return ['aria-live', 'aria-hidden'].map((name) => status.getAttribute(name))"
    assert browser.execute_script(own_status) == ["off", "true"]
    assert browser.execute_script("return document.querySelectorAll('h1').length") == 1
    assert browser.execute_script(
        "return [...document.querySelectorAll('.slides > section')]"
        ".every((s) => document.getElementById(s.getAttribute('aria-labelledby')).closest('section') === s)"
    )
    own = browser.current_window_handle
    body.send_keys("s")
    (other,) = set(browser.window_handles) - {own}
    browser.switch_to.window(other)
    told = browser.find_element(By.TAG_NAME, "body").text
    assert "The vocabulary stays in 16 bits" in told
    assert "In code, each change is one line" in told
    assert "IF ASKED" in told
    browser.close()
    browser.switch_to.window(own)


def test_a_question_is_asked_voted_on_and_answered(show, decks):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser = show(decks("llama-3.1-8b"))
    ready(browser)
    go_to(browser, "sizes", 0)
    body = browser.find_element(By.TAG_NAME, "body")
    title, number = (browser.find_element(By.CSS_SELECTOR, f"#sizes {part}") for part in ("h2", ".quiz .why"))
    assert not title.is_displayed()
    body.send_keys("1", "1", "3", Keys.ARROW_RIGHT)
    assert browser.find_element(By.CSS_SELECTOR, "#sizes .neighbour").is_displayed()
    body.send_keys("3")
    votes = browser.execute_script(
        "return [...document.querySelectorAll('#sizes .votes')].map((v) => v.innerText.split(/\\s+/).filter(Boolean))"
    )
    assert votes == [["2"], [], ["1", "1"], []]
    assert not number.is_displayed()
    body.send_keys(Keys.ARROW_RIGHT)
    assert number.is_displayed()
    body.send_keys(Keys.ARROW_RIGHT)
    assert title.is_displayed()
    assert "5.6" in title.text


@pytest.mark.parametrize("arguments", [("llama-3.1-8b",)], ids=" ".join)
def test_print_is_one_slide_a_page_with_questions_unanswered(show, decks, arguments):
    browser = show(decks(*arguments))
    ready(browser)
    made = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    pdf = base64.b64decode(made["data"])
    asked = browser.execute_script("return document.querySelectorAll('section:not([data-only-quiz]) .quiz').length")
    # A question is a page before its slide; the last page has all answers.
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == len(slides(browser)) + asked + 1
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox\s*\[([^\]]*)\]", pdf)}
    assert boxes == {(0, 0, 960, 540)}  # 1280 x 720 px at 96 to the inch, in points
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    told = browser.execute_script(
        "const cut = [...document.querySelectorAll('.face, .quiz, .answers')].filter((e) => e.offsetParent"
        " && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1))"
        ".map((e) => `${e.closest('section')?.id} ${e.scrollWidth} ${e.scrollHeight}`);"
        "const answered = [...document.querySelectorAll('.quiz .number, .quiz .why')].filter((e) => e.offsetParent);"
        "return [cut, answered.length, document.querySelector('.answers').offsetParent !== null]"
    )
    complaints = browser.execute_script(f"""
        const look = function () {{ {LOOK} }};
        return [...document.querySelectorAll(".slides section[id]")].flatMap((s) =>
            look(`#${{s.id}}`, 17.9, true).map((said) => `${{s.id}}: ${{said}}`));
    """)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert told == [[], 0, True]
    assert complaints == []


def test_paper_is_the_same_from_a_small_window(show, decks):
    """A window of 700 px has the page of a phone; what is printed from it are slides all the same."""
    browser = show(decks("llama-3.1-8b"), width=700, height=600)
    assert not browser.execute_script("return document.documentElement.classList.contains('deck')")
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    cut = browser.execute_script(
        "return [...document.querySelectorAll('.face, .quiz, .answers')].filter((e) => e.offsetParent"
        " && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1))"
        ".map((e) => `${e.closest('section')?.id} ${e.scrollWidth} ${e.scrollHeight}`)"
    )
    seen = browser.execute_script(
        "const shown = (e) => getComputedStyle(e).visibility === 'visible';"
        "return [...document.querySelectorAll('.pressed')].filter(shown).length"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert (cut, seen) == ([], 0)
    assert not browser.execute_script("return document.documentElement.classList.contains('deck')")


def test_axe_finds_nothing_serious(show, decks):
    """All rules in the light; in the dark those of colours, for nothing else of the page is another then.

    Once of the whole page, for what slides have of each other; then of each slide alone.
    """
    browser = show(decks("llama-3.1-8b"))
    ready(browser)
    found, pages, papers = {}, [], []
    if problems := serious(browser):
        found["whole"] = problems
    for scheme, rules in (("light", ()), ("dark", ("cat.color",))):
        in_scheme(browser, scheme)
        for slide in slides(browser):
            go_to(browser, slide)
            if problems := serious(browser, rules, alone=True):
                found[scheme, slide] = problems
        # What is announced of a slide comes a moment after it is shown.
        browser.execute_script("document.querySelectorAll('.aria-status').forEach((place) => place.replaceChildren())")
        pages.append(browser.execute_script("return document.documentElement.outerHTML"))
        papers.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert not found, found
    assert pages[0] == pages[1]
    assert papers[0] != papers[1]


@pytest.mark.parametrize("size", [(844, 390), (320, 640)], ids=str)
def test_a_phone_gets_a_page_to_read(show, decks, size):
    browser = show(decks("llama-3.1-8b"), width=size[0], height=size[1], phone=True)
    deadline = time.monotonic() + 20
    while browser.execute_script("return document.querySelectorAll('.chart .main-svg').length") < 3:
        assert time.monotonic() < deadline, browser.get_log("browser")
        time.sleep(0.05)
    settle(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    assert browser.execute_script("return !document.querySelector('.slides section[hidden]')")
    smallest = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('.slides p, .slides td, .slides th, .slides li')]"
        ".filter((e) => e.offsetParent && !e.closest('.stacks')).map((e) => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 14
    assert serious(browser) == []
    if size != (390, 844):
        return
    # The phone that most have; also what stands behind a question.
    complaints = browser.execute_script(f"""
        const look = function () {{ {LOOK} }}, found = {{}};
        for (const section of document.querySelectorAll(".asking")) section.classList.remove("asking");
        for (const section of document.querySelectorAll(".slides section[id]")) {{
            const said = look(`#${{section.id}}`, 14, true);
            if (said.length) found[section.id] = said;
        }}
        return found;
    """)
    assert not complaints, json.dumps(complaints, indent=1)


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
    assert any("The vocabulary stays in 16 bits" in line for line in shown)
    assert any("You can now say why" in line for line in shown)

"""A headless Chromium with no network, and the decks it opens."""

import shutil
from pathlib import Path

import pytest

from inspector.cli.main import run

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "artifacts" / "deck"


def _found(*names):
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser():
    """The driver; tests that need it are skipped, and say so, where there is no Chromium."""
    chromium = _found("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    driver = _found("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium with chromedriver here: sh scripts/browser installs Debian's")
    selenium = pytest.importorskip("selenium.webdriver")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--force-device-scale-factor=1", "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    yield made
    made.quit()


@pytest.fixture(scope="session")
def decks(tmp_path_factory):
    """Write a deck once and hand out its path."""
    written = {}

    def deck(*arguments: str) -> Path:
        if arguments not in written:
            path = tmp_path_factory.mktemp("decks") / "deck.html"
            assert run(["report", *arguments, "-o", str(path)]) == 0
            written[arguments] = path
        return written[arguments]

    return deck


def in_scheme(browser, scheme):
    """Let the reader prefer a colour scheme, also on a page that is open."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


@pytest.fixture
def show(browser):
    """Open a page at a window's size, as a desktop or a phone, in a colour scheme."""

    def opened(path, *, width=1280, height=720, phone=False, scheme="light"):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        in_scheme(browser, scheme)
        browser.get("about:blank")
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        browser.get(path.as_uri())
        return browser

    return opened

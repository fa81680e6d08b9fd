"""Photograph the committed deck: ``python scripts/pictures.py``. Needs Chromium.

Two slides for the README, and one contact sheet of all there is to look at: every slide at two sizes of a screen, in
light and dark, the page on a phone, and the print.
"""

from __future__ import annotations

import base64
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from selenium import webdriver

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
SLIDES = ("model", "sizes")
SCREENS = ((1280, 720), (1024, 768))
PHONE = (390, 844)
THUMB = 400
"""Pixels of a slide's width on the contact sheet."""


def main() -> None:
    """Open the deck without a window, and save what is seen."""
    deck = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "reports" / "Llama-3.1-8B.html"
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1"):
        options.add_argument(argument)
    # Named, so that selenium does not go looking for a browser on the network.
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    PICTURES.mkdir(parents=True, exist_ok=True)
    try:
        rows: list[tuple[str, list[str], int]] = []
        for width, height in SCREENS:
            for scheme in ("light", "dark"):
                shown = _slides(browser, deck, width, height, scheme)
                if (width, scheme) == (SCREENS[0][0], "light"):
                    for slide, picture in shown:
                        # As it is asked, a slide has another name.
                        if slide in SLIDES:
                            (PICTURES / f"slide-{slide}.png").write_bytes(base64.b64decode(picture))
                rows.append((f"{width} x {height}, {scheme}", [picture for _, picture in shown], THUMB))
        rows.append((f"{PHONE[0]} px wide", _page(browser, deck, PHONE[0], ""), PHONE[0] * 2 // 3))
        rows.append(("printed", _page(browser, deck, 1280, "print"), THUMB))
        _sheet(browser, rows)
    finally:
        browser.quit()


def _open(browser: Any, deck: Path, width: int, height: int, scheme: str) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get("about:blank")
    browser.get(deck.as_uri())
    while browser.execute_script("return document.documentElement.dataset.ready") != "yes":
        time.sleep(0.05)


def _slides(browser: Any, deck: Path, width: int, height: int, scheme: str) -> list[tuple[str, str]]:
    """Every slide at its last frame, and every question as it is asked, as PNG in base64."""
    _open(browser, deck, width, height, scheme)
    found = []
    count = browser.execute_script("return document.querySelectorAll('.slides > section').length")
    for index in range(count):
        name, frames, asks = browser.execute_script(
            "const s = document.querySelectorAll('.slides > section')[arguments[0]];"
            "return [s.id, Number(s.dataset.frames), Boolean(s.dataset.quiz)]",
            index,
        )
        for frame in ([0] if asks else []) + [frames]:
            browser.execute_script("Reveal.slide(arguments[0], 0, arguments[1] - 1)", index, frame)
            time.sleep(0.15)
            found.append((f"{name}{' asked' if asks and frame == 0 else ''}", browser.get_screenshot_as_base64()))
    return [(name, picture) for name, picture in found if not name.endswith("asked")] + [
        (name, picture) for name, picture in found if name.endswith("asked")
    ]


def _page(browser: Any, deck: Path, width: int, media: str) -> list[str]:
    """The whole page in pieces, one under the other."""
    _open(browser, deck, width, 844, "light")
    if media:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})
    else:
        # What stands behind a question is to be looked at as well.
        browser.execute_script("document.querySelectorAll('.quiz .show').forEach((button) => button.click())")
    time.sleep(0.3)
    tall = browser.execute_script("return document.documentElement.scrollHeight")
    step = 720 if media else 2400
    # Beyond the window and not in a taller one: a texture has 16,384 pixels, and the page more.
    return [
        browser.execute_cdp_cmd(
            "Page.captureScreenshot",
            {
                "format": "png",
                "captureBeyondViewport": True,
                "clip": {"x": 0, "y": top, "width": width, "height": min(step, tall - top), "scale": 1},
            },
        )["data"]
        for top in range(0, tall, step)
        # Paper's last page is a pixel or two less than a page.
        if tall - top > step // 20
    ]


def _sheet(browser: Any, rows: list[tuple[str, list[str], int]]) -> None:
    """One picture of all of them, drawn by the browser itself."""
    parts = "".join(
        f"<h2>{title}</h2><div>"
        + "".join(f'<img width="{wide}" src="data:image/png;base64,{picture}">' for picture in pictures)
        + "</div>"
        for title, pictures, wide in rows
    )
    page = PICTURES / "contact-sheet.html"
    style = (
        "body{margin:8px;background:#848586;font:24px sans-serif}"
        "div{display:flex;flex-wrap:wrap;align-items:flex-start;gap:6px}"
    )
    page.write_text(f"<!DOCTYPE html><style>{style}</style>{parts}", encoding="utf-8")
    try:
        metrics = {"width": 2050, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.get(page.as_uri())
        time.sleep(1)
        tall = browser.execute_script("return document.documentElement.scrollHeight")
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "height": tall})
        time.sleep(0.5)
        made = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 70})
        (PICTURES / "contact-sheet.webp").write_bytes(base64.b64decode(made["data"]))
    finally:
        page.unlink()
    for picture in sorted(PICTURES.iterdir()):
        print(picture)


if __name__ == "__main__":
    main()

"""Photograph two slides of the committed deck for the README: ``python scripts/pictures.py``. Needs Chromium."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from selenium import webdriver

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
SLIDES = ("model", "sizes")


def main() -> None:
    """Open the deck without a window, and save each slide as it is projected."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1"):
        options.add_argument(argument)
    # Named, so that selenium does not go looking for a browser on the network.
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    metrics = {"width": 1280, "height": 720, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    PICTURES.mkdir(parents=True, exist_ok=True)
    try:
        browser.get((ROOT / "reports" / "Llama-3.1-8B.html").as_uri())
        for slide in SLIDES:
            browser.execute_script("location.hash = '#/' + arguments[0]", slide)
            time.sleep(1)
            browser.save_screenshot(str(PICTURES / f"slide-{slide}.png"))
            print(PICTURES / f"slide-{slide}.png")
    finally:
        browser.quit()


if __name__ == "__main__":
    main()

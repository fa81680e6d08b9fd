"""Write the pages kept in reports/: decks, the ledger of measured runs, a list: ``python scripts/reports.py [FOLDER]``.

The ledger's page shows the command that was typed, so everything is run in the project's own folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from inspector.files import write_text
from inspector.render.assets import environment

ROOT = Path(__file__).parent.parent
DECKS = {
    "Llama-3.1-8B.html": ("The memory of LoRA and QLoRA", ("meta-llama/Llama-3.1-8B",)),
    "base-models.html": (
        "Choosing a base model",
        (
            "meta-llama/Llama-3.1-8B",
            "Qwen/Qwen2.5-7B",
            "google/gemma-2-9b",
            "microsoft/Phi-3-medium-4k-instruct",
        ),
    ),
}

LEDGER = "validate.html"
"""The page of `inspector validate`: three minutes of simulation."""


def index() -> str:
    """The page that lists the decks."""
    decks = [{"file": file, "title": title, "models": models} for file, (title, models) in DECKS.items()]
    page: str = environment().get_template("index.html.j2").render(decks=decks, ledger=LEDGER)
    return page


def main() -> None:
    """Write everything into the folder given, ``reports/`` by default."""
    folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path("reports")
    os.chdir(ROOT)
    for file, (_, models) in DECKS.items():
        subprocess.run([sys.executable, "-m", "inspector", "report", *models, "-o", str(folder / file)], check=True)
    subprocess.run([sys.executable, "-m", "inspector", "validate", "-o", str(folder / LEDGER)], check=True)
    write_text(folder / "index.html", index())
    print(folder / "index.html")


if __name__ == "__main__":
    main()

"""Make the table of advice in docs/scripts.md anew: ``python scripts/script_advice.py``. A minute of one core.

Each change is a run of the script, too long for a test: the table is kept in the page with what it was made of, and a
test says when that is no longer so.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from inspector.files import write_text

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "scripts.md"
SCRIPT = "docs/examples/finetune.py"
COMMAND = ("run", "--gpu", "T4")
COLUMNS = "84"
LIBRARIES = ("torch", "transformers", "accelerate")
TABLE = re.compile(r"<!-- (?P<of>[^>]*); make script-advice -->\n```text\n(?P<table>.*?)```\n", re.DOTALL)
BEGINS = "one change, run again on T4"


def made_of() -> str:
    """What the table depends on: the script by its hash, and the libraries that it runs."""
    digest = hashlib.sha256((ROOT / SCRIPT).read_bytes()).hexdigest()[:16]
    return f"{SCRIPT} {digest}, " + ", ".join(f"{name} {version(name).partition('+')[0]}" for name in LIBRARIES)


def table() -> str:
    """The table as it is printed where there is room for it. Raises CalledProcessError when the command fails."""
    folder, name = (ROOT / SCRIPT).parent, Path(SCRIPT).name
    asked = [sys.executable, "-m", "inspector", *COMMAND, name]
    # 1 is its answer that the script does not fit.
    wide = os.environ | {"COLUMNS": COLUMNS}
    found = subprocess.run(asked, cwd=folder, env=wide, capture_output=True, text=True, check=False)
    if found.returncode not in {0, 1}:
        raise subprocess.CalledProcessError(found.returncode, asked, found.stdout, found.stderr)
    lines = found.stdout[found.stdout.index(BEGINS) :].partition("\n\n")[0].splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    made = f"<!-- {made_of()}; make script-advice -->\n```text\n{table()}```\n"
    write_text(PAGE, TABLE.sub(lambda _: made, text))
    print(PAGE)

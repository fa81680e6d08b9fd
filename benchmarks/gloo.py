"""Trainers of transformers and TRL on real ranks over gloo, each rank beside its simulated one, to the byte.

Run it as ``python benchmarks/gloo.py [--again] [NAME ...]``: what stands in the file of results with these versions is
not tried again, so that a run may be stopped and taken up. Of each rank ``real`` and ``ours`` are the highest level and
the last one in bytes, ``missing`` what we allocate and the rank did not. ``equal`` is each rank whose levels are the
same and that misses nothing. A test holds that every case stands here and is equal.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.simulate.parallel.gloo_trainers import CASES, compared

RESULTS = Path(__file__).parent / "results" / "gloo.jsonl"
LIBRARIES = ("torch", "transformers", "accelerate", "trl", "peft")


def versions() -> dict[str, str]:
    """Of the libraries whose trainers these are."""
    return {name: version(name) for name in LIBRARIES}


def answer(name: str) -> dict[str, Any]:
    """Both of each rank, or the last line of an error."""
    command = [sys.executable, "-m", "tests.simulate.parallel.gloo_trainers", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    real = json.loads(done.stdout.splitlines()[-1])[name] if done.returncode == 0 else [None]
    if None in real:
        return {"verdict": f"fails: {(done.stderr.strip().splitlines() or ['without a word'])[-1][:200]}"}
    ranks = [compared(name, rank, each) for rank, each in enumerate(real)]
    equal = all(each["real"] == each["ours"] and not each["missing"] for each in ranks)
    return {"verdict": "equal" if equal else "differs", "ranks": ranks}


def main() -> int:
    """Try what has not been tried; 1 where a rank differs."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=", ".join(CASES))
    parser.add_argument("--again", action="store_true")
    said = parser.parse_args()
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    kept = {row["case"]: row for row in rows if row["versions"] == versions() and row["case"] in CASES}
    for name in said.names or CASES:
        if name in kept and kept[name]["verdict"] == "equal" and not said.again:
            continue
        today = dt.datetime.now(dt.UTC).date().isoformat()
        kept[name] = {"case": name, "on": today, "versions": versions(), **answer(name)}
        RESULTS.write_text("".join(json.dumps(kept[each]) + "\n" for each in CASES if each in kept))
        print(name, kept[name]["verdict"], flush=True)
    return int(any(row["verdict"] != "equal" for row in kept.values()))


if __name__ == "__main__":
    sys.exit(main())

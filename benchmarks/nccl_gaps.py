"""What nvidia-smi said of published runs on several cards, beside our range for a rank's process.

Run it as ``python benchmarks/nccl_gaps.py``: each run takes minutes, those that stand in the file of results are not
made again. ``least`` is what the allocator reserves, the context and the least of NCCL's buffers, ``most`` the most
of them. A test of the file holds that every figure lies between.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from importlib.resources import files
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from inspector.simulate.reports.libraries import versions
from inspector.validation.ledger import simulate
from inspector.validation.runs import questions

RESULTS = Path(__file__).parent / "results" / "nccl_gaps.jsonl"
SET = "multigpu_fms"


def main() -> None:
    """Every run that is compared, and of which the card's own figure was published."""
    records = json.loads((files("inspector") / "data" / "truth" / f"{SET}.json").read_text(encoding="utf-8"))
    said = {each["id"]: each["also"].get("nvidia_smi_mib_mean_over_gpus") for each in records}
    known = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    tried = {each["run"]: each for each in known if each["versions"] == versions()}
    for run in questions(SET):
        if run.skipped or not run.settings.get("parallel") or not said[run.id] or run.id in tried:
            continue
        peaks = simulate(run).ranks[0].peaks
        tried[run.id] = {
            "run": run.id, "on": dt.datetime.now(dt.UTC).date().isoformat(), "smi": round(said[run.id] * 2**20),
            "least": peaks.process, "most": peaks.process_most, "versions": versions(),
        }  # fmt: skip
        RESULTS.write_text("".join(json.dumps(each) + "\n" for each in tried.values()))
        print(json.dumps(tried[run.id]), flush=True)


if __name__ == "__main__":
    main()

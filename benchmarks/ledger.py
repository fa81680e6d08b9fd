"""Whether the ledger of published runs is still what was kept, to the byte: ``ledger.py [--record] [SET ...]``.

Simulates every published run, or those of the sets named, and prints each figure that differs from
tests/golden/ledger.csv. The tests do the same with a few runs of every set; all of them take three minutes. Exit code 1
when anything differs. ``make ledger-oldest`` and ``ledger-newest`` run it with other libraries than the pinned ones;
``--record`` keeps what it found, with the day and the versions, in benchmarks/results/ledger.jsonl.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import sys
from pathlib import Path

from inspector.simulate.reports.libraries import versions
from inspector.validation import validate
from inspector.validation.forms import FORMS

KEPT = Path(__file__).parents[1] / "tests" / "golden" / "ledger.csv"
RECORDS = Path(__file__).parent / "results" / "ledger.jsonl"
Key = tuple[str, str, str]


def kept() -> dict[Key, int]:
    """Predicted bytes by set, run and figure."""
    with KEPT.open(encoding="utf-8", newline="") as stream:
        return {(row["file"], row["id"], row["figure"]): int(row["predicted_bytes"]) for row in csv.DictReader(stream)}


def today(sets: list[str]) -> dict[Key, int]:
    """The same as the simulator says now."""
    ledgers = [validate(name, say=lambda run: print(run, file=sys.stderr)) for name in sets]
    return {
        (line.question.file, line.question.id, line.figure): line.predicted for each in ledgers for line in each.lines
    }


def main() -> int:
    """Compare, and say what differs."""
    record, *sets = sys.argv[1:] if "--record" in sys.argv[1:2] else ["", *sys.argv[1:]]
    sets = sets or list(FORMS)
    before = {key: predicted for key, predicted in kept().items() if key[0] in sets}
    now = today(sets)
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    for key in differing:
        print(*key, before.get(key, "none"), "->", now.get(key, "none"))
    print(f"{len(before)} figures kept, {len(now)} today, {len(differing)} differ")
    if record:
        keep(len(now), differing)
    return bool(differing)


def keep(figures: int, differing: list[Key]) -> None:
    """One line for these versions, in the place of an older one."""
    libraries = dict(versions())
    rows = [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.exists() else []
    today = dt.datetime.now(dt.UTC).date().isoformat()
    rows = [row for row in rows if row["versions"] != libraries]
    rows.append({"on": today, "versions": libraries, "figures": figures, "differing": differing})
    RECORDS.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    sys.exit(main())

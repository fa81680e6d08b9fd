"""Whether the ledger of published runs is still what was kept, to the byte: ``python benchmarks/ledger.py [SET ...]``.

Simulates every published run, or those of the sets named, and prints each figure that differs from
tests/golden/ledger.csv. The tests do the same with a few runs of every set; all of them take three minutes. Exit code 1
when anything differs.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from inspector.validation import validate
from inspector.validation.forms import FORMS

KEPT = Path(__file__).parents[1] / "tests" / "golden" / "ledger.csv"
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
    sets = sys.argv[1:] or list(FORMS)
    before = {key: predicted for key, predicted in kept().items() if key[0] in sets}
    now = today(sets)
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    for key in differing:
        print(*key, before.get(key, "none"), "->", now.get(key, "none"))
    print(f"{len(before)} figures kept, {len(now)} today, {len(differing)} differ")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())

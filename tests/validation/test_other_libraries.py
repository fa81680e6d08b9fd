"""The ledger as other supported libraries predict it: what `make ledger-oldest` and `make ledger-newest` kept."""

import csv
import json
import re
from pathlib import Path

from scripts.floors import pins

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "benchmarks" / "results" / "ledger.jsonl"


def test_the_oldest_and_the_newest_libraries_predict_what_the_pinned_ones_do():
    with (ROOT / "tests" / "golden" / "ledger.csv").open(encoding="utf-8", newline="") as stream:
        figures = len(list(csv.DictReader(stream)))
    kept = [json.loads(line) for line in RECORDS.read_text(encoding="utf-8").splitlines()]
    assert all(row["figures"] == figures for row in kept), "make ledger-oldest, make ledger-newest"
    assert all(row["differing"] == [] for row in kept)
    by_torch = sorted((row["versions"] for row in kept), key=lambda versions: numbers(versions["torch"]))
    floors = dict(pin.split("==") for pin in pins())
    assert all(same(by_torch[0][name], floors[name]) for name in by_torch[0])
    assert numbers(by_torch[-1]["torch"]) > numbers(by_torch[0]["torch"])


def numbers(version):
    return [int(part) for part in re.findall(r"\d+", version.partition("+")[0])]


def same(version, floor):
    return numbers(version)[: len(numbers(floor))] == numbers(floor)

"""The examples of docs/records.md and the tables of its fields, and files of records."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "records.md"
LOOPS = ("t4_transformers_peft_loop", "rtx4080_qlora", "a100_sfttrainer")


def sections() -> dict[str, str]:
    """The text of each form's section, and under ``loops`` that of the fields that loops share."""
    text = DOCS.read_text(encoding="utf-8")
    found = dict(re.findall(r"^## (\w+)$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    return found | {"loops": text.partition("### Fields of training loops")[2].partition("\n## ")[0]}


EXAMPLES = {
    form: json.loads(block[1])[0]
    for form, body in sections().items()
    if (block := re.search(r"```json\n(.*?)```", body, re.DOTALL))
}


def documented(form: str) -> dict[str, bool]:
    """The fields that docs/records.md has for a form, each with whether it is only told of the run."""
    found = sections()
    rows = re.findall(r"^\| (`.*)$", found[form] + (found["loops"] if form in LOOPS else ""), re.MULTILINE)
    return {
        name: "*told*" in row for row in rows for name in re.findall(r"`([\w.]+)`", row.partition(" | ")[0])
    }  # fmt: skip


@pytest.fixture
def example():
    """A form's example record, changed: ``example(form, seq_len=32, **{"train_config.use_gc": True})``."""

    def changed(form, /, **changes):
        record = copy.deepcopy(EXAMPLES[form])
        for path, value in changes.items():
            *parts, name = path.split(".")
            place = record
            for part in parts:
                place = place.setdefault(part, {})
            place[name] = value
        return record

    return changed


@pytest.fixture
def written(tmp_path):
    """Write records as a file of runs and return its path as text."""

    def write(content, name="runs.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return write

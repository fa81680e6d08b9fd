"""Ranks traced in a process of their own: DeepSpeed's modules have one state for all threads of a process.

A program that trains with DeepSpeed in one thread is not touched by a dry run in another: nothing of DeepSpeed is
imported, set or replaced here.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.parallel.rank_trace import RankTrace


RANKS = "inspector.simulate.parallel.ranks:trace_ranks"


def traced_apart(asked: tuple[Any, ...], ranks: Sequence[int], by: str = RANKS) -> list[RankTrace]:
    """`inspector.simulate.parallel.ranks.trace_ranks` in a child, which ends with it.

    Args:
        asked: its arguments but for the ranks.
        by: another function that traces ranks, ``module:name``.
        ranks: whose cards.

    Raises:
        InspectorError: what it raises there.
        RuntimeError: where it fails otherwise, with the child's traceback.
    """
    with tempfile.TemporaryDirectory(prefix="inspector-ranks-") as folder:
        job, answer = Path(folder) / "job", Path(folder) / "answer"
        job.write_bytes(pickle.dumps((by, asked, tuple(ranks))))
        path = os.pathsep.join(part for part in (str(Path(__file__).resolve().parents[3]), *sys.path) if part)
        command = [sys.executable, "-m", "inspector.simulate.parallel.apart", str(job), str(answer)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
            errors="replace",
        )  # fmt: skip
        if not answer.exists():
            raise RuntimeError(f"the ranks' process ended with {done.returncode}: {done.stderr[-2000:]}")
        found: Any = pickle.loads(answer.read_bytes())  # noqa: S301 -- written by our own child, in a folder of ours
    if isinstance(found, InspectorError):
        raise found
    if not isinstance(found, list):
        raise RuntimeError(f"in the ranks' process:\n{found}")  # noqa: TRY004 -- our own fault, told in words
    return found


def main(job: Path, answer: Path) -> None:
    """What the child does."""
    asked: Any = pickle.loads(job.read_bytes())  # noqa: S301 -- written by our own parent
    found: Any
    try:
        found = resolve_name(asked[0])(*asked[1], asked[2])
    except InspectorError as error:
        found = error
    except Exception:  # noqa: BLE001 -- told in words: a foreign exception may not be there to be read
        found = traceback.format_exc()
    answer.write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

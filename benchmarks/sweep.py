"""Many things tried one after the other, each once: a sweep that may be stopped and taken up.

What has been tried stands in a file of JSON lines, whose first names the libraries: with others all is tried anew. A
script that sweeps takes ``[--seconds N] [--again] [WORD ...]``: words choose what contains one of them, ``--again``
tries anew what did not answer.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import signal
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Row = dict[str, Any]


def attempt(run: Callable[[], Row], seconds: int) -> Row:
    """What ``run`` says, as ``answers``; ``refuses`` with its line, or ``fails`` with where.

    ``seconds`` are of this process's own time, so that a machine with other work to do ends nothing early.
    """

    def late(*_: object) -> None:
        raise TimeoutError(f"{seconds} s are over")

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return {"is": "answers", **run()}
    except InspectorError as error:
        return {"is": "refuses", "said": str(error)}
    except Exception as error:  # noqa: BLE001 -- whatever is raised is the answer here
        frame = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:200]
        return {"is": "fails", "said": f"{type(error).__name__}: {said} ({Path(frame.filename).name}:{frame.lineno})"}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def sweep(
    results: Path,
    header: Mapping[str, Any],
    named: tuple[str, ...],
    keys: Sequence[tuple[str, ...]],
    try_one: Callable[..., Row],
    *,
    settled: Callable[[Row], bool] = lambda row: row["is"] == "answers",
    doc: str | None = None,
) -> list[Row]:
    """Try what has not been tried, in the order of ``keys``, and keep each row as it comes; the command line chooses.

    ``named`` are a key's parts in a row; ``try_one`` takes them and gives the rest. Returns all rows.
    """
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--again", action="store_true")
    said = parser.parse_args()
    first, *known = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else [{}]
    tried = {tuple(row[name] for name in named): row for row in known} if first == header else {}
    began = time.perf_counter()
    for key in keys:
        wanted = not said.words or any(word in text for word in said.words for text in key)
        if not wanted or (key in tried and not (said.again and not settled(tried[key]))):
            continue
        if time.perf_counter() - began > said.seconds:
            break
        today = dt.datetime.now(dt.UTC).date().isoformat()
        tried[key] = {**dict(zip(named, key, strict=True)), "on": today, **try_one(*key)}
        results.write_text("".join(json.dumps(row) + "\n" for row in (header, *tried.values())))
    print(f"{len(tried)} of {len(keys)} tried")
    return list(tried.values())

"""Every task that transformers has an Auto class for, by every type of model it knows: a dry run, or a line why not.

Run it as ``python benchmarks/tasks.py [--seconds N] [--again] [WORD ...]``: words choose tasks, types or classes that
contain one of them. What has been tried stands in the file of results and is not tried again, so that a run may be
stopped and taken up; ``--again`` tries anew what did not answer. It takes about ten minutes for all of them. The first
line of the file names the libraries; with others all is tried anew. ``on`` is the day of a trial.
"""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import json
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from inspector.errors import InspectorError
from inspector.simulate.finetuning import finetune
from inspector.simulate.program.decoding import trace_generate
from inspector.simulate.reports.libraries import versions
from inspector.simulate.setup.generation import GenerateSettings
from tests.simulate.small_models import classes_by_task, small_config

RESULTS = Path(__file__).parent / "results" / "tasks.jsonl"
LONGEST = 90
"""Seconds that one may take: defaults of a few configs are models of hundreds of layers in many stacks."""

TOKENS = 32


def finetuned(config: dict[str, Any]) -> None:
    """A training step of the whole model."""
    finetune(config, method="full", batch_size=1, seq_len=TOKENS, target_len=8, steps=1, gradient_checkpointing=False)


def generated(config: dict[str, Any]) -> None:
    """A short answer."""
    trace_generate(config, GenerateSettings(prompt_len=TOKENS, max_new_tokens=4).setup, (8, 0), 108)


def answer(attempt: Any, config: dict[str, Any]) -> tuple[str, str]:
    """``answers``, ``refuses`` with its line, or ``fails`` with where."""

    def late(*_: object) -> None:
        raise TimeoutError(f"{LONGEST} s are over")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        attempt(config)
    except InspectorError as error:
        return "refuses", str(error)
    except Exception as error:  # noqa: BLE001 -- whatever is raised is the answer here
        frame = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:200]
        return "fails", f"{type(error).__name__}: {said} ({Path(frame.filename).name}:{frame.lineno})"
    finally:
        signal.alarm(0)
    return "answers", ""


def main() -> None:
    """Try what has not been tried, and count."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--again", action="store_true")
    said = parser.parse_args()
    header = {"versions": versions()}
    first, *known = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else [{}]
    if first != header:
        known = []
    tried = {(one["class"], one["type"]): one for one in known}
    began = time.perf_counter()
    for task, model_type, name in classes_by_task():
        key = (name, model_type)
        wanted = not said.words or any(word in text for word in said.words for text in (task, model_type, name))
        if not wanted or (key in tried and not (said.again and _open(tried[key]))):
            continue
        if time.perf_counter() - began > said.seconds:
            break
        today = dt.datetime.now(dt.UTC).date().isoformat()
        tried[key] = {"task": task, "type": model_type, "class": name, "on": today, **_tried(model_type, name)}
        RESULTS.write_text("".join(json.dumps(one) + "\n" for one in (header, *tried.values())))
    for program in ("finetune", "generate"):
        counts = collections.Counter(one[program][0] for one in tried.values() if program in one)
        print(program, dict(counts))
    print(f"{len(tried)} of {len({(name, kind) for _, kind, name in classes_by_task()})}")


def _open(one: dict[str, Any]) -> bool:
    return any(one[program][0] != "answers" for program in ("finetune", "generate") if program in one)


def _tried(model_type: str, name: str) -> dict[str, Any]:
    import transformers

    try:
        config = small_config(model_type, name)
    except Exception as error:  # noqa: BLE001
        return {"config": " ".join(str(error).split())[:200]}
    found: dict[str, Any] = {"finetune": answer(finetuned, config)}
    if hasattr(getattr(transformers, name, None), "prepare_inputs_for_generation"):
        found["generate"] = answer(generated, config)
    return found


if __name__ == "__main__":
    main()

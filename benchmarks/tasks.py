"""Every task that transformers has an Auto class for, by every type of model it knows: a dry run, or a line why not.

Run it as ``python benchmarks/tasks.py`` with the words of `sweep`; they choose tasks, types or classes. It takes about
ten minutes for all of them.
"""

from __future__ import annotations

import collections
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.sweep import attempt, sweep
from inspector.simulate.finetuning import finetune
from inspector.simulate.program.decoding import trace_generate
from inspector.simulate.reports.libraries import versions
from inspector.simulate.setup.generation import GenerateSettings
from tests.simulate.small_models import classes_by_task, small_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.sweep import Row

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


def main() -> None:
    """Try what has not been tried, and count."""
    # A class of several tasks is tried as one of the first.
    by_class = {(name, model_type): task for task, model_type, name in reversed(list(classes_by_task()))}
    keys = [(task, model_type, name) for (name, model_type), task in reversed(by_class.items())]
    rows = sweep(
        RESULTS, {"versions": versions()}, ("task", "type", "class"), keys, _tried, settled=_settled, doc=__doc__
    )
    for program in ("finetune", "generate"):
        print(program, dict(collections.Counter(row[program][0] for row in rows if program in row)))


def _settled(row: Row) -> bool:
    return all(row[program][0] == "answers" for program in ("finetune", "generate") if program in row)


def _tried(_task: str, model_type: str, name: str) -> Row:
    import transformers

    try:
        config = small_config(model_type, name)
    except Exception as error:  # noqa: BLE001
        return {"config": " ".join(str(error).split())[:200]}
    found = {"finetune": _answer(finetuned, config)}
    if hasattr(getattr(transformers, name, None), "prepare_inputs_for_generation"):
        found["generate"] = _answer(generated, config)
    return found


def _answer(run: Callable[[dict[str, Any]], None], config: dict[str, Any]) -> list[str]:
    """How it ended, and what was said of that."""

    def tried() -> Row:
        run(config)
        return {}

    found = attempt(tried, LONGEST)
    return [found["is"], found.get("said", "")]


if __name__ == "__main__":
    main()

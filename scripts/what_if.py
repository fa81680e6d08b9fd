"""Make the what-if grids and the films that ship as data: ``python scripts/what_if.py [MODEL ...]``. Needs torch.

Without a model: those that ship, about five minutes each on one core; what was broken off goes on where it was.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from inspector.files import write_text
from inspector.lenses.compare import usual_set
from inspector.lesson import film, film_runs, what_if
from inspector.lesson.one_model import RANK
from inspector.lesson.what_if_runs import make
from inspector.sources.resolve import resolve

if TYPE_CHECKING:
    from inspector.lora import TargetSet

MODELS = (
    "meta-llama/Llama-3.1-8B",
    "meta-llama/Llama-3.2-1B",
    "meta-llama/Llama-3.2-3B",
    "Qwen/Qwen2.5-7B",
    "google/gemma-2-9b",
    "mistralai/Mistral-7B-v0.1",
)


def write_grid(model: str, usual: TargetSet) -> None:
    """The grid of one model."""
    started = time.monotonic()

    def say(done: int, total: int) -> None:
        print(f"\r{model}: {done} of {total}, {time.monotonic() - started:.0f} s", end="", flush=True)

    path = what_if.path_of(model)
    write_text(path, what_if.dumps(make(model, model, usual, progress=say)))
    print(f"\n{path}")


def write_films(model: str, usual: TargetSet) -> None:
    """The films of a step and of an answer."""
    made = film_runs.make(model, usual, RANK)
    if made is None:
        raise SystemExit(f"{model} has no film")
    for what, one in (("step", made.step), ("answer", made.answer)):
        path = film.path_of(model, what)
        write_text(path, film.dumps(one))
        print(path)


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        skeleton = resolve(name)
        found = usual_set(skeleton)
        if found is None:
            raise SystemExit(f"{name} has no linear layer to adapt")
        write_films(skeleton.model_id, found)
        write_grid(skeleton.model_id, found)

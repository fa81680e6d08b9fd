"""Make the dry runs that ship as data, for the deck: ``python scripts/dryruns.py [MODEL ...]``. Needs torch."""

from __future__ import annotations

import sys

from inspector.files import write_text
from inspector.lesson import lesson
from inspector.lesson.training import dumps, make, path_of
from inspector.sources.resolve import resolve

MODELS = ("meta-llama/Llama-3.1-8B",)


def main() -> None:
    """Write one file a model."""
    for model in sys.argv[1:] or MODELS:
        skeleton = resolve(model)
        training = make(model, skeleton.model_id, lesson(skeleton).adapters, progress=print)
        write_text(path_of(skeleton.model_id), dumps(training))
        print(path_of(skeleton.model_id))  # noqa: T201


if __name__ == "__main__":
    main()

"""`inspector simulate`: dry runs of a step, without a GPU."""

from __future__ import annotations

from inspector.cli.main import LazyGroup

command = LazyGroup(
    name="simulate",
    package="inspector.cli.simulate",
    names=("finetune", "generate"),
    help="Run a step of the real libraries on shapes without data, and say what memory it takes.",
)

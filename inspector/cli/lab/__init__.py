"""`inspector lab`: quality measured on a small model."""

from __future__ import annotations

from inspector.cli.main import LazyGroup

command = LazyGroup(
    name="lab",
    package="inspector.cli.lab",
    names=("quantize", "lora"),
    help="Measure what a precision, a rank and targets do to quality, on a real small model.",
)

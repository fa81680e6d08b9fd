"""`inspector completion`: commands, options and models completed by the shell."""

from __future__ import annotations

from inspector.cli.main import LazyGroup

command = LazyGroup(
    name="completion",
    package="inspector.cli.completion",
    names=("install",),
    help="Make the shell complete commands, options and models.",
)

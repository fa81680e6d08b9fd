"""`inspector completion`: what a shell and `man` know of the command."""

from __future__ import annotations

from inspector.cli.main import LazyGroup

command = LazyGroup(
    name="completion",
    package="inspector.cli.completion",
    names=("install", "man"),
    help="Make the shell complete commands, options and models, and man know them.",
)

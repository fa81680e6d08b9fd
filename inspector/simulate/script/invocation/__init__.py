"""What a user typed to start a training: a file, a module, a notebook or a launcher's command, as one frozen value."""

from inspector.simulate.script.invocation.torchrun import several
from inspector.simulate.script.invocation.typed import parse_invocation
from inspector.simulate.script.invocation.value import Invocation

__all__ = ["Invocation", "parse_invocation", "several"]

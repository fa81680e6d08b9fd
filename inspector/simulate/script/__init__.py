"""A user's own training script, run without a GPU: what is run, what cannot be simulated in it, and what it takes."""

from inspector.simulate.script.report import ScriptReport
from inspector.simulate.script.running import run

__all__ = ["ScriptReport", "run"]

"""What to change about a script that does not fit, in the words of its own library, each tried by a second run."""

from inspector.simulate.script.advice.change import ScriptChange
from inspector.simulate.script.advice.found import candidates
from inspector.simulate.script.advice.trying import ScriptAdvice, Tried, advise

__all__ = ["ScriptAdvice", "ScriptChange", "Tried", "advise", "candidates"]

"""What PEFT warns of while it is asked something: an answer too, and heard on our thread alone."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from inspector.patched import patched

if TYPE_CHECKING:
    from collections.abc import Iterator

_BETWEEN = {__name__, "inspector.patched.by_thread"}


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """PEFT's warnings until the block ends, each in one line, in the list that is yielded; shown to nobody else."""
    said: list[str] = []

    def warn(message: Warning | str, category: type[Warning] | None = None, *_: object, **__: object) -> None:
        # PEFT's alone: what torch and transformers deprecate is not of this adapter.
        whose = next(frame for frame in _outwards() if frame.f_globals.get("__name__") not in _BETWEEN)
        kind = type(message) if isinstance(message, Warning) else category or UserWarning
        line = " ".join(str(message).split())
        of_peft = str(whose.f_globals.get("__name__")).startswith("peft.")
        if of_peft and not issubclass(kind, DeprecationWarning) and line not in said:
            said.append(line)

    with patched({"warnings.warn": warn}):
        yield said


def _outwards() -> Iterator[Any]:
    frame: Any = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back

"""SIGTERM and SIGHUP end a run as Ctrl-C does: what was started is ended, and what was written is removed."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Signalled(SystemExit):
    """A signal said to end; the exit code is 128 and its number, as shells tell it."""


@contextlib.contextmanager
def ends_on_signals() -> Iterator[None]:
    """Raise `Signalled` in the block where one comes.

    A signal that somebody else answers, or lets pass (``nohup``), is left to them. Only a process's first thread hears
    any, so that in all others nothing is changed.
    """
    ours = []
    if threading.current_thread() is threading.main_thread():
        ours = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, _frame: object) -> None:
        for each in ours:  # once is enough: a second shall not come between what is being ended
            signal.signal(each, signal.SIG_IGN)
        raise Signalled(128 + number)

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)

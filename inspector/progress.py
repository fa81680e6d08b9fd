"""A sign of life on standard error while something long runs; nothing when it is no terminal."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.progress import Progress, ProgressColumn


@contextmanager
def counting(what: str, total: int, *, after: float = 0.5) -> Iterator[Callable[[], None]]:
    """Show how many of ``total`` are done, once it has taken ``after`` seconds; call what it yields for each one."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn

    bars = _on_stderr(BarColumn(), MofNCompleteColumn())
    task, started = bars.add_task(what, total=total), time.monotonic()
    with ExitStack() as shown:

        def advance() -> None:
            bars.advance(task)
            # What is done sooner would only flash.
            if not bars.live.is_started and time.monotonic() - started > after:
                shown.enter_context(bars)

        yield advance


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done, and for how long; call what it yields to say more."""
    if not sys.stderr.isatty():
        yield lambda _more: None
        return
    from rich.progress import SpinnerColumn

    with _on_stderr(spinner=SpinnerColumn()) as bars:
        task = bars.add_task(what)
        yield lambda more: bars.update(task, description=f"{what}: {more}")


@contextmanager
def following(what: str) -> Iterator[Callable[[Mapping[str, Any]], None] | None]:
    """A bar for work that says ``stage``, ``done``, ``total`` and ``name``; None when standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn

    with _on_stderr(BarColumn()) as bars:
        task = bars.add_task(what, total=None)

        def show(at: Mapping[str, Any]) -> None:
            total = at["total"] or None  # 0 would be a full bar; None leaves it as it is, pulsing until there is one
            bars.update(task, description=f"{what}: {at['stage']} {at['name']}", total=total, completed=at["done"])

        yield show


def _on_stderr(*columns: ProgressColumn, spinner: ProgressColumn | None = None) -> Progress:
    """Rich's bars with what is done, as plain text, and the time it took; they vanish when the work is done."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    first = (spinner,) if spinner else ()
    # No markup: names from files are in it, and rich would read their brackets.
    shown = (*first, TextColumn("{task.description}", markup=False), *columns, TimeElapsedColumn())
    return Progress(*shown, console=Console(stderr=True), transient=True)

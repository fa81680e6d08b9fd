"""A sign of life on standard error while something long runs; nothing when it is no terminal."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def counting(what: str, total: int, *, after: float = 0.5) -> Iterator[Callable[[], None]]:
    """Show how many of ``total`` are done, once it has taken ``after`` seconds; call what it yields for each one."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    task, started = bars.add_task(what, total=total), time.monotonic()
    with ExitStack() as shown:

        def advance() -> None:
            bars.advance(task)
            if not bars.live.is_started and time.monotonic() - started > after:
                shown.enter_context(bars)

        yield advance


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done, and for how long; call what it yields to say more."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _more: None
        return
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task(what)
        yield lambda more: progress.update(task, description=f"{what}: {more}")

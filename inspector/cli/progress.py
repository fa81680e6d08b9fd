"""Progress of long work: on standard error, and only when a person is looking."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def following(title: str) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """A bar for work that says ``stage``, ``done``, ``total`` and ``name``; None when standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=None)

        def show(at: dict[str, Any]) -> None:
            total = at["total"] or None
            bars.update(task, description=f"{title}: {at['stage']} {at['name']}", total=total, completed=at["done"])

        yield show

"""Options that several commands share, and the one way a command's answer leaves the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from inspector.sources.bundled import DEFAULT_MODEL, model_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

F = TypeVar("F", bound="Callable[..., Any]")


class ModelReference(click.ParamType):
    """A model by name, folder or file; completes bundled names, then files."""

    name = "model"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Bundled names with that beginning, of the whole id or of the part after the slash."""
        from click.shell_completion import CompletionItem

        wanted = incomplete.lower()
        names = [model for model in model_ids() if model.lower().startswith(wanted) or f"/{wanted}" in model.lower()]
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def model_argument(function: F) -> F:
    """``[MODEL]``, Llama 3.1 8B when left out."""
    return click.argument("model", type=ModelReference(), default=DEFAULT_MODEL)(function)


def json_option(function: F) -> F:
    """``--json``: the answer for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON: stable keys, integers in bytes.")(function)


def csv_option(function: F) -> F:
    """``--csv``: the table for spreadsheets."""
    return click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV.")(function)


def answer(
    kind: str,
    *,
    as_json: bool = False,
    as_csv: bool = False,
    payload: Callable[[], dict[str, Any]],
    rows: Callable[[], Iterable[Mapping[str, Any]]] | None = None,
    text: Callable[[], Any],
) -> None:
    """Print a report in the form that was asked for; only that form is made.

    Args:
        kind: format name of the JSON document, the command's name.
        as_json: whether JSON was asked for.
        as_csv: whether CSV was asked for.
        payload: makes the JSON document's content.
        rows: makes the CSV rows.
        text: makes what rich prints.

    Raises:
        click.UsageError: when two forms are asked for.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if as_json:
        from inspector.render.jsonio import document

        click.echo(document(kind, payload()))
    elif as_csv and rows:
        from inspector.render.csvio import csv_text

        click.echo(csv_text(rows()))
    else:
        from inspector.render.terminal import console

        console().print(text())


def say_written(path: Path) -> None:
    """Name a file that was written, as the last line of standard output."""
    click.echo(str(path))

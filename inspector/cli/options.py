"""Options that several commands share, and the one way a command's answer leaves the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from inspector.sources.bundled import DEFAULT_MODEL, model_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from inspector.reporting import Report

F = TypeVar("F", bound="Callable[..., Any]")


class ModelReference(click.ParamType[str]):
    """A model by name, folder or file; completes bundled names, then files."""

    name = "model"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Bundled names with that beginning, of the whole id or of the part after the slash."""
        from click.shell_completion import CompletionItem

        wanted = incomplete.lower()
        names = [model for model in model_ids() if model.lower().startswith(wanted) or f"/{wanted}" in model.lower()]
        # Of this type the shell itself completes files, with its own rules for quotes and folders.
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def model_argument(function: F) -> F:
    """``[MODEL]``, Llama 3.1 8B when left out; and ``--trust-remote-code``."""
    return click.argument("model", type=ModelReference(), default=DEFAULT_MODEL)(trust_option(function))


# What no command is handed on, by its option: the line that was typed is told with it.
_UNSEEN = "inspector.unseen."


def _trust(context: click.Context, option: click.Parameter, trusted: bool) -> None:
    from inspector.trust import trusting

    context.meta[_UNSEEN + str(option.name)] = trusted

    # With click's context it ends as the command does, by an error too: the next one in this process starts at no.
    context.with_resource(trusting(trusted))


def trust_option(function: F) -> F:
    """``--trust-remote-code``, for as long as the command runs: every command that opens a model has it."""
    return click.option(
        "--trust-remote-code",
        is_flag=True,
        expose_value=False,  # no command hands it on: what opens a model asks `inspector.trust`
        callback=_trust,
        help="Run the code a model brings along, with your rights. Off: none of it runs.",
    )(function)


def vocabulary_options(function: F) -> F:
    """``--resize-vocab`` and ``--pad-to-multiple-of``, for as long as the command runs."""
    rounded = click.option(
        "--pad-to-multiple-of",
        type=int,
        metavar="M",
        expose_value=False,
        callback=_vocabulary,
        help="Round the vocabulary's rows up to a multiple of M, as resize_token_embeddings does.",
    )(function)
    return click.option(
        "--resize-vocab",
        type=int,
        metavar="N",
        expose_value=False,
        is_eager=True,  # before the other, which makes one of both
        callback=_kept,
        help="Give embedding and head N rows, as model.resize_token_embeddings(N) does.",
    )(rounded)


def vocabulary_words() -> list[str]:
    """What was said of the vocabulary, as it is typed."""
    from inspector.skeleton.vocabulary import wanted_vocabulary

    wanted = wanted_vocabulary()
    said = {"--resize-vocab": wanted.tokens, "--pad-to-multiple-of": wanted.pad_to_multiple_of} if wanted else {}
    return [word for name, number in said.items() if number is not None for word in (name, str(number))]


def _kept(context: click.Context, option: click.Parameter, value: int | None) -> None:
    context.meta[_UNSEEN + str(option.name)] = value


def _vocabulary(context: click.Context, option: click.Parameter, value: int | None) -> None:
    from inspector.skeleton.vocabulary import Vocabulary, resizing

    _kept(context, option, value)
    context.with_resource(resizing(Vocabulary.of(context.meta.get(f"{_UNSEEN}resize_vocab"), value)))


def json_option(function: F) -> F:
    """``--json``: the answer for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON: stable keys, integers in bytes.")(function)


def csv_option(function: F) -> F:
    """``--csv``: the table for spreadsheets."""
    return click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV.")(function)


def output_option(function: F) -> F:
    """``-o, --output``: the page as a file."""
    from pathlib import Path

    return click.option(
        "-o", "--output", type=click.Path(path_type=Path), help="Write the page as HTML; - is standard output."
    )(function)


def typed() -> str:
    """The command that is running as it was typed, in the order of its help; where its page goes is left out."""
    import json
    import shlex

    from click.core import ParameterSource

    context = click.get_current_context()
    words = context.command_path.split()
    for option in context.command.params:
        name = option.name or ""
        if name == "output" or context.get_parameter_source(name) != ParameterSource.COMMANDLINE:
            continue
        value = context.params.get(name, context.meta.get(_UNSEEN + name))
        if isinstance(option, click.Argument):
            words += [str(value)]
        elif isinstance(value, bool):
            words += [option.opts[-1] if value else option.secondary_opts[-1]]
        elif option.multiple:
            words += [word for each in value or () for word in (option.opts[0], str(each))]
        else:
            words += [option.opts[0], json.dumps(value) if isinstance(value, dict) else str(value)]
    return shlex.join(words)


def one_form(output: Path | None, *, as_json: bool = False, as_csv: bool = False) -> None:
    """Raise UsageError, before any work is done, when two forms of the answer are asked for.

    Raises InspectorError when the page could not be written.
    """
    from inspector.files import check_place

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if output is not None and (as_json or as_csv):
        raise click.UsageError("--output writes a page: --json and --csv exclude it")
    if output is not None and str(output) != "-":
        check_place(output)


def answer_page(report: Report, output: Path, words: tuple[str, ...] = ()) -> None:
    """Write the page of a report, with the command line that was typed on it.

    ``words`` are those behind it that no option of ours has. Raises InspectorError when the file cannot be written.
    """
    import shlex

    from inspector.files import write_output
    from inspector.render.pages import PAGES

    html: str = PAGES[report.kind](report, command=" ".join(filter(None, (typed(), shlex.join(words)))))
    if str(output) == "-":
        click.echo(html, nl=False)
        return
    write_output(output, html)
    say_written(output)


def answer(report: Report, *, as_json: bool = False, as_csv: bool = False) -> None:
    """Print a report in the form that was asked for: the terminal's page, JSON, or CSV where it is a table.

    Raises UsageError when two forms are asked for, or CSV of what is no table.
    """
    from inspector.reporting import TableReport, renderer, table_renderer

    # Again, for the commands that are done at once and do not ask beforehand.
    one_form(None, as_json=as_json, as_csv=as_csv)
    if as_json:
        from inspector.render.jsonio import document

        click.echo(document(report.kind, report.to_dict()))
    elif as_csv:
        from inspector.render.csvio import csv_text

        if not isinstance(report, TableReport):
            raise click.UsageError("this answer is no table: leave out --csv, or take --json")
        click.echo(csv_text(table_renderer(report.kind).rows(report)))
    else:
        from inspector.render.terminal import console

        console().print(renderer(report.kind).text(report))


def say_written(path: Path) -> None:
    """Name a file that was written, as the last line of standard output."""
    click.echo(str(path))

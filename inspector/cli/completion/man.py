"""`inspector completion man`: the manual page, made of the help of every command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command("man")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; - is standard output.")
def command(output: Path | None) -> None:
    """Write the manual page to where `man inspector` finds it.

    Without -o that is ~/.local/share/man, which man looks into when ~/.local/bin is in the path.

    \b
    Examples:
      inspector completion man
      inspector completion man -o - | man -l -
    """  # noqa: D301
    from inspector.cli.completion.install import data_folder, short
    from inspector.files import write_output

    text = manual_page()
    if output == Path("-"):
        click.echo(text, nl=False)
        return
    path = output or data_folder() / "man" / "man1" / "inspector.1"
    write_output(path, text)
    click.echo(short(path))


def manual_page() -> str:
    """The page in the macros of man(7): what every command does, then its options."""
    from importlib.metadata import version

    from inspector.cli.main import cli

    lines = [f'.TH INSPECTOR 1 "" "inspector {version("llm-inspector")}"', ".SH NAME"]
    lines += [r"inspector \- the memory of a language model, before anyone pays for a GPU", ".SH SYNOPSIS"]
    lines += [".B inspector", "COMMAND [OPTIONS] [MODEL]", ".SH DESCRIPTION", *_told(cli)]
    # As the command line has it: click keeps a command's help option as it was first asked for (`get_help_option`).
    names = cli.context_settings["help_option_names"]
    for path, each in _commands(cli, ()):
        context = click.Context(each, info_name=" ".join(path), help_option_names=names)
        usage = " ".join(each.collect_usage_pieces(context))
        lines += [
            f".SH {_escaped(' '.join(path).upper())}",
            f".B inspector {_escaped(' '.join(path))}",
            _escaped(usage),
            ".PP",
        ]
        lines += _told(each)
        for option in each.params:
            if record := option.get_help_record(context):
                lines += [".TP", f".B {_escaped(record[0])}", _escaped(record[1]) or r"\&"]
    lines += [".SH EXIT STATUS", "0 done; 1 the answer is no; 2 what was typed can be mended; 70 a fault of Inspector."]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, by the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        each = group.get_command(context, name)
        if isinstance(each, click.Group):
            yield from _commands(each, (*path, name))
        elif each is not None:
            yield (*path, name), each


def _told(each: click.Command) -> Iterator[str]:
    """Its help: paragraphs filled, and what click is told not to wrap left as it is."""
    for block in (each.help or "").split("\n\n"):
        kept = "\b" in block
        lines = [_escaped(line) for line in block.replace("\b", "").strip("\n ").splitlines()]
        yield from (".nf", *lines, ".fi", ".PP") if kept else (*(line.strip() for line in lines), ".PP")


def _escaped(text: str) -> str:
    r"""Text that roff takes for text: no dash is a hyphen, no line begins a macro. Source: groff_man_style(7)."""
    text = " ".join(text.split("\n")).replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text

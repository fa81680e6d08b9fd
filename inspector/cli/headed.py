"""Options under headings, old and habitual spellings that are taken but not shown, and choices that know habits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from inspector.skeleton.habits import usual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.parser import _OptionParser

    from inspector.skeleton.habits import Kind

ANSWER = "The answer"
"""The heading of what no other heading names."""


class HeadedOption(click.Option):
    """An option that stands under a heading of the help page; ``unseen`` are further spellings that work as well."""

    def __init__(self, names: Sequence[str], heading: str = ANSWER, unseen: Sequence[str] = (), **more: Any) -> None:
        super().__init__(names, **more)
        self.heading = heading
        self.unseen = list(unseen)

    def add_to_parser(self, parser: _OptionParser, ctx: click.Context) -> None:
        """As click's, with the unseen spellings."""
        seen = self.opts  # the parser reads them here, and so do help and completion, at other times
        self.opts = [*seen, *self.unseen]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = seen


class HeadedCommand(click.Command):
    """A command whose help lists its options under their headings, in the order in which these come up."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One list for each heading; what has none comes last."""
        found: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None and not isinstance(option, click.Argument):  # what stands alone is in the usage
                found.setdefault(getattr(option, "heading", ANSWER), []).append(record)
        last = found.pop(ANSWER, [])
        for heading, records in (*found.items(), (ANSWER, last)):
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class Habitual(click.Choice[str]):
    """A choice that also takes what people type by habit; help and completion have the long forms alone."""

    def __init__(self, choices: Sequence[str], kind: Kind) -> None:
        super().__init__(choices)
        self.kind: Kind = kind

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The long form. Fails as click's for any other word."""
        # Before click's own look, which knows the long forms only.
        return super().convert(usual(self.kind, value), param, ctx)


class OptimizerName(click.ParamType[str]):
    """An optimizer by transformers' name, or by habit; whether there is one is said where it is made."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The long form."""
        return usual("optimizer", value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Transformers' names with that beginning."""
        from click.shell_completion import CompletionItem

        # Here and not above: it reads transformers' source, which a help page need not wait for.
        from inspector.simulate.setup.optimizer_names import optimizer_names

        return [CompletionItem(name) for name in optimizer_names() if name.startswith(incomplete)]


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object, typed as it is or as the name of a file that holds it."""

    name = "file or {...}"

    def convert(
        self, value: str | dict[str, Any], param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """The object. Fails for text that is none."""
        from inspector.files import read_json_object

        # click hands over what is an object already, too (click/types.py, `ParamType`): a default, or Python's own.
        if isinstance(value, dict):
            return value
        # A JSON object begins so, and a file's name all but never.
        if not value.lstrip().startswith("{"):
            return read_json_object(Path(value))
        try:
            found: dict[str, Any] = json.loads(value)
        except ValueError as error:
            self.fail(f"this is no JSON: {error}", param, ctx)
        return found

"""What the site has that is written nowhere else: reports/ as it is, tables of the README, every command's help page.

MkDocs calls :func:`on_files` and :func:`on_page_markdown` by their names and hands arguments over by theirs
(https://www.mkdocs.org/user-guide/configuration/#hooks).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
from mkdocs.structure.files import File

from inspector.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
TABLE = re.compile(r"<!-- README: (?P<begins>.*) -->")
"""Where a page has a table of the README, by how its first line begins: tests hold the figures there."""
COMMANDS = "<!-- commands -->"
"""Where a page has the help of every command."""
BESIDE = re.compile(r"\]\((?:\.\./)+(?P<path>(?:reports|benchmarks|docs)/[^)]*|[A-Z]+\.md)\)")
"""A link out of docs/, as the same text has it where it is read on a forge."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every page of reports/ under the same name."""
    for page in sorted((ROOT / "reports").glob("*.html")):
        files.append(File.generated(config, f"reports/{page.name}", abs_src_path=str(page)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Put in the README's tables, and point what leads from docs/ to reports/ at its place in the site."""
    up = "../" * page.file.src_uri.count("/")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    def table(match: re.Match[str]) -> str:
        start = readme.index("\n" + match["begins"]) + 1
        return readme[start : readme.index("\n\n", start)]

    def link(match: re.Match[str]) -> str:
        path = match["path"]
        return f"]({up}{path})" if path.startswith("reports/") else match[0]

    markdown = TABLE.sub(table, markdown)
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, "\n\n".join(commands(cli, "inspector")))
    return BESIDE.sub(link, markdown)


def commands(command: click.Command, name: str, above: click.Context | None = None) -> Iterator[str]:
    """The help page of a command and of all below it, each under a heading."""
    settings = {"info_name": name.rsplit(maxsplit=1)[-1], "terminal_width": 80, **command.context_settings}
    context = click.Context(command, parent=above, **settings)
    yield f"## {name}\n\n```text\n{command.get_help(context)}\n```"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            if below is not None:
                yield from commands(below, f"{name} {each}", context)

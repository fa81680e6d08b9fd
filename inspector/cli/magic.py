"""``%load_ext inspector``, and ``%%inspector --gpu T4`` over a cell of a notebook."""

from __future__ import annotations

import ast
import builtins
import json
import shlex
import sys
from typing import TYPE_CHECKING, Any, Protocol

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REPORT = "inspector_report"
"""The name that the report has in the notebook afterwards."""


class Shell(Protocol):
    """What is used of IPython's shell: the cells so far, by their numbers, and the notebook's names."""

    user_ns: dict[str, Any]
    display_pub: Any

    def register_magic_function(self, func: Callable[[str, str], None], magic_kind: str, magic_name: str) -> None:
        """Make a magic known."""


def load_ipython_extension(shell: Shell) -> None:
    """What ``%load_ext inspector`` calls."""

    def magic(line: str, cell: str) -> None:
        """Dry-run a cell for a card, in a process of its own: options as of ``inspector run``, and --alone.

        The earlier cells that make what it needs run before it, on shapes too; nothing here is changed.
        """
        try:
            report = run_cell(line, cell, _earlier(shell))
        except InspectorError as error:
            sys.stderr.write(f"inspector: {error}\n")
            return
        shell.user_ns[REPORT] = report
        _show(report, shell)

    shell.register_magic_function(magic, "cell", "inspector")


def run_cell(line: str, cell: str, earlier: Sequence[str]) -> Any:
    """The `ScriptReport` of a cell.

    Args:
        line: the words behind ``%%inspector``.
        cell: its code.
        earlier: the cells that ran before it, in their order.

    Raises:
        InspectorError: for an option that there is not, and as `inspector.run` does.
    """
    from inspector.simulate.script.advised import with_advice
    from inspector.simulate.script.invocation import Invocation
    from inspector.simulate.script.run_folder import run_folder
    from inspector.simulate.script.running import run

    words = shlex.split(line)
    alone = "--alone" in words
    options = _options([word for word in words if word != "--alone"])
    # A line in place of the magic's, which is the first that the notebook shows.
    texts = [_python(text, number) for number, text in enumerate([*earlier, f"\n{cell}"], start=1)]
    taken = {len(earlier)} if alone else needed(texts)
    # Every other cell is there without its code, so that numbers are those that the notebook shows.
    code = [text if at in taken else "pass" for at, text in enumerate(texts)]
    with run_folder("inspector-cell-") as folder:
        path = folder / "notebook.ipynb"
        cells = [{"cell_type": "code", "source": text} for text in code]
        path.write_text(json.dumps({"cells": cells, "nbformat": 4}), encoding="utf-8")
        what = Invocation("notebook", str(path), name=f"cell {len(texts)}", notes=_with(taken, len(texts)),
                          unnamed=True)  # fmt: skip
        report = run(what, **options["run"])
        return with_advice(report, what, **options["advice"]) if options["advise"] else report


def needed(texts: Sequence[str]) -> set[int]:
    """Which cells make names that the last one uses, directly or through others: their places, its own among them."""
    trees = [_tree(text) for text in texts]
    taken, waiting = {len(texts) - 1}, [len(texts) - 1]
    while waiting:
        at = waiting.pop()
        wanted = {node.id for node in ast.walk(trees[at]) if isinstance(node, ast.Name)} - set(dir(builtins))
        for before in range(at):
            if before not in taken and wanted & _made(trees[before]):
                taken.add(before)
                waiting.append(before)
    return taken


def _made(tree: ast.Module) -> set[str]:
    """The names that a cell leaves to others."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return names


def _tree(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])  # Python tells it when it runs; a cell that failed has made nothing


def _python(text: str, number: int) -> str:
    from inspector.simulate.script.notebook.to_python import python_of

    first = text.lstrip().partition("\n")[0]
    if not text.strip() or first.startswith(("%load_ext inspector", "%reload_ext inspector")):
        return "pass"
    return python_of(text, number)[0]


def _with(taken: set[int], count: int) -> tuple[str, ...]:
    others = sorted(at + 1 for at in taken if at + 1 < count)
    if len(others) == 1:
        return (f"cell {others[0]} runs before it: it makes what it needs",)
    return (f"cells {', '.join(map(str, others))} run before it: they make what it needs",) if others else ()


def _options(words: list[str]) -> dict[str, Any]:
    """The options of ``inspector run``, as its own parser reads them. Raises InspectorError for any other word."""
    import click

    from inspector.cli.run import command

    try:
        params = command.make_context("%%inspector", [*words, "cell"]).params
    except click.ClickException as error:
        raise InspectorError(error.format_message(), hint="options as of `inspector run --help`") from None
    except click.exceptions.Exit:  # --help, which has printed it
        raise InspectorError("these options stand behind %%inspector, and --alone") from None
    if params["script"] != "cell" or params["module"]:
        raise InspectorError(f"{params['script']!r} is no option", hint="the script is the cell")
    shared = {name: params[name] for name in ("assume", "data", "lengths", "worst", "network", "vram")}
    shared["steps"] = params["steps"] or 0
    return {
        "run": shared | {name: params[name] for name in ("gpu", "oom", "timeout", "write")},
        "advice": shared | {"timeout": params["timeout"]},
        "advise": params["advise"],
    }


def _earlier(shell: Shell) -> list[str]:
    """The cells before this one, as they were typed; IPython keeps them from the first on, this one last."""
    return list(shell.user_ns.get("In", [""])[1:-1])


def _show(report: Any, shell: Shell) -> None:
    import io

    from inspector.render.terminal import console
    from inspector.reporting import renderer

    page = io.StringIO()
    console(page, width=100).print(renderer(report.kind).text(report))
    shell.display_pub.publish({"text/plain": page.getvalue(), "text/html": report._repr_html_()})

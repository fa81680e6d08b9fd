"""`inspector report`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inspector.cli.options import ModelReference, say_written
from inspector.sources.bundled import DEFAULT_MODEL, find

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.training import Training


@click.command("report")
@click.argument("models", metavar="[MODEL]...", type=ModelReference(), nargs=-1)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; - is standard output.")
@click.option(
    "--deck",
    "story",
    type=click.Choice(["lora-qlora", "sizes", "compare", "finetune"]),
    help="Which story to tell: lora-qlora for one model, compare for several.",
)
@click.option("--dry-run", is_flag=True, help="Simulate training for the slides about it (half a minute, needs torch).")
def command(models: tuple[str, ...], output: Path | None, story: str | None, dry_run: bool) -> None:
    """Write the teaching deck of a model: one HTML file, no network needed.

    Slides in a browser window, a readable page on a phone, one slide a sheet when printed.
    Without -o the file goes to reports/. Several models are set side by side.

    \b
    Examples:
      inspector report
      inspector report qwen2.5-7b -o qwen.html
      inspector report llama-3.1-8b --deck sizes
      inspector report llama-3.1-8b qwen2.5-7b gemma-2-9b phi-3-medium-4k-instruct
    """  # noqa: D301
    import shlex

    from inspector.compare import COURSE_CANDIDATES
    from inspector.files import write_text
    from inspector.lesson import lesson
    from inspector.render.deck import deck_html
    from inspector.sources.resolve import resolve

    skeletons = [resolve(model) for model in models or (DEFAULT_MODEL,)]
    chosen = story or ("compare" if len(skeletons) > 1 else "lora-qlora")
    candidates = skeletons
    if len(skeletons) == 1 and chosen == "lora-qlora":
        others = (model for model in COURSE_CANDIDATES if model != skeletons[0].model_id)
        candidates = [*skeletons, *map(resolve, others)]
    names = [known if (known := find(given)) else given for given in models or (DEFAULT_MODEL,)]
    words = ["inspector", "report", *names, *(["--deck", chosen] if story else []), *(["--dry-run"] if dry_run else [])]
    told = lesson(skeletons[0], candidates)
    if dry_run:
        told = replace(told, training=_training(names[0], told))
    page = deck_html(told, story=chosen, command=shlex.join(words))
    if output == Path("-"):
        click.echo(page, nl=False)
        return
    path = output or Path("reports") / _file_name([model.model_id for model in skeletons], chosen)
    write_text(path, page)
    say_written(path)


def _training(name: str, told: Lesson) -> Training:
    """Dry runs made now, with a line for each on standard error when it is a terminal."""
    import sys

    from inspector.lesson.training import make

    def progress(what: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"dry run: {what}", err=True)

    return make(name, told.model, told.adapters, progress=progress)


def _file_name(models: list[str], story: str) -> str:
    """``Llama-3.1-8B.html``; the story's name in it when it is not the default, and all models of a comparison."""
    import re

    names = "-vs-".join(model.rpartition("/")[2] for model in models)
    stem = re.sub(r"[^\w.-]+", "-", names)[:120] + ("" if story in {"lora-qlora", "compare"} else f"-{story}")
    return f"{stem}.html"

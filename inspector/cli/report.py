"""`inspector report`."""

from __future__ import annotations

from pathlib import Path

import click

from inspector.cli.options import ModelReference, say_written
from inspector.sources.bundled import DEFAULT_MODEL, find


@click.command("report")
@click.argument("models", metavar="[MODEL]...", type=ModelReference(), nargs=-1)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; - is standard output.")
@click.option(
    "--deck",
    "story",
    type=click.Choice(["lora-qlora", "sizes", "compare", "finetune"]),
    help="Which story to tell: lora-qlora for one model, compare for several.",
)
def command(models: tuple[str, ...], output: Path | None, story: str | None) -> None:
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
    words = ["inspector", "report", *names, *(["--deck", chosen] if story else [])]
    page = deck_html(lesson(skeletons[0], candidates), story=chosen, command=shlex.join(words))
    if output == Path("-"):
        click.echo(page, nl=False)
        return
    path = output or Path("reports") / _file_name([model.model_id for model in skeletons], chosen)
    write_text(path, page)
    say_written(path)


def _file_name(models: list[str], story: str) -> str:
    """``Llama-3.1-8B.html``; the story's name in it when it is not the default, and all models of a comparison."""
    import re

    names = "-vs-".join(model.rpartition("/")[2] for model in models)
    stem = re.sub(r"[^\w.-]+", "-", names)[:120] + ("" if story in {"lora-qlora", "compare"} else f"-{story}")
    return f"{stem}.html"

"""`inspector report`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inspector.cli.options import ModelReference, say_written, trust_option, vocabulary_options, vocabulary_words
from inspector.sources.bundled import DEFAULT_MODEL, find

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.training import Training


@click.command("report")
@click.argument("models", metavar="[MODEL]...", type=ModelReference(), nargs=-1)
@trust_option
@vocabulary_options
@click.option(
    "--config",
    "config",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A trainer's file (axolotl, LLaMA-Factory, TRL, ...) that names the model.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; - is standard output.")
@click.option(
    "--deck",
    "story",
    type=click.Choice(["lora-qlora", "short", "sizes", "compare", "finetune"]),
    help="Which story to tell: lora-qlora for one model, compare for several.",
)
@click.option(
    "--format", "form", type=click.Choice(["html", "handout", "pptx", "ipynb"]), default="html", show_default=True
)
@click.option("--lang", "language", type=click.Choice(["en", "de"]), default="en", show_default=True)
@click.option("--dry-run", is_flag=True, help="Simulate training for the slides about it (half a minute, needs torch).")
@click.option(
    "--what-if", "grid", is_flag=True, help="Simulate the what-if grid anew (minutes, needs torch; Ctrl-C, and go on)."
)
def command(
    models: tuple[str, ...],
    config: tuple[Path, ...],
    output: Path | None,
    story: str | None,
    form: str,
    language: str,
    dry_run: bool,
    grid: bool,
) -> None:
    """Write the teaching deck of a model: one HTML file, no network needed.

    Slides in a browser window, a readable page on a phone, one slide a sheet when printed.
    Without -o the file goes to reports/. Several models are set side by side.
    --format handout writes a page for paper: slides with what is said, exercises, answers.
    --what-if simulates all that its chips can say, some 400 dry runs; a few models ship with theirs.
    --format pptx writes PowerPoint with native charts (pip install 'llm-inspector[pptx]').
    --format ipynb writes a notebook of one model, for Colab: it predicts, then measures on the
    GPU that is there and draws both side by side.

    \b
    Examples:
      inspector report
      inspector report qwen2.5-7b -o qwen.html
      inspector report llama-3.1-8b --deck sizes
      inspector report llama-3.2-1b --format ipynb
      inspector report llama-3.1-8b qwen2.5-7b gemma-2-9b phi-3-medium-4k-instruct
    """  # noqa: D301
    import shlex

    from inspector.files import write_output
    from inspector.lenses.compare import COURSE_CANDIDATES
    from inspector.lesson import lesson
    from inspector.lesson.as_stored import as_stored, stored_title
    from inspector.lesson.one_model import spoken
    from inspector.render.deck import STORIES, deck_html, handout_html
    from inspector.render.pptx import deck_pptx
    from inspector.sources.resolve import locate, resolve

    if form == "ipynb" and (len(models) > 1 or story or dry_run or language != "en"):
        raise click.UsageError(
            "a notebook is of one model, one story and English: leave out --deck, --dry-run and --lang"
        )
    models = models or _named_by(config)
    sources = [locate(model) for model in models or (DEFAULT_MODEL,)]
    skeletons = [source.skeleton for source in sources]
    chosen = story or ("compare" if len(skeletons) > 1 else "lora-qlora")
    candidates = skeletons
    # These stories set the model beside those that the course chooses between, at the cost of loading them.
    if len(skeletons) == 1 and chosen in {"lora-qlora", "sizes"}:
        others = (model for model in COURSE_CANDIDATES if model != skeletons[0].model_id)
        candidates = [*skeletons, *map(resolve, others)]
    names = [known if (known := find(given)) else given for given in models or (DEFAULT_MODEL,)]
    words = [
        "inspector",
        "report",
        *names,
        *(["--deck", chosen] if story else []),
        *(["--lang", language] if language != "en" else []),
        *(["--dry-run"] if dry_run else []),
        *(["--what-if"] if grid else []),
        *vocabulary_words(),
    ]
    line = shlex.join([*words, *(["--format", form] if form != "html" else [])])
    data: bytes | str
    if form == "ipynb":
        from inspector.render.notebook_file import notebook

        data = notebook(names[0], name=spoken(skeletons[0].model_id), options=_load_options(), command=line)
    else:
        titles = [stored_title(source) for source in sources]  # the course's own are plain
        told = lesson(skeletons[0], candidates, stored=as_stored(sources[0]), titles=titles)
        if dry_run:
            told = replace(told, training=_training(names[0], told))
        if grid and "what-if" in STORIES[chosen]:
            told = _with_grid(names[0], told)
        if form == "pptx":
            data = deck_pptx(told, story=chosen, command=line, language=language)
        else:
            draw = handout_html if form == "handout" else deck_html
            data = draw(told, story=chosen, command=line, language=language)
    if output == Path("-"):
        click.echo(data, nl=False)
        return
    ending = "-handout.html" if form == "handout" else f".{form}"
    path = output or Path("reports") / f"{_stem([model.model_id for model in skeletons], chosen)}{ending}"
    write_output(path, data)
    say_written(path)


def _named_by(config: tuple[Path, ...]) -> tuple[str, ...]:
    """The model that files name; none where no file is given. Raises InspectorError where they name none."""
    if not config:
        return ()
    from inspector.errors import InspectorError
    from inspector.simulate.setup.configured import read_config
    from inspector.simulate.setup.from_config import model_of

    model = model_of(read_config(config))
    if model is None:
        raise InspectorError(f"{config[0].name} names no model", hint="name it: inspector report MODEL")
    return (model,)


def _load_options() -> list[tuple[str, object]]:
    """What was said of the vocabulary and of trust, in the words of `inspector.load`."""
    from inspector.skeleton.vocabulary import wanted_vocabulary
    from inspector.trust import is_code_trusted

    wanted = wanted_vocabulary()
    said: dict[str, object] = {"trust_remote_code": is_code_trusted() or None}
    if wanted:
        said |= {"resize_vocab": wanted.tokens, "pad_to_multiple_of": wanted.pad_to_multiple_of}
    return [(name, value) for name, value in said.items() if value is not None]


def _training(name: str, told: Lesson) -> Training:
    """Dry runs made now, with a line for each on standard error when it is a terminal."""
    import sys

    from inspector.lesson.training import make

    def progress(what: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"dry run: {what}", err=True)

    return make(name, told.model, told.adapters, told.stored, progress=progress)


def _with_grid(name: str, told: Lesson) -> Lesson:
    """The lesson with a grid and films made now; a run that is broken off says that it goes on where it was."""
    from inspector.lesson import film_runs, what_if_runs
    from inspector.lesson.what_if import choices
    from inspector.progress import counting

    total = len(choices([own for own, _ in what_if_runs.targets_of(told.usual)]))
    try:
        with counting(f"what if, {told.model}", total) as advance:
            grid = what_if_runs.make(name, told.model, told.usual, progress=lambda _done, _all: advance())
        films = film_runs.make(name, told.usual, told.adapters.r)
    except KeyboardInterrupt:
        click.echo("stopped; what was simulated is kept, and the same command goes on from there", err=True)
        raise
    return replace(told, what_if=grid, films=films)


def _stem(models: list[str], story: str) -> str:
    """The file's name, ``Llama-3.1-8B``: all models of a comparison, the story unless it is the usual one."""
    import re

    names = "-vs-".join(model.rpartition("/")[2] for model in models)
    # A name may have 255 bytes on most file systems, and the story and the ending come after.
    return re.sub(r"[^\w.-]+", "-", names)[:120] + ("" if story in {"lora-qlora", "compare"} else f"-{story}")

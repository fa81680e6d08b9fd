"""`inspector chart`."""

from __future__ import annotations

from pathlib import Path

import click

from inspector.cli.options import ModelReference, say_written, trust_option, vocabulary_options
from inspector.sources.bundled import DEFAULT_MODEL


@click.command("chart")
# No Choice: the names are in `inspector.render.charts`, which is imported when one is drawn and not for help.
@click.argument("name", metavar="CHART")
@click.argument("models", metavar="[MODEL]...", type=ModelReference(), nargs=-1)
@trust_option
@vocabulary_options
@click.option("--format", "form", type=click.Choice(["html", "png", "svg", "json"]), default="html", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; - is standard output.")
def command(name: str, models: tuple[str, ...], form: str, output: Path | None) -> None:
    """Write one of the report's charts alone.

    CHART is sizes, waterfall, levels, training, trusted, compare or models.
    png and svg need the extra llm-inspector[png] and a Chrome or Chromium.

    \b
    Examples:
      inspector chart sizes
      inspector chart waterfall qwen2.5-7b --format svg -o waterfall.svg
      inspector chart compare llama-3.1-8b gemma-2-9b --format json -o -
    """  # noqa: D301
    from inspector.files import write_output
    from inspector.lenses.compare import COURSE_CANDIDATES
    from inspector.lesson import lesson
    from inspector.lesson.as_stored import as_stored
    from inspector.render.charts import chart
    from inspector.render.charts.files import chart_bytes
    from inspector.sources.resolve import locate

    chosen = models or (COURSE_CANDIDATES if name in {"compare", "models"} else (DEFAULT_MODEL,))
    sources = [locate(model) for model in chosen]
    told = lesson(sources[0].skeleton, [source.skeleton for source in sources], stored=as_stored(sources[0]))
    data = chart_bytes(chart(name, told), form)
    if output == Path("-"):
        # A picture is bytes: a new line after them would be one that is not its own.
        click.echo(data, nl=False)
        return
    path = output or Path("reports") / f"{name}.{form}"
    write_output(path, data)
    say_written(path)

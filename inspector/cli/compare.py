"""`inspector compare`."""

from __future__ import annotations

import click

from inspector.cli.options import ModelReference, answer, csv_option, json_option, trust_option, vocabulary_options


@click.command("compare")
@click.argument("models", metavar="[MODEL]...", type=ModelReference(), nargs=-1)
@trust_option
@vocabulary_options
@click.option("--r", "rank", type=int, default=32, show_default=True, help="Rank of the adapters compared.")
@click.option("--scheme", "names", multiple=True, metavar="NAME", help="Only this precision; repeat for several.")
@json_option
@csv_option
def command(models: tuple[str, ...], rank: int, names: tuple[str, ...], as_json: bool, as_csv: bool) -> None:
    """Set base models side by side: size, memory, vocabulary, context, adapters.

    Without MODEL, the four a course on fine-tuning chooses between. Sizes are what
    get_memory_footprint() prints; adapters go to every attention layer, in float32.

    \b
    Examples:
      inspector compare
      inspector compare llama-3.1-8b qwen2.5-7b
      inspector compare llama-3.1-8b llama-3.1-8b-instruct --scheme nf4-dq
      inspector compare --csv
    """  # noqa: D301
    from inspector.lenses.compare import COURSE_CANDIDATES, SCHEMES, compare
    from inspector.lesson.as_stored import stored_title
    from inspector.sources.resolve import locate

    sources = [locate(model) for model in models or COURSE_CANDIDATES]
    titles = [stored_title(source) for source in sources]
    report = compare([source.skeleton for source in sources], rank=rank, schemes=names or SCHEMES, stored=titles)
    answer(report, as_json=as_json, as_csv=as_csv)

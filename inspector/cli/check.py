"""`inspector check`."""

from __future__ import annotations

from pathlib import Path

import click

from inspector.cli.options import answer, json_option, trust_option


@click.command("check")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--file", type=click.Path(path_type=Path), help="Left out: the nearest pyproject.toml or inspector.toml upwards."
)
@click.option("--update", is_flag=True, help="Write today's figures beside the limits, and nothing else.")
@json_option
@trust_option
def command(runs: tuple[str, ...], file: Path | None, *, update: bool, as_json: bool) -> int:
    """Hold the runs of a repository to their limits: what a training takes today, and what it may take.

    Runs stand in [tool.inspector] of pyproject.toml, or in inspector.toml: each a model with the options
    of `simulate finetune` (or `simulate generate`), a trainer's configuration file, or a script.
    Limits are of peak, allocated, reserved, steady, margin, weights, cache and trainable.
    Exit code 0 when all hold, 1 when one broke, 2 for a broken file and where a run has no answer.

    \b
    Examples:
      inspector check
      inspector check train --update
      inspector check --file inspector.toml --json > check.json

    \b
      [tool.inspector]                      # defaults
      gpu = "T4"
      [tool.inspector.runs.train]
      model = "llama-3.2-1b"
      seq-len = 2048
      limits = ["peak <= 15 GiB", "trainable <= 1 %"]
      fits = ["T4", "RTX 3060"]
      [tool.inspector.runs.script]
      script = "train.py --batch 4"
      limits = ["peak <= 10 GiB"]
    """  # noqa: D301
    from inspector.fit.checks import check
    from inspector.progress import working

    with working("checking") as tell:
        report = check(file, runs, update=update, progress=tell)
    answer(report, as_json=as_json)
    return 2 if report.failed else int(not report.holds)

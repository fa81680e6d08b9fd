"""`inspector config`."""

from __future__ import annotations

from pathlib import Path

import click

from inspector.cli.options import answer, json_option


@click.command("config")
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--gpus", type=int, default=None, metavar="N", help="So many cards, where no file says how many.")
@click.option(
    "--tool-version",
    default="",
    metavar="VERSION",
    help="Of the trainer, 0.18.0 of TRL; transformers==4.52 for that one. Left out: told from the keys.",
)
@json_option
def command(files: tuple[Path, ...], *, gpus: int | None, tool_version: str, as_json: bool) -> None:
    """Show what a trainer's configuration file resolves to: every setting, its line or the default.

    axolotl, LLaMA-Factory, TRL, alignment-handbook and open-r1 recipes, torchtune, a TrainingArguments
    JSON, accelerate, DeepSpeed, or the options of `simulate finetune` by name; told apart by content.
    Several files make one training. First comes what was not understood and changes memory.
    Nothing in a file is run. The same files go to --config of `simulate finetune` and `fit`.

    \b
    Examples:
      inspector config axolotl.yml
      inspector config train.yaml --json
      inspector config train.yaml ds_zero3.json --gpus 8
      inspector config sft.yaml --tool-version 0.18.0
    """  # noqa: D301
    from inspector.simulate.setup.configured import read_config

    answer(read_config(files, tool_version=tool_version, gpus=gpus), as_json=as_json)

"""`inspector fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from inspector.cli.headed import HeadedCommand
from inspector.cli.options import (
    ModelReference,
    answer,
    csv_option,
    json_option,
    one_form,
    trust_option,
    vocabulary_options,
)
from inspector.cli.settings import CARD, FINETUNE, headed, vram_option, with_settings
from inspector.simulate.setup.settings import FinetuneSettings

if TYPE_CHECKING:
    from inspector.simulate.setup.options import FitOptions


SERVING = "Serving"


@click.command("fit", cls=HeadedCommand)
# Its --gpu is one of its own, as it may be said several times.
@with_settings(FinetuneSettings, FINETUNE - {"gpu"})
@headed("--gpu", heading=CARD, multiple=True, help="A card, several times, or all. One card: what to change on it.")
@vram_option
@headed("--solve", heading=CARD, is_flag=True, help="With one card: the largest batch, length and rank that fit.")
@headed("--gpus", heading=CARD, type=int, default=None, metavar="N", help="Up to N cards of a kind: ways to share.")
@headed("--config", heading=CARD, multiple=True, type=click.Path(path_type=Path),
        help="A file of a trainer (axolotl, LLaMA-Factory, TRL, ...); with --gpus of accelerate or DeepSpeed too; "
        "repeatable.")  # fmt: skip
@headed("--tool-version", heading=CARD, default="", metavar="VERSION", help="Of the trainer whose file it is.")
@headed("--serving", heading=SERVING, is_flag=True, help="Which cards and engines hold so many users.")
@headed("--users", heading=SERVING, type=int, default=None, metavar="N", help="Requests at once (1).")
@headed("--context", heading=SERVING, type=int, default=None, metavar="N", help="Tokens of each (the model's length).")
@vocabulary_options
@json_option
@csv_option
@trust_option
# No default here: a configuration file brings a model of its own.
@click.argument("model", type=ModelReference(), required=False)
def command(model: str | None, *, as_json: bool, as_csv: bool, **options: Unpack[FitOptions]) -> int:
    """Show which way of training a model fits which card, and what to change where it does not.

    Without --gpu, or with several: a table of methods by cards. With one: the verdict with its margin, the
    cheapest changes that make it fit, and with --solve how far it can go. Every number is a simulated step.
    With --gpus: the ways to share one training among cards, and how many each way needs.
    With --serving: vLLM, SGLang and llama.cpp on cards, those that hold all users, the least memory first.
    On cards that are not NVIDIA's (MI300X, Arc A770): what weights, adapters and optimizer take at the least.
    Exit code 0 when (something) fits, 1 when it does not.

    \b
    Examples:
      inspector fit
      inspector fit qwen2.5-7b --gpu T4 --gpu "RTX 4090" --seq-len 2048
      inspector fit --gpu T4 --method lora --batch-size 4
      inspector fit --gpu "RTX 3060" --r 32 --solve --json
      inspector fit llama-3.1-70b --method qlora --gpus 4
      inspector fit llama-3.1-8b --serving --users 50 --context 8192
      inspector fit llama-3.1-8b --method full --gpus 8 --config ds_config.json
      inspector fit --config sft.yaml --gpu L4
    """  # noqa: D301
    from inspector.fit.on_cards import fit_or_serve
    from inspector.progress import working

    # Refused here already: `answer` would do so too, but after minutes of dry runs.
    one_form(None, as_json=as_json, as_csv=as_csv)
    with working("asking engines" if options.get("serving") else "simulating training steps") as say:
        report = fit_or_serve(model, progress=say, **options)
    answer(report, as_json=as_json, as_csv=as_csv)
    return 0 if report.fits else 1

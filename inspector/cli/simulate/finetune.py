"""`inspector simulate finetune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import click

from inspector.cli.headed import HeadedCommand
from inspector.cli.options import (
    ModelReference,
    answer,
    answer_page,
    json_option,
    one_form,
    output_option,
    trust_option,
    vocabulary_options,
)
from inspector.cli.settings import CARD, FINETUNE, TRAINED, headed, snapshot_option, vram_option, with_settings
from inspector.simulate.setup.recipes import RECIPES
from inspector.simulate.setup.settings import FinetuneSettings

if TYPE_CHECKING:
    from pathlib import Path

    from inspector.simulate.setup.options import FinetuneOptions


@click.command("finetune", cls=HeadedCommand)
# No default here: a recipe brings a model of its own, and one that was said goes before it.
@click.argument("model", type=ModelReference(), required=False)
@headed("--recipe", heading=TRAINED, default="", help=f"Start from: {', '.join(item.name for item in RECIPES)}.")
@with_settings(FinetuneSettings, FINETUNE)
@vram_option
@headed(
    "--advise/--no-advise",
    heading=CARD,
    default=None,  # left out, it advises where a card was named
    help="Simulate what makes it fit, where it does not (with --gpu or --vram).",
)
@headed("--solve", heading=CARD, is_flag=True, help="Find the largest batch, length and rank that fit.")
@snapshot_option
@vocabulary_options
@output_option
@json_option
@trust_option
def command(
    model: str | None,
    output: Path | None,
    *,
    as_json: bool,
    **options: Unpack[FinetuneOptions],
) -> int:
    """Predict what fine-tuning a model takes on a card: allocated, reserved, the whole process.

    The real training step of transformers, PEFT and bitsandbytes runs on tensors without data;
    every allocation is replayed through a model of PyTorch's caching allocator.
    With --gpu or --vram, the cheapest changes that make it fit where it does not, each one simulated.
    Exit code 0 when it fits the card, 1 when it does not.

    \b
    Examples:
      inspector simulate finetune
      inspector simulate finetune qwen2.5-7b --r 16 --seq-len 2048 --gpu L4
      inspector simulate finetune --recipe week7-lite --json
      inspector simulate finetune llama-3.2-1b --gpu T4 -o dry-run.html
      inspector simulate finetune --method full --optimizer adamw_8bit --gpu H100
    """  # noqa: D301
    from inspector.fit.advise import finetune_with_advice
    from inspector.progress import working

    one_form(output, as_json=as_json)
    with working("simulating a training step"):
        report = finetune_with_advice(model, **options)
    if output is None:
        answer(report, as_json=as_json)
    else:
        answer_page(report, output)
    return 0 if report.fits else 1

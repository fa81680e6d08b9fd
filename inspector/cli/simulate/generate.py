"""`inspector simulate generate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, get_args

import click

from inspector.cli.headed import HeadedCommand
from inspector.cli.options import (
    answer,
    answer_page,
    json_option,
    model_argument,
    one_form,
    output_option,
    vocabulary_options,
)
from inspector.cli.settings import CARD, GENERATE, headed, vram_option, with_settings
from inspector.simulate.setup.device_map import How
from inspector.simulate.setup.generation import GenerateSettings

if TYPE_CHECKING:
    from pathlib import Path

    from inspector.simulate.setup.options import GenerateOptions


@click.command("generate", cls=HeadedCommand)
@with_settings(GenerateSettings, GENERATE)
@vram_option
@headed("--solve", heading=CARD, is_flag=True, help="Find the longest prompt that fits.")
@headed("--gpus", heading=CARD, type=int, default=None, metavar="N", help="Spread over so many cards alike.")
@headed(
    "--device-map",
    heading=CARD,
    type=click.Choice(get_args(How)),
    default=None,
    metavar="WORD",
    help="How: auto, balanced, balanced_low_0, sequential.",
)
@headed("--max-memory", heading=CARD, default=None, metavar="0=SIZE,cpu=SIZE", help="What each card and the host give.")
@headed("--parallel", heading=CARD, default=None, metavar="WAY", help="Share every layer: tp:2, or ep:2 of experts.")
@vocabulary_options
@output_option
@json_option
@model_argument
def command(model: str, output: Path | None, *, as_json: bool, **options: Unpack[GenerateOptions]) -> int:
    """Predict what generating text takes: the prompt, the last token, the cache.

    The real model runs on tensors without data, with transformers' own cache classes.
    On a card that is not NVIDIA's (MI300X, M3 Max 64GB, TPU v5e): weights and cache, at the least.
    With --gpus the model is spread over cards as accelerate's own device_map spreads it; --parallel tp:2 shares every
    layer, by transformers' own tensor parallelism.
    Exit code 0 when it fits, 1 when it does not.

    \b
    Examples:
      inspector simulate generate
      inspector simulate generate --prompt-len 8192 --batch-size 4 --gpu L4
      inspector simulate generate gemma-3-1b-it --cache static --solve
      inspector simulate generate --bits 4 --gpu T4 --solve --json
      inspector simulate generate -o generation.html
      inspector simulate generate llama-3.1-70b --gpu L40S --gpus 4
      inspector simulate generate llama-3.1-70b --gpu H100 --parallel tp:4
    """  # noqa: D301
    from inspector.fit.longest_prompt import generate_with_longest_prompt
    from inspector.progress import working

    one_form(output, as_json=as_json)
    with working("simulating generation"):
        report = generate_with_longest_prompt(model, **options)
    if output is not None and report.kind == "at_least":
        raise click.UsageError("what is taken at the least has no page: leave out --output")
    if output is None:
        answer(report, as_json=as_json)
    else:
        answer_page(report, output)
    return 0 if report.fits else 1

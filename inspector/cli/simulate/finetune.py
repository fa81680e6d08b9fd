"""`inspector simulate finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack, get_args

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
from inspector.cli.settings import (
    CARD,
    CARDS,
    FINETUNE,
    RUN_OF_STEPS,
    TRAINED,
    headed,
    snapshot_option,
    vram_option,
    with_settings,
)
from inspector.simulate.setup.cards_asked import WhichRanks
from inspector.simulate.setup.parallel import KNOWN, Offload, Wrap
from inspector.simulate.setup.recipes import RECIPES
from inspector.simulate.setup.settings import FinetuneSettings
from inspector.simulate.setup.words import Dtype

if TYPE_CHECKING:
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
@headed(
    "--lengths",
    heading=RUN_OF_STEPS,
    default="",
    metavar="LENGTHS",
    help="Tokens of the samples: a file of numbers, lognormal:mean,sigma,max, or a data set (alpaca).",
)
@headed(
    "--group-by-length",
    heading=RUN_OF_STEPS,
    is_flag=True,
    default=None,
    help="Samples of about one length together, as transformers' LengthGroupedSampler.",
)
@headed(
    "--pad-batches-to", heading=RUN_OF_STEPS, type=int, default=None, metavar="N", help="To a multiple of N tokens."
)
@headed("--seed", heading=RUN_OF_STEPS, type=int, default=None, metavar="N", help="Of the samples' order (0).")
@headed("--gpus", heading=CARDS, type=int, default=None, metavar="N", help="So many cards alike, in all.")
@headed("--parallel", heading=CARDS, default=None, metavar="WAY", help=f"How they share it: {KNOWN}.")
@headed("--nodes", heading=CARDS, type=int, default=None, metavar="N", help="Machines they are in (1).")
@headed("--offload", heading=CARDS, type=click.Choice(get_args(Offload)), default=None, help="Kept on the host.")
@headed(
    "--config",
    heading=CARDS,
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file of a trainer (axolotl, LLaMA-Factory, TRL, ...), accelerate or DeepSpeed; repeatable.",
)
@headed("--tool-version", heading=CARDS, default="", metavar="VERSION", help="Of the trainer whose file it is.")
@headed("--rank", heading=CARDS, type=click.Choice(get_args(WhichRanks)), default=None, help="Which ranks to trace.")
@headed("--wrap", heading=CARDS, type=click.Choice(get_args(Wrap)), default=None, help="Which modules are units.")
@headed(
    "--quant-storage",
    heading=CARDS,
    type=click.Choice(get_args(Dtype)),
    default=None,
    help="bnb_4bit_quant_storage: what FSDP shards 4-bit weights by.",
)
@headed(
    "--parallel-option",
    heading=CARDS,
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other: gradient_as_bucket_view=true, ...; repeatable.",
)
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
    With --gpus the real wrappers run on fake ranks, and each rank's card is reported.
    With --lengths a run of --steps steps (2,000), its batches as long as samples come: what is
    reserved as it goes on, the step at which it would stop, and what would keep it from there.
    Exit code 0 when it fits, 1 when it does not.

    \b
    Examples:
      inspector simulate finetune
      inspector simulate finetune qwen2.5-7b --r 16 --seq-len 2048 --gpu L4
      inspector simulate finetune --recipe week7-lite --json
      inspector simulate finetune llama-3.2-1b --gpu T4 -o dry-run.html
      inspector simulate finetune --method full --optimizer adamw_8bit --gpu H100
      inspector simulate finetune --method full --gpus 8 --parallel fsdp2
      inspector simulate finetune --config axolotl.yml --gpu A100-80GB
      inspector simulate finetune smollm2-135m --lengths alpaca --batch-size 8
    """  # noqa: D301
    from inspector.fit.ways import finetune_anywhere
    from inspector.progress import working

    one_form(output, as_json=as_json)
    with working("simulating a training step"):
        report = finetune_anywhere(model, **options)
    if output is None:
        answer(report, as_json=as_json)
    else:
        answer_page(report, output)
    return 0 if report.fits else 1

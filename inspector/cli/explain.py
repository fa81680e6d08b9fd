"""`inspector explain`."""

from __future__ import annotations

import sys
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
from inspector.cli.settings import CARDS, FINETUNE, GENERATE, TRAINED, headed, vram_option, with_settings
from inspector.simulate.setup.generation import GenerateSettings
from inspector.simulate.setup.parallel import KNOWN, Offload
from inspector.simulate.setup.recipes import RECIPES
from inspector.simulate.setup.settings import FinetuneSettings

if TYPE_CHECKING:
    from inspector.explain.options import ExplainOptions
    from inspector.reporting import Report


@click.command("explain", cls=HeadedCommand)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.argument("model", type=ModelReference(), required=False)
@headed("--recipe", heading=TRAINED, default="", help=f"Start from: {', '.join(item.name for item in RECIPES)}.")
@with_settings(FinetuneSettings, FINETUNE)
@with_settings(GenerateSettings, GENERATE - FINETUNE)
@vram_option
@headed("--gpus", heading=CARDS, type=int, default=None, metavar="N", help="So many cards alike, in all.")
@headed("--parallel", heading=CARDS, default=None, metavar="WAY", help=f"How they share it: {KNOWN}.")
@headed("--nodes", heading=CARDS, type=int, default=None, metavar="N", help="Machines they are in (1).")
@headed("--offload", heading=CARDS, type=click.Choice(get_args(Offload)), default=None, help="Kept on the host.")
@headed(
    "--config",
    heading=CARDS,
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file of accelerate or DeepSpeed; repeatable.",
)
@vocabulary_options
@output_option
@json_option
@trust_option
def command(
    file: Path, model: str | None, output: Path | None, *, as_json: bool, **options: Unpack[ExplainOptions]
) -> None:
    """Explain an out-of-memory error: what it says, why, which tensor it was, what helps.

    FILE is a log, a traceback or the message alone; - is standard input. Any PyTorch from 1.13 on; errors of
    the driver, the host, NCCL, cuBLAS, bitsandbytes, vLLM, llama.cpp and others are told apart.
    A start-up log of vLLM, SGLang or llama.cpp is held to the engine's own rules, figure by figure;
    --gpu names its card.
    With MODEL the size that was asked for is compared with every tensor of it. With settings, those of
    `simulate finetune` or `simulate generate`, the run is simulated on the message's card, and what helps.

    \b
    Examples:
      inspector explain oom.txt
      inspector explain oom.txt qwen2.5-7b
      python train.py 2>&1 | inspector explain - llama-3.1-8b
      inspector explain oom.txt llama-3.1-8b --method lora --seq-len 2048
      inspector explain startup.log --gpu "RTX 4090"
      inspector explain oom.txt -o oom.html
    """  # noqa: D301
    from inspector.explain.explaining import explain_error
    from inspector.explain.log import MOST_BYTES, decoded, plain
    from inspector.explain.startup import explain_startup, is_startup
    from inspector.files import read_bytes

    one_form(output, as_json=as_json)
    data = sys.stdin.buffer.read(MOST_BYTES + 1) if str(file) == "-" else read_bytes(file, limit=MOST_BYTES)
    report: Report
    if is_startup(data):
        if others := sorted(name for name, value in options.items() if value and name not in {"gpu", "vram"}):
            raise click.UsageError(f"a start-up log is of an engine, and {others[0]} is a setting of none")
        words = plain(decoded(data))
        asked = {name: str(options.get(name) or "") for name in ("gpu", "vram")}
        report = explain_startup(words, model or "", source=str(file), **asked)
    else:
        report = explain_error(data, model, source=str(file), **options)
    if output is None or report.kind == "startup":
        answer(report, as_json=as_json)
    else:
        answer_page(report, output)

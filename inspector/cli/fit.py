"""`inspector fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from inspector.cli.options import answer, csv_option, json_option, model_argument, one_form
from inspector.cli.simulate.finetune import OPTIONS
from inspector.cli.simulate.options import settings

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN = {"gpu", "steps"}


def _with_settings(function: Any) -> Any:
    """The settings of `inspector simulate finetune`, for one card."""
    for option in reversed(OPTIONS):
        probe = option(lambda: None).__click_params__[0]
        if probe.name not in _OWN:
            function = option(function)
    return function


@click.command("fit")
@model_argument
@click.option("--gpu", "gpus", multiple=True, help="A card, several times, or all. One card: what to change on it.")
@click.option("--vram", default="", help="One card by its memory, such as 16GiB.")
@click.option("--solve", is_flag=True, help="With one card: the largest batch, length and rank that fit.")
@_with_settings
@json_option
@csv_option
def command(
    model: str, gpus: tuple[str, ...], vram: str, *, solve: bool, as_json: bool, as_csv: bool, **said: Any
) -> int:
    """Show which way of training a model fits which card, and what to change where it does not.

    Without --gpu, or with several: a table of methods by cards. With one: the verdict with its margin, the
    cheapest changes that make it fit, and with --solve how far it can go. Every number is a simulated step.
    Exit code 0 when (something) fits, 1 when it does not.

    \b
    Examples:
      inspector fit
      inspector fit qwen2.5-7b --gpu T4 --gpu "RTX 4090" --seq-len 2048
      inspector fit --gpu T4 --method lora --batch-size 4
      inspector fit --gpu "RTX 3060" --r 32 --solve --json
    """  # noqa: D301
    from inspector.progress import working

    one_form(None, as_json=as_json, as_csv=as_csv)
    options = settings(said)
    with working("simulating training steps") as say:
        if vram or (len(gpus) == 1 and gpus[0] != "all"):
            report, fits = _plan(model, gpus, vram, options, solve=solve)
        else:
            report, fits = _table(model, gpus, options, say, solve=solve)
    answer(report, as_json=as_json, as_csv=as_csv)
    return 0 if fits else 1


def _plan(model: str, gpus: tuple[str, ...], vram: str, options: dict[str, Any], *, solve: bool) -> tuple[Any, bool]:
    from inspector.fit.plan import plan
    from inspector.gpus import card_of_size, find_gpu
    from inspector.simulate.setup.finetuning import resolve_setup
    from inspector.sources.bundled import find
    from inspector.sources.resolve import resolve_config

    if vram and gpus:
        raise click.UsageError("--gpu and --vram exclude each other")
    card = card_of_size(vram) if vram else find_gpu(gpus[0])
    report = plan(find(model) or model, resolve_config(model), resolve_setup(**options).settings, card, solve=solve)
    return report, report.fits


def _table(
    model: str, gpus: tuple[str, ...], options: dict[str, Any], say: Callable[[str], None], *, solve: bool
) -> tuple[Any, bool]:
    from inspector.fit.table import USUAL_CARDS, fit_table
    from inspector.sources.bundled import find
    from inspector.sources.resolve import resolve, resolve_config

    other = sorted(set(options) - {"batch_size", "seq_len", "dtype"})
    if other or solve:
        raise click.UsageError(f"{', '.join(other) or '--solve'} needs one card: name it with --gpu")
    dtype = options.pop("dtype", "") or resolve(model).facts.dtype
    report = fit_table(
        find(model) or model, resolve_config(model), dtype, gpus=gpus or USUAL_CARDS, progress=say, **options
    )
    return report, any(cell.peaks.fits for cell in report.cells)

"""`inspector lora`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inspector.cli.headed import Habitual
from inspector.cli.options import answer, csv_option, json_option, model_argument, vocabulary_options

if TYPE_CHECKING:
    from inspector.lora.spec import Bias


@click.command("lora")
@model_argument
# No range: `LoraSpec` knows which ranks there may be, for Python's callers as well.
@click.option("--r", "ranks", type=int, multiple=True, help="Rank; repeat for several. Default: 8, 16 and 32.")
@click.option(
    "--target-modules", "targets", multiple=True, metavar="SET|NAMES",
    help="attention, q+v, mlp, experts, all-linear, default (PEFT's), names joined by commas, or a regular expression. "
    "Repeat for several. Default: every set the model has.",
)  # fmt: skip
@click.option("--target-parameters", metavar="NAMES", help="Parameters without a module, such as experts.down_proj.")
@click.option("--alpha", type=int, help="Scale of the update; changes no size. Default: twice r.")
@click.option("--use-dora", is_flag=True, help="DoRA: one more number for every output.")
@click.option("--use-rslora", is_flag=True, help="rsLoRA: another scale, the same size.")
@click.option(
    "--bias",
    type=click.Choice(["none", "all", "lora_only"]),
    default="none",
    show_default=True,
    help="Biases to train.",
)
@click.option("--modules-to-save", metavar="NAMES", help="Modules to train whole, such as lm_head,embed_tokens.")
@click.option("--rank-pattern", multiple=True, metavar="NAME=R", help="Another rank for what matches; repeatable.")
@click.option("--alpha-pattern", multiple=True, metavar="NAME=A", help="Another alpha for what matches; repeatable.")
@click.option("--layers-to-transform", metavar="NUMBERS", help="Only in these layers, such as 0,1 or 0-7.")
@click.option("--layers-pattern", metavar="NAMES", help="What the layers are numbered below, such as layers or h.")
@click.option("--exclude-modules", metavar="NAMES", help="Targets to leave out, or a regular expression.")
@click.option(
    "--trainable-token-indices",
    multiple=True,
    metavar="[NAME=]NUMBERS",
    help="Train these tokens' rows of the input embedding, or of NAME; repeatable.",
)
@click.option(
    "--adapter-dtype",
    type=Habitual(["float32", "bfloat16", "float16"], "dtype"),
    default="float32",
    show_default=True,
    help="Dtype of A and B.",
)
@json_option
@csv_option
@vocabulary_options
def command(
    model: str,
    ranks: tuple[int, ...],
    targets: tuple[str, ...],
    target_parameters: str | None,
    alpha: int | None,
    use_dora: bool,
    use_rslora: bool,
    bias: Bias,
    modules_to_save: str | None,
    rank_pattern: tuple[str, ...],
    alpha_pattern: tuple[str, ...],
    layers_to_transform: str | None,
    layers_pattern: str | None,
    exclude_modules: str | None,
    trainable_token_indices: tuple[str, ...],
    adapter_dtype: str,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Count LoRA parameters and megabytes for each target set and rank, as PEFT does.

    \b
    Examples:
      inspector lora
      inspector lora --r 32 --target-modules q_proj,k_proj,v_proj,o_proj
      inspector lora qwen3-30b-a3b --target-modules experts --r 8
      inspector lora --target-modules '.*layers\\.(0|1)\\..*_proj' --use-dora
    """  # noqa: D301
    from inspector import lora as lens
    from inspector.lora.options import (
        chosen_sets,
        excluded_modules,
        parsed_pattern,
        token_indices,
        whole_numbers,
        words,
    )
    from inspector.sources.resolve import resolve

    skeleton = resolve(model)
    spec = lens.LoraSpec(
        lora_alpha=alpha,
        use_dora=use_dora,
        use_rslora=use_rslora,
        bias=bias,
        modules_to_save=words(modules_to_save),
        rank_pattern=parsed_pattern(rank_pattern),
        alpha_pattern=parsed_pattern(alpha_pattern),
        layers_to_transform=whole_numbers(layers_to_transform or "", "layers_to_transform"),
        layers_pattern=words(layers_pattern),
        exclude_modules=excluded_modules(exclude_modules),
        trainable_token_indices=token_indices(trainable_token_indices),
        adapter_dtype=adapter_dtype,
    )
    sets = chosen_sets(skeleton, targets, words(target_parameters))
    report = lens.lora(skeleton, ranks or lens.DEFAULT_RANKS, sets, spec)
    answer(report, as_json=as_json, as_csv=as_csv)

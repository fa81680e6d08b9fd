"""`inspector adapter`."""

from __future__ import annotations

import click

from inspector.cli.options import ModelReference, answer, csv_option, json_option, trust_option, vocabulary_options


@click.command("adapter")
# No ModelReference: that one completes the bundled models, and none of them is an adapter.
@click.argument("adapter")
@click.option(
    "--base",
    type=ModelReference(),
    metavar="MODEL",
    help="The model to load it on. Default: the one its config names, where that is a folder or bundled.",
)
@click.option("--bits", type=click.Choice(["4", "8"]), help="Load the base in so many bits by bitsandbytes (4: nf4).")
@trust_option
@vocabulary_options
@json_option
@csv_option
def command(adapter: str, base: str | None, bits: str | None, as_json: bool, as_csv: bool) -> None:
    """Show what a saved adapter holds, whether PEFT or llama.cpp would load it, and what merging it costs.

    ADAPTER is a folder, one safetensors or GGUF file, or a name on the hub, of which only the config and the header of
    the weights are read. PEFT itself is asked, without weights, on the base as it is stored (4 bits, GPTQ) or as --bits
    loads it; an adapter in GGUF is held against the base by llama.cpp's rules. Where no base is at hand, its own config
    alone is held against its tensors. Exits with 1 when it would not be loaded on the base.

    \b
    Examples:
      inspector adapter ./my-lora
      inspector adapter ./my-lora --base llama-3.1-8b
      inspector adapter ./my-lora --base llama-3.1-8b --bits 4
      inspector adapter ./my-lora/adapter_model.safetensors --base ./my-model --json
      inspector adapter ./my-lora-f16.gguf --base ./my-model-q4_k_m.gguf
      inspector adapter org/name@main
    """  # noqa: D301
    from inspector.errors import CHECK_FAILED
    from inspector.lenses.saved_adapter import read_adapter

    report = read_adapter(adapter, base, bits=int(bits) if bits else None)
    answer(report, as_json=as_json, as_csv=as_csv)
    if report.fails:
        click.get_current_context().exit(CHECK_FAILED)

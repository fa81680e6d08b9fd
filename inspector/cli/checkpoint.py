"""`inspector checkpoint`."""

from __future__ import annotations

import click

from inspector.cli.options import ModelReference, answer, csv_option, json_option, trust_option, vocabulary_options


@click.command("checkpoint")
@click.argument("model", type=ModelReference())
@trust_option
@vocabulary_options
@json_option
@csv_option
def command(model: str, as_json: bool, as_csv: bool) -> None:
    """Show what a model's files store, beside what its architecture expects.

    MODEL is a folder of safetensors, one such file, a GGUF file, or a name on the hub, of which only the headers are
    read. Of a folder those files are weighed that transformers loads, and the others are listed. Missing, unexpected
    and misshapen tensors are named, and tied ones that are stored twice; a GGUF file is held against its own header.

    \b
    Examples:
      inspector checkpoint ./my-model
      inspector checkpoint ./llama-3.1-8b-q4_k_m.gguf
      inspector checkpoint hf:meta-llama/Llama-3.1-8B --json
    """  # noqa: D301
    from inspector.checkpoint.against_skeleton import compare_with_skeleton
    from inspector.errors import InspectorError
    from inspector.sources.loaded_files import unread_error
    from inspector.sources.resolve import locate

    source = locate(model)
    if source.checkpoint is None:
        if source.unread:
            raise unread_error(source.unread, source.readable)
        raise InspectorError(f"{source.name} is a config without weights here", hint=source.readable)
    answer(compare_with_skeleton(source.checkpoint, source.skeleton_of_files), as_json=as_json, as_csv=as_csv)

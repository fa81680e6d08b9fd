"""`inspector diff`."""

from __future__ import annotations

import click

from inspector.cli.options import ModelReference, answer, csv_option, json_option, trust_option, vocabulary_options


@click.command("diff")
@click.argument("before", type=ModelReference())
@click.argument("after", type=ModelReference())
@trust_option
@vocabulary_options
@click.option("--stored", is_flag=True, help="Compare what files store; of a model without, what it would save.")
@json_option
@csv_option
def command(before: str, after: str, stored: bool, as_json: bool, as_csv: bool) -> None:
    """Show what differs between two models: facts, tensors, shapes. Equal layers are told once.

    \b
    Examples:
      inspector diff llama-3.1-8b llama-3.1-8b-instruct
      inspector diff qwen2.5-0.5b qwen3-0.6b
      inspector diff ./before ./after --stored
      inspector diff ./model-q4_k_m.gguf ./model --stored
    """  # noqa: D301
    from inspector.errors import InspectorError
    from inspector.lenses.diff import Side, checkpoint_side, diff, expected_side, skeleton_side
    from inspector.sources.resolve import locate

    files: list[str] = []

    def side(reference: str) -> Side:
        source = locate(reference)
        if not stored:
            return skeleton_side(source.skeleton)
        if source.checkpoint is None:
            return expected_side(source.skeleton)
        files.append(source.name)
        return checkpoint_side(source.checkpoint, source.skeleton if source.checkpoint.format == "gguf" else None)

    sides = side(before), side(after)
    if stored and not files:
        raise InspectorError("neither model has files to compare", hint="leave out --stored")
    answer(diff(*sides), as_json=as_json, as_csv=as_csv)

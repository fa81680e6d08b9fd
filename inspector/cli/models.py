"""`inspector models`."""

from __future__ import annotations

import click


@click.command("models")
@click.argument("pattern", default="")
def command(pattern: str) -> None:
    """List the bundled models, one a line; PATTERN keeps those that contain it.

    \b
    Examples:
      inspector models
      inspector models qwen3
    """  # noqa: D301
    from inspector.errors import InspectorError
    from inspector.sources.bundled import model_ids

    found = [model for model in model_ids() if pattern.lower() in model.lower()]
    if not found:
        raise InspectorError(f"no bundled model contains {pattern!r}", hint="`inspector models` lists all")
    click.echo("\n".join(found))

"""`inspector doctor`."""

from __future__ import annotations

import click

from inspector.cli.options import answer, json_option


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Say what can be measured here and, if something cannot, why and what to do.

    Exit code 1 when no quantized model can be built on any device.

    \b
    Examples:
      inspector doctor
      inspector doctor --json
    """  # noqa: D301
    from inspector.measure.doctor import doctor

    report = doctor()
    answer(report, as_json=as_json)
    return 0 if report.can_measure else 1

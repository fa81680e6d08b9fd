"""`inspector doctor`."""

from __future__ import annotations

import click

from inspector.cli.options import answer, json_option


@click.command("doctor")
@click.option("--report", "to_paste", is_flag=True, help="A block to paste: versions, card, settings, the last error.")
@json_option
def command(*, to_paste: bool, as_json: bool) -> int:
    """Say what can be measured here and, if something cannot, why and what to do.

    Exit code 1 when no quantized model can be built on any device. --report is for who is asked for
    help: nothing personal is in it, no folder, user, host or token.

    \b
    Examples:
      inspector doctor
      inspector doctor --json
      inspector doctor --report
    """  # noqa: D301
    if to_paste:
        from inspector.measure.doctor_report import doctor_report

        answer(doctor_report(), as_json=as_json)
        return 0
    from inspector.measure.doctor import doctor

    report = doctor()
    answer(report, as_json=as_json)
    return 0 if report.can_measure else 1

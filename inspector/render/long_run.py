"""A simulated run of many steps whose batches differ in length, as a terminal page and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import heading, notes, page, table
from inspector.units import mebibytes, percent

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inspector.render.charts import Chart
    from inspector.simulate.long_run.running import LongRunReport, Way
    from inspector.simulate.long_run.steps import Replayed

WORDS = (
    "unused: reserved, and no step has needed it yet; gave back: steps in which cached memory had to go back to the "
    "card. MiB = 2^20 bytes."
)
SHOWN = (1, 2, 5)
"""Steps that are shown of each power of ten."""


def text(report: LongRunReport) -> RenderableType:
    """The page `inspector simulate finetune --lengths` prints."""
    style = "bold green" if report.fits else "bold red"
    return page(
        heading(report.model, what(report), samples_line(report)),
        Text(verdict_line(report), style=style),
        _steps(report),
        _ways(report),
        notes(
            (
                *report.assumptions,
                traced_line(report),
                _versions(report),
                WORDS,
            )
        ),
    )


def charts(report: LongRunReport) -> tuple[Chart, ...]:
    """Reserved over the steps, in every way."""
    from inspector.render.charts.long_run import reserved_over_steps

    return (reserved_over_steps(report),)


def what(report: LongRunReport) -> str:
    """The run in a line: method, batch, optimizer, steps."""
    setup = report.setup
    stored = setup.load.quantization
    quantized = f" on {stored.scheme}{'-dq' if stored.double_quant else ''}" if stored else ""
    accumulated = f" x {report.batches.accumulated}" if report.batches.accumulated > 1 else ""
    return (
        f"{setup.method}{quantized}, {report.steps:,} steps of {report.batches.size}{accumulated} samples, "
        f"{setup.loop.optimizer}"
    )


def samples_line(report: LongRunReport) -> str:
    """Where the lengths come from."""
    cut = f", cut to {report.batches.longest:,}" if report.batches.longest else ""
    return f"lengths of {report.samples.typed}{cut}: batches of {min(report.tokens):,} to {max(report.tokens):,} tokens"


def traced_line(report: LongRunReport) -> str:
    """How many lengths were traced."""
    return (
        f"{report.traced:,} of {report.lengths:,} lengths were traced; what the others take follows from them exactly"
    )


def verdict_line(report: LongRunReport) -> str:
    """The verdict in a sentence."""
    stopped = report.run.stopped
    if stopped is None:
        left = report.gpu.available_bytes - report.run.peak_reserved
        return f"{report.verdict} on {report.gpu.with_article}, {mebibytes(left)} left"
    return (
        f"{report.verdict} on {report.gpu.with_article}: {mebibytes(stopped.requested)} asked for, "
        f"{mebibytes(stopped.reserved)} reserved, of which {mebibytes(stopped.reserved - stopped.allocated)} "
        "are free in pieces"
    )


def shown_steps(run: Replayed) -> tuple[int, ...]:
    """Numbers of steps, from 0 on, that tell the story: 1, 2, 5, 10, 20, ... and the last."""
    last = len(run.reserved)
    found = {digit * 10**power for power in range(6) for digit in SHOWN if digit * 10**power <= last}
    return tuple(sorted(number - 1 for number in found | ({last} if last else set())))


def _steps(report: LongRunReport) -> Table:
    rows = table(
        "step, MiB", ("longest yet", "right"), ("allocated", "right"), ("reserved", "right"), ("unused", "right")
    )
    run = report.run
    for number in shown_steps(run):
        most = max(run.allocated[: number + 1])
        reserved = run.reserved[number]
        # Of what is reserved by now, what no step has needed yet.
        rows.add_row(
            f"{number + 1:,}", f"{max(report.tokens[: number + 1]):,}", _mib(run.allocated[number]),
            _mib(reserved), percent(max(reserved - most, 0), reserved),
        )  # fmt: skip
    return rows


def _ways(report: LongRunReport) -> Table:
    rows = table("way, MiB", ("allocated", "right"), ("reserved", "right"), "ends")
    for way in report.ways:
        run = way.run
        style = "green" if run.stopped is None else "red"
        rows.add_row(way.name, _mib(run.peak_allocated), _mib(run.peak_reserved), Text(end_of(way), style=style))
    return rows


def end_of(way: Way) -> str:
    """What became of the run in one way, in words."""
    stopped = way.run.stopped
    if stopped is None:
        given = len(way.run.gave_back)
        return f"well; gave back in {given:,}" if given else "well"
    return "on loading" if stopped.step < 0 else f"out of memory in step {stopped.step + 1:,}"


def _mib(nbytes: int) -> str:
    return f"{nbytes / 2**20:,.1f}"


def _versions(report: LongRunReport) -> str:
    return "simulated with " + ", ".join(f"{name} {version}" for name, version in report.versions.items())


def payload(report: LongRunReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.long_run``."""
    return {
        "model": report.model,
        "gpu": {
            "name": report.gpu.name,
            "usable_bytes": report.gpu.usable_bytes,
            "context_bytes": report.gpu.context_bytes,
        },
        "verdict": report.verdict,
        "fits": report.fits,
        "lengths": report.samples.typed,
        "lengths_source": report.samples.of.source if report.samples.of else "",
        "batches": asdict(report.batches),
        "steps": report.steps,
        "lengths_seen": report.lengths,
        "lengths_traced": report.traced,
        "tokens": list(report.tokens),
        "ways": [_way(way) for way in report.ways],
        "settings": {name: dict(setting) for name, setting in report.settings.items()},
        "versions": dict(report.versions),
        "assumptions": list(report.assumptions),
    }


def _way(way: Way) -> dict[str, Any]:
    return {
        "name": way.name,
        "expandable_segments": way.expandable_segments,
        "pad_batches_to": way.multiple,
        "empty_cache_every": way.empty_every,
        "peak_allocated_bytes": way.run.peak_allocated,
        "peak_reserved_bytes": way.run.peak_reserved,
        "stopped": None if way.run.stopped is None else asdict(way.run.stopped),
        "allocated_bytes": list(way.run.allocated),
        "reserved_bytes": list(way.run.reserved),
        "steps_that_gave_back": list(way.run.gave_back),
    }

"""What helps another to help, as a block to paste and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import page
from inspector.safe_text import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.measure.doctor_report import DoctorReport


def text(report: DoctorReport) -> RenderableType:
    """The block `inspector doctor --report` prints: Markdown, no colours."""
    # Folded by nobody: a line is pasted whole.
    return page(Text("\n".join(lines(report)), no_wrap=True, overflow="ignore"))


def lines(report: DoctorReport) -> list[str]:
    """The block, line by line."""
    found = ["```text"]
    found += [f"{name} {version}" for name, version in report.versions.items()]
    found += [report.system]
    found += [f"card: {clean(card)}" for card in report.cards] or [f"card: none ({clean(report.no_card)})"]
    found += [f"{name}={clean(value)}" for name, value in report.settings.items()] or ["no setting"]
    if report.error is None:
        found += ["no error was kept"]
    else:
        found += ["", f"last error, exit code {report.error.exit_code}, {report.error.day}:"]
        found += [f"$ {clean(report.error.command)}", *map(clean, report.error.text.splitlines())]
    # A fence within would end the block.
    return [*(line.replace("```", "'''") if at else line for at, line in enumerate(found)), "```"]


def payload(report: DoctorReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.doctor_report``."""
    return {
        "versions": dict(report.versions),
        "system": report.system,
        "cards": list(report.cards),
        "no_card": report.no_card,
        "settings": dict(report.settings),
        "error": asdict(report.error) if report.error else None,
        "block": "\n".join(lines(report)),
    }

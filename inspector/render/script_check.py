"""What a look at a script found, as a terminal page and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from inspector.render.terminal import heading, notes, page, table
from inspector.simulate.script.check.report import GRADES

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.simulate.script.check import CheckReport, Finding, Grade

_TITLES: dict[Grade, str] = {
    "error": "mistakes of the script",
    "refused": "not simulated",
    "assumed": "assumed",
    "skipped": "skipped",
}


def text(report: CheckReport) -> RenderableType:
    """The page `inspector run --check` prints."""
    count = len(report.hindrances)
    title = f"{report.name} can be simulated"
    if count:
        title = (
            f"{report.name} cannot be simulated as it stands: {count} {'thing' if count == 1 else 'things'} to change"
        )
    read = (
        f"read, not run: {', '.join(report.files)}"
        if report.files
        else "an installed module: only its options were read"
    )
    parts: list[RenderableType] = [heading(title, read)]
    parts += [_table(_TITLES[grade], found) for grade in GRADES if (found := report.of(grade))]
    if any(not each.certain for each in report.findings):
        parts.append(notes(["(?) in a branch or a function that may not be reached"]))
    return page(*parts)


def _table(title: str, found: tuple[Finding, ...]) -> RenderableType:
    made = table("", "", title=title)
    made.show_header = False
    for each in found:
        doubt = "" if each.certain else " (?)"
        made.add_row(str(each.place), f"{each.what}{doubt}" + (f"\n-> {each.instead}" if each.instead else ""))
    return made


def payload(report: CheckReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.script_check``."""
    return {
        "script": report.name,
        "can_run": report.can_run,
        "files": list(report.files),
        "findings": [_finding(each) for each in report.findings],
    }


def _finding(each: Finding) -> dict[str, Any]:
    """One finding, flat; ``line`` 0 is the command line, ``cell`` 0 no cell."""
    return {
        "grade": each.grade,
        "what": each.what,
        "instead": each.instead,
        "certain": each.certain,
        **asdict(each.place),
    }

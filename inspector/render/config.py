"""What configuration files resolve to, as a terminal page and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.simulate.setup.configured import ConfigReport
    from inspector.simulate.setup.readers.reading import NotRead, Told

_LONGEST = 28


def text(report: ConfigReport) -> RenderableType:
    """The page `inspector config` prints: first what was not understood and changes memory, then every setting."""
    parts: list[RenderableType] = [heading(" and ".join(map(clean, report.files)), *map(clean, report.versions))]
    for title, matters in (
        ("Not understood, and it changes memory", True), ("Not known to the tool: it may change memory", None),
    ):  # fmt: skip
        if found := [one for one in report.not_read if one.matters is matters]:
            parts.append(Group(Text(title, style="bold"), Text("\n".join(map(_line, found)))))
    rows = table("setting", "value", "set by")
    rows.columns[0].no_wrap = True  # what is searched for in the file's own words stays in one piece
    for one in report.told.values():
        name = one.name.replace("gradient_checkpointing", "checkpointing")
        rows.add_row(name, _value(one.value), _set_by(one, report.versions, alone=len(report.files) == 1))
    parts.append(rows)
    silent = [one for one in report.not_read if one.matters is False]
    said = [f"{_name(name)}: {clean(line)}" for name, line in report.notes.items()]
    said += map(_line, silent)
    if report.without_effect:
        keys = "key changes" if report.without_effect == 1 else "keys change"
        said.append(f"{count(report.without_effect)} other {keys} no memory")
    return page(*parts, notes(tuple(said)))


def _name(note: str) -> str:
    return note.removesuffix("_note").replace("_", " ")


def _line(one: NotRead) -> str:
    return clean(f"- {one.where}: {one.key + ': ' if one.key and one.key not in one.why else ''}{one.why}")


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return clean("\n".join(map(str, value)))
    if isinstance(value, float) and value.is_integer() and abs(value) >= 1000:
        return count(int(value))
    if isinstance(value, int):
        return count(value)
    said = str(value)
    # A long name is cut into lines at its slashes, and only then anywhere.
    return clean("\n".join(said.split("/", 1)) if len(said) > _LONGEST and "/" in said else said)


def _set_by(one: Told, versions: tuple[str, ...], *, alone: bool) -> str:
    if one.by == "file":
        return f"line {one.line}" if alone and one.line else clean(one.where)
    if one.by == "you":
        return clean(one.where)
    # Whose default it is stands in the heading, with its version.
    why = next((one.where.removeprefix(said).removeprefix(": ") for said in versions if one.where.startswith(said)), "")
    return clean(f"{one.by}: {why}" if why else one.by)


def payload(report: ConfigReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.config``."""
    return {
        "files": list(report.files),
        "tools": list(report.tools),
        "tool_versions": list(report.versions),
        "not_understood": [asdict(one) for one in report.not_read],
        "without_effect": report.without_effect,
        "resolved": report.resolved,
        "settings": {
            name: {"value": one.value, "set_by": one.by, "where": one.where, "line": one.line}
            for name, one in report.told.items()
        },
    }

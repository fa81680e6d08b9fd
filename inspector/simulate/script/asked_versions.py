"""What an installed package asks of others, beside what is here: the first thing to look at where its command fails."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.simulate.script.invocation import Invocation
    from inspector.simulate.script.report import ScriptReport

MOST = 4
"""Packages that are named."""


def told(report: ScriptReport, what: Invocation) -> ScriptReport:
    """The report of a package's command or module, which says so where it failed."""
    failed = report.script_exit_code and what.kind in {"module", "entry"}
    said = unmet(what.target) if failed else ""
    return replace(report, assumptions=(said, *report.assumptions)) if said else report


def unmet(target: str) -> str:
    """The packages that the one of a module or entry point asks for in another version, in a line; "" without any.

    What is not installed at all is told by the import that misses it.
    """
    found = _distribution(target.partition(":")[0].partition(".")[0])
    if found is None:
        return ""
    from packaging.requirements import InvalidRequirement, Requirement

    others = []
    for text in found.requires or ():
        try:
            asked = Requirement(text)
            if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
                continue
            here = version(asked.name)
        except (InvalidRequirement, PackageNotFoundError):
            continue
        if not asked.specifier.contains(here, prereleases=True):
            others.append(f"{asked.name} {asked.specifier} ({here})")
    if not others:
        return ""
    more = f" and {len(others) - MOST} more" if len(others) > MOST else ""
    named = ", ".join(sorted(others, key=_weight)[:MOST])
    return (
        f"{found.metadata['Name']} {found.version} asks for other versions than are here: {named}{more}; an environment"
        " of its own, with Inspector in it, has them"
    )


_FIRST = ("transformers", "trl", "peft", "accelerate", "torch", "datasets")


def _weight(text: str) -> tuple[int, str]:
    """What a training hangs on first."""
    name = text.partition(" ")[0]
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


def _distribution(package: str) -> Distribution | None:
    for name in (package, package.replace("_", "-")):
        try:
            return distribution(name)
        except (PackageNotFoundError, ValueError):
            continue
    return None

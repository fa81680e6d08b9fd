"""What the documents of every simulated run share: what was alive at its peak, and how it came about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspector.simulate.finetuning import StepReport
    from inspector.simulate.generation import GenerateReport
    from inspector.simulate.script.report import ScriptReport


def how_it_came_about(report: StepReport | GenerateReport | ScriptReport) -> dict[str, Any]:
    """The keys that `inspector.simulate` and `inspector.generate` have in common (docs/json.md)."""
    return {
        # The root of the modules has an empty path, which would be an empty key.
        "modules_at_peak": {share.name or "(model)": share.nbytes for share in report.modules_at_peak},
        "largest_at_peak": [
            {"bytes": item.nbytes, "kind": item.kind, "module": item.module, "source": item.source}
            for item in report.largest_at_peak
        ],
        "timeline": [
            {"event": p.event, "step": p.step, "stage": p.stage, "allocated": p.allocated, "reserved": p.reserved}
            for p in report.timeline
        ],
        "timeline_kinds": {line.kind: list(line.nbytes) for line in report.timeline_kinds},
    }

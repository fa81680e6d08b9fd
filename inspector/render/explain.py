"""An explained error as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from inspector.explain.kinds import SIZED
from inspector.fit.plan import FitPlan
from inspector.render import fit_plan
from inspector.render.terminal import heading, notes, page, table
from inspector.reporting import renderer
from inspector.safe_text import clean
from inspector.units import count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.explain import Explained, ExplainReport
    from inspector.explain.candidate import Candidate
    from inspector.explain.frames import Frame
    from inspector.explain.tensor import Named

_SHOWN = 4
"""Candidates on the page; the JSON has them all."""
_NAMES = {
    "tried": "tried to allocate", "capacity": "the card", "free": "free on the card",
    "allowed": "allowed to this process", "this_process": "this process, all of it",
    "allocated_by_pytorch": "allocated by PyTorch", "in_private_pools": "of it in private pools (CUDA graphs)",
    "reserved_unallocated": "reserved and unallocated", "reserved_total": "reserved in total",
    "cached": "cached (reserved, in no tensor)", "other": "other allocations", "needed": "needed",
    "available": "available",
}  # fmt: skip
_CAUSES = {
    "full": "truly full", "fragmented": "enough memory, in pieces", "other processes": "filled by other processes",
    "limit": "the process's own limit", "spilled": "spilled to host memory",
    "larger than the card": "larger than the whole card", "unknown": "cannot be told",
}  # fmt: skip


def text(report: ExplainReport) -> RenderableType:
    """The page `inspector explain` prints."""
    parts: list[RenderableType] = []
    for at, error in enumerate(report.errors):
        which = "" if report.found == 1 else ("the last" if at else "the first") + f" of {count(report.found)} errors, "
        parts += _error(error, which, report)
    if report.simulated is not None:
        parts += _simulated(report)
    asked = "sizes are the allocator's requests: blocks of 512 bytes, then whole steps of 2 MiB; MiB = 2^20 bytes"
    sized = any(error.error.name in SIZED for error in report.errors)
    return page(*parts, *([notes((*report.notes, *((asked,) if sized else ())))] if report.notes or sized else []))


def _error(error: Explained, which: str, report: ExplainReport) -> list[RenderableType]:
    figures = error.figures
    where = f"{which}line {count(error.line)}" + (f", rank {error.rank}" if error.rank else "")
    facts = [where] + ([f"the words of PyTorch {figures.torch}"] if figures.torch else [])
    title = error.error.title + (f" on GPU {figures.gpu}" if figures.gpu is not None else "")
    parts: list[RenderableType] = [heading(title, *facts), Text(clean(error.error.says))]
    if said := _figures(error):
        parts.append(said)
    if error.verdict is not None:
        why = Text("\n".join(clean(line) for line in error.verdict.lines))
        parts.append(Group(Text(f"Why: {_CAUSES[error.verdict.cause]}", style="bold"), why))
    if error.named is not None:
        parts += _named(error.named, report)
    if error.own is not None or error.library is not None:
        parts.append(_frames(error))
    if error.helps:
        lines = "\n".join(f"- {clean(line)}" for line in error.helps)
        parts.append(Group(Text("What helps", style="bold"), Text(lines)))
    return parts


def _figures(error: Explained) -> RenderableType | None:
    figures = error.figures
    rows = table("the message says", ("", "right"), ("bytes", "right"))
    for name, size in figures.sizes().items():
        rows.add_row(_NAMES[name], size.text, count(size.nbytes))
    for size in figures.other_processes:
        rows.add_row("another process", size.text, count(size.nbytes))
    for name, tokens in (("tokens wanted", figures.tokens_wanted), ("tokens possible", figures.tokens_possible)):
        if tokens is not None:
            rows.add_row(name, count(tokens), "")
    return rows if rows.row_count else None


def _named(named: Named, report: ExplainReport) -> list[RenderableType]:
    model = f" in {report.model}" if report.model else ""
    best = named.tensor
    told = f"{best.what}" if best else named.sort or "no match"
    head = Text(f"Which tensor{model}: {clean(told)} ({named.certainty})" if best or named.sort else
                f"Which tensor{model}: no match", style="bold")  # fmt: skip
    parts: list[RenderableType] = [Group(head, Text(clean(named.why)))]
    if named.candidates:
        rows = table("candidate", "formula, and what it assumes", ("bytes", "right"))
        for one in named.candidates[:_SHOWN]:
            rows.add_row(clean(one.what), _formula(one), count(one.tensor_bytes))
        if len(named.candidates) > _SHOWN:
            rows.add_row(f"and {len(named.candidates) - _SHOWN} more", "", "")
        parts.append(rows)
    return parts


def _formula(one: Candidate) -> str:
    lines = [f"{one.formula}, asks for {one.prints}"]
    if one.where:
        lines.append(clean(one.where) + (f" ({count(one.count)} alike)" if one.count > 1 else ""))
    return "\n".join([*lines, *map(clean, one.assumes)])


def _frames(error: Explained) -> RenderableType:
    rows = table("whose line", "where", "code")
    for whose, frame in (("yours", error.own), (error.library.library if error.library else "", error.library)):
        if frame is not None:
            rows.add_row(whose, clean(frame.place), clean(frame.code))
    return rows


def _simulated(report: ExplainReport) -> list[RenderableType]:
    """The plan of a fine-tuning, where it does not fit; else the verdict in the words of its own report."""
    found = report.simulated
    plan = getattr(found, "plan", None)
    if isinstance(plan, FitPlan):
        return [Text("Simulated, as it is and changed", style="bold"), fit_plan.text(plan)]
    return [Text("Simulated", style="bold"), renderer(found.kind).text(found)] if found is not None else []


def payload(report: ExplainReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.explain``."""
    return {
        "source": report.source,
        "model": report.model,
        "model_said": report.model_said,
        "num_found": report.found,
        "errors": [_payload(error) for error in report.errors],
        "simulated_format": f"inspector.{report.simulated.kind}" if report.simulated else None,
        "simulated": report.simulated.to_dict() if report.simulated else None,
        "notes": list(report.notes),
    }


def _payload(error: Explained) -> dict[str, Any]:
    figures, named, verdict = error.figures, error.named, error.verdict
    sizes = figures.sizes()
    others = [size.text for size in figures.other_processes]
    return {
        "kind": error.error.name,
        "title": error.error.title,
        "says": error.error.says,
        "line": error.line,
        "rank": error.rank,
        "form": figures.form,
        "torch": figures.torch,
        "printed": {
            "gpu": figures.gpu,
            **{name: sizes[name].text if name in sizes else None for name in _NAMES},
            "other_processes": others or None,
            "tokens_wanted": figures.tokens_wanted,
            "tokens_possible": figures.tokens_possible,
        },
        "bytes": {
            **{name: sizes[name].nbytes if name in sizes else None for name in _NAMES},
            "other_processes": [size.nbytes for size in figures.other_processes] or None,
        },
        "cause": verdict.cause if verdict else None,
        "arithmetic": list(verdict.lines) if verdict else [],
        "missing_bytes": verdict.missing if verdict else None,
        "others_bytes": verdict.others if verdict else None,
        "operator": error.operator.name if error.operator else None,
        "own_frame": _frame(error.own),
        "library_frame": _frame(error.library),
        "tensor": _candidate(named.tensor) if named and named.tensor else None,
        "tensor_sort": named.sort if named else "",
        "certainty": named.certainty if named else None,
        "why": named.why if named else "",
        "candidates": [_candidate(one) for one in named.candidates] if named else [],
        "helps": list(error.helps),
    }


def _frame(frame: Frame | None) -> dict[str, Any] | None:
    if frame is None:
        return None
    return {
        "file": frame.path,
        "line": frame.line,
        "function": frame.function,
        "code": frame.code,
        "library": frame.library,
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    return {
        "tensor": one.what,
        "family": one.family,
        "formula": one.formula,
        "tensor_bytes": one.tensor_bytes,
        "rounded_bytes": one.rounded_bytes,
        "prints": one.prints,
        "basis": one.basis,
        "where": one.where,
        "num_alike": one.count,
        "assumes": list(one.assumes),
    }

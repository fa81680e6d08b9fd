"""The page of a simulated generation."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from inspector.lesson.film import of_answer
from inspector.render import kv_cache
from inspector.render.generate import charts, first_phase, what
from inspector.render.pages.sheet import sheet_html
from inspector.render.simulate import verdict_words
from inspector.simulate.setup.generation import GenerateSettings

if TYPE_CHECKING:
    from inspector.simulate.generation import GenerateReport


def generate_html(report: GenerateReport, *, command: str = "inspector simulate generate") -> str:
    """The whole page; ``command`` is the line that writes it again."""
    return sheet_html(
        "generate",
        title=f"Generating with {report.model}",
        command=command,
        charts=charts(report),
        films={"answer": of_answer(report)} if report.timeline_kinds else None,
        report=report,
        what=what(report),
        verdict=verdict_words(report),
        cache=kv_cache.alike(report.cache.layers),
        cross=kv_cache.alike(report.cache.cross),
        first=first_phase(report),
        settings=asdict(GenerateSettings.of(report.setup)),
    )

"""What every report can do for a program or a notebook, through its renderer in `inspector.render`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType


class Report:
    """Mixin of a report: a frozen dataclass that is a command's answer. ``kind`` names its renderer."""

    kind: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """The content of the JSON document that the command prints, without its ``format`` and ``version``."""
        return renderer(self.kind).payload(self)

    def _repr_html_(self) -> str:
        """What the command prints, for a notebook: tables, and above them the charts of the report's page."""
        html: str = importlib.import_module("inspector.render.notebook").report_html(self)
        return html


class TableReport(Report):
    """Mixin of a report that is a table: its renderer has ``rows``."""

    def to_frame(self) -> pd.DataFrame:
        """The report's table as a pandas frame, columns as in ``--csv``."""
        # Here and not above: every report is imported with this module, and only a frame needs pandas.
        import pandas as pd

        return pd.DataFrame(table_renderer(self.kind).rows(self))


class Renderer(Protocol):
    """A module ``inspector.render.<kind>``; one whose page has figures also has ``charts(report)``, a tuple of them."""

    def text(self, report: Report) -> RenderableType:
        """What a terminal shows."""

    def payload(self, report: Report) -> dict[str, Any]:
        """The JSON document's content."""


class TableRenderer(Renderer, Protocol):
    """The renderer of a `TableReport`."""

    def rows(self, report: Report) -> list[dict[str, Any]]:
        """Flat rows of equal keys: the CSV, and the frame."""


def renderer(kind: str) -> Renderer:
    """The module that draws reports of a kind, imported now: rich and what it draws with are not needed before."""
    # By name: an import would point upwards, from the reports to what draws them.
    return cast("Renderer", importlib.import_module(f"inspector.render.{kind}"))


def table_renderer(kind: str) -> TableRenderer:
    """The same of a `TableReport`."""
    return cast("TableRenderer", renderer(kind))

"""What every report can do for a program or a notebook, through its renderer in `inspector.render`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import pandas as pd


class Report:
    """Mixin of a report dataclass, whose ``kind`` names its renderer ``inspector.render.<kind>``.

    A renderer has ``text(report)``, what a terminal shows, ``payload(report)``, the JSON document's content, and, where
    the report is a table, ``records(report)``, its rows as flat dicts.
    """

    kind: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """The content of the JSON document that the command prints."""
        payload: dict[str, Any] = _renderer(self.kind).payload(self)
        return payload

    def to_frame(self) -> pd.DataFrame:
        """The report's table as a pandas frame, columns as in ``--csv``."""
        import pandas as pd

        return pd.DataFrame(_renderer(self.kind).records(self))

    def _repr_html_(self) -> str:
        """The terminal page, for a notebook."""
        from io import StringIO

        from rich.console import Console

        console = Console(file=StringIO(), record=True, width=100, highlight=False, emoji=False, markup=False)
        console.print(_renderer(self.kind).text(self))
        return console.export_html(inline_styles=True, code_format='<pre style="line-height:1.2">{code}</pre>')


def _renderer(kind: str) -> Any:
    return importlib.import_module(f"inspector.render.{kind}")

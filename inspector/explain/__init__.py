"""An out-of-memory error in plain words: what it says, why there was no memory, which tensor it was, what helps.

The package is itself the function: ``inspector.explain(text)`` and ``from inspector.explain import explain`` are one.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Unpack

from inspector.explain.explaining import explain
from inspector.explain.report import Explained, ExplainReport

if TYPE_CHECKING:
    from inspector.explain.options import ExplainOptions

__all__ = ["ExplainReport", "Explained", "explain"]


class _Called(ModuleType):
    # What the room is called and what it does have one name; whichever is imported first, both work
    # (the language's own way: "Customizing module attribute access", docs.python.org/3/reference/datamodel.html).
    def __call__(
        self, text: str | bytes, model: str | None = None, *, source: str = "", **options: Unpack[ExplainOptions]
    ) -> ExplainReport:
        return explain(text, model, source=source, **options)


sys.modules[__name__].__class__ = _Called

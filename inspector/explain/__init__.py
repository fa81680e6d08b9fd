"""An out-of-memory error in plain words: what it says, why there was no memory, which tensor it was, what helps."""

from inspector.explain.explaining import explain_error
from inspector.explain.report import Explained, ExplainReport

__all__ = ["ExplainReport", "Explained", "explain_error"]

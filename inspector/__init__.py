"""Inspector: the truth about the memory of a language model, before anyone pays for a GPU.

>>> import inspector
>>> inspector.load("llama-3.1-8b").memory(bits=4).footprint_bytes
5591540224

Names below are imported when first used, so that ``import inspector`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspector.errors import InspectorError
    from inspector.explain.explaining import explain_error
    from inspector.fit.checks.checking import check
    from inspector.fit.checks.difference import diff_runs
    from inspector.lora import LoraSpec
    from inspector.model import Model, load
    from inspector.serving.answering import serve
    from inspector.simulate.script.report import ScriptReport
    from inspector.simulate.script.running import run
    from inspector.simulate.setup.configured import read_config
    from inspector.skeleton import Skeleton
    from inspector.sources.bundled import model_ids

_HOMES = {
    "InspectorError": "inspector.errors",
    "LoraSpec": "inspector.lora",
    "Model": "inspector.model",
    "ScriptReport": "inspector.simulate.script.report",
    "Skeleton": "inspector.skeleton",
    "check": "inspector.fit.checks.checking",
    "diff_runs": "inspector.fit.checks.difference",
    "explain_error": "inspector.explain.explaining",
    "load": "inspector.model",
    "load_ipython_extension": "inspector.cli.magic",
    "model_ids": "inspector.sources.bundled",
    "read_config": "inspector.simulate.setup.configured",
    "run": "inspector.simulate.script.running",
    "serve": "inspector.serving.answering",
}

__all__ = ["InspectorError", "LoraSpec", "Model", "ScriptReport", "Skeleton", "check", "diff_runs",
           "explain_error", "load", "model_ids", "read_config", "run", "serve"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        # Here: it looks through the installed packages, which an import must not wait for.
        from importlib.metadata import version

        return version("llm-inspector")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'inspector' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})  # what was not used yet is in no globals, and completion asks here

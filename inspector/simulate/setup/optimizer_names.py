"""The optimizers transformers knows, read off its source: a name can be refused before anything heavy is imported."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from inspector.errors import InspectorError, closest

_CLASS = re.compile(r"^class OptimizerNames\b.*?(?=^\S)", re.MULTILINE | re.DOTALL)


@cache
def optimizer_names() -> tuple[str, ...]:
    """The values of ``OptimizerNames`` in the installed transformers/training_args.py; none where it is not found."""
    spec = find_spec("transformers")
    # Without a list every name passes here, and transformers refuses it when the optimizer is made.
    if spec is None or spec.origin is None:
        return ()
    try:
        found = _CLASS.search((Path(spec.origin).parent / "training_args.py").read_text(encoding="utf-8"))
    except OSError:
        return ()
    # Values and not names: ``optim`` is given as ``adamw_torch``, the member is called ``ADAMW_TORCH``.
    assigned = [node.value for node in ast.walk(ast.parse(found[0])) if isinstance(node, ast.Assign)] if found else []
    return tuple(str(value.value) for value in assigned if isinstance(value, ast.Constant))


def check_optimizer(name: str) -> None:
    """Raise InspectorError for a name that transformers does not know."""
    known = optimizer_names()
    if known and name not in known:
        close = closest(name, known, most=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"some of them: {', '.join(known[:6])}"
        raise InspectorError(f"transformers has no optimizer {name!r}", hint=hint)

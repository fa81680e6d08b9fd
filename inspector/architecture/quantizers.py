"""Which quantized checkpoints transformers loads, by the word its configs have for each."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
from pathlib import Path

_SURE = 0.75
"""From here on a word is taken for a known one misspelt, and not for that of another library."""


@functools.cache
def loaded_methods() -> tuple[str, ...]:
    """Every ``quant_method`` that transformers has a quantizer for, in order.

    Read off the source of the installed release, as to import it takes seconds: the keys of
    ``AUTO_QUANTIZATION_CONFIG_MAPPING`` in quantizers/auto.py.
    """
    found = importlib.util.find_spec("transformers")
    assert found is not None
    assert found.submodule_search_locations
    folder = found.submodule_search_locations[0]
    tree = ast.parse((Path(folder) / "quantizers" / "auto.py").read_text("utf-8"))
    tables = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    table = tables["AUTO_QUANTIZATION_CONFIG_MAPPING"]
    assert isinstance(table, ast.Dict)
    names = {str(key.value) for key in table.keys if isinstance(key, ast.Constant)}
    # One word for both of bitsandbytes' own, as configs have it.
    return tuple(sorted({"bitsandbytes" if "bitsandbytes" in name else name for name in names}))


def unknown_method(method: str, cutoff: float = 0.6) -> str | None:
    """What is said of a method that transformers does not know, the one that is meant perhaps; None for a known one.

    >>> unknown_method("gtpq")
    'did you mean gptq?'
    """
    known = loaded_methods()
    if method in known:
        return None
    close = difflib.get_close_matches(method.lower().replace("_", "-"), known, n=1, cutoff=cutoff)
    return f"did you mean {close[0]}?" if close else ""


def misspelt_method(method: str) -> str:
    """The one that is meant by a word that is surely a known one misspelt, in a question; "" for any other."""
    return unknown_method(method, _SURE) or ""

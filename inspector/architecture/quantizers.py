"""Which quantized checkpoints transformers loads, by the word its configs have for each."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
from pathlib import Path

from inspector.errors import closest

_SURE = 0.85
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


def unknown_method(method: str) -> str | None:
    """What is said of a method that transformers does not know, the one that is meant perhaps; None for a known one.

    >>> unknown_method("gtpq")
    'did you mean gptq?'
    """
    if method in loaded_methods():
        return None
    close = _closest(method, 0.6)
    return f"did you mean {close}?" if close else ""


def misspelt_method(method: str) -> str:
    """The one that is meant by a word that is surely a known one misspelt, in a question; "" for any other.

    ``fp4`` and ``mxfp6`` are words of other libraries: nobody misspells a number, and letters are left out by no one
    who means ``nvfp4``.
    """
    plain, close = method.lower().replace("_", "-"), _closest(method, 0.6)
    if method in loaded_methods() or not close:
        return ""
    said = close.replace("_", "-")
    alike = sorted(plain) == sorted(said) or difflib.SequenceMatcher(None, plain, said).ratio() >= _SURE
    return f"did you mean {close}?" if alike and _digits(plain) == _digits(said) else ""


def _closest(method: str, cutoff: float) -> str:
    plain = {known.replace("_", "-"): known for known in loaded_methods()}
    found = closest(method.lower().replace("_", "-"), plain, most=1, cutoff=cutoff)
    return plain[found[0]] if found else ""


def _digits(text: str) -> list[str]:
    return [letter for letter in text if letter.isdigit()]

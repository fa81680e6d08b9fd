"""Which quantized checkpoints transformers loads, by the word its configs have for each."""

from __future__ import annotations

import difflib


def loaded_methods() -> tuple[str, ...]:
    """Every ``quant_method`` that transformers has a quantizer for, in order."""
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    # One word for both of bitsandbytes' own, as configs have it.
    names = {"bitsandbytes" if "bitsandbytes" in name else name for name in AUTO_QUANTIZATION_CONFIG_MAPPING}
    return tuple(sorted(names))


def unknown_method(method: str) -> str | None:
    """What is said of a method that transformers does not know, the one that is meant perhaps; None for a known one.

    >>> unknown_method("gtpq")
    'did you mean gptq?'
    """
    known = loaded_methods()
    if method in known:
        return None
    close = difflib.get_close_matches(method.lower().replace("_", "-"), known, n=1)
    return f"did you mean {close[0]}?" if close else ""

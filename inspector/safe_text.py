"""Names from files, made safe to print. No imports: errors use it too."""

from __future__ import annotations

import re

# C0 and C1 controls (colours, cursor moves, new lines) and the marks that reverse the direction of text.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """The text with every unsafe character shown as the replacement character."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)

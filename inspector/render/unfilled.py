"""Sentences that a page's script fills in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.lesson.texts import Texts


def unfilled(say: Texts, key: str, *names: str) -> str:
    """The sentence of a key with its ``{name}`` left as they are."""
    return say(key, **{name: f"{{{name}}}" for name in names})

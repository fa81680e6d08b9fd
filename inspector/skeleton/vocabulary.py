"""A vocabulary of another size, for what is being opened: `model.resize_token_embeddings(...)`, said beforehand."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 2**26
"""Far above any vocabulary (Gemma's has 262,144 tokens), far below what a skeleton would be slow with."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The arguments of transformers' ``resize_token_embeddings``; without ``tokens`` the rows are only rounded up.

    Raises InspectorError for numbers that are no sizes, and where both are left out.
    """

    tokens: int | None = None
    pad_to_multiple_of: int | None = None

    def __post_init__(self) -> None:
        said = {"--resize-vocab": self.tokens, "--pad-to-multiple-of": self.pad_to_multiple_of}
        if all(number is None for number in said.values()):
            raise InspectorError("a vocabulary is resized to something", hint="say --resize-vocab 128264")
        for name, number in said.items():
            if number is not None and not 1 <= number <= _MOST:
                raise InspectorError(f"{name} {number} is outside 1 to {_MOST:,}", hint="it is a number of tokens")

    @property
    def call(self) -> str:
        """The call that makes it: ``resize_token_embeddings(128264, pad_to_multiple_of=64)``."""
        rounded = "" if self.pad_to_multiple_of is None else f"pad_to_multiple_of={self.pad_to_multiple_of}"
        said = ", ".join(filter(None, ("" if self.tokens is None else str(self.tokens), rounded)))
        return f"resize_token_embeddings({said})"

    @classmethod
    def of(cls, tokens: int | None, pad_to_multiple_of: int | None) -> Vocabulary | None:
        """The vocabulary that was said, None where none was. Raises InspectorError as the class."""
        return None if tokens is None and pad_to_multiple_of is None else cls(tokens, pad_to_multiple_of)


# For each thread and task its own, as what is trusted is.
_WANTED: ContextVar[Vocabulary | None] = ContextVar("resize_vocab", default=None)


def wanted_vocabulary() -> Vocabulary | None:
    """What models are to be opened with now; None: as their configs say."""
    return _WANTED.get()


@contextlib.contextmanager
def resizing(vocabulary: Vocabulary | None) -> Iterator[None]:
    """Models opened inside the block get that vocabulary."""
    token = _WANTED.set(vocabulary)
    try:
        yield
    finally:
        _WANTED.reset(token)


def refuse_resizing(what: str) -> None:
    """Raise InspectorError where a vocabulary was asked for and ``what`` has none that transformers could resize."""
    if wanted_vocabulary() is not None:
        raise InspectorError(f"{what} has no vocabulary to resize", hint="leave out --resize-vocab")

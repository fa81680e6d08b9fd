"""The one error a user sees: what is wrong, what to do, and the exit code."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

from inspector.safe_text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

CHECK_FAILED = 1
"""Exit code when the input was fine and the answer is no: it does not fit, a check failed."""

# The same as click's own for bad use (`UsageError.exit_code`), so that there is one.
BAD_INPUT = 2
"""Exit code for a command that cannot be answered: bad use, bad or missing input."""

OUR_FAULT = 70
"""Exit code when Inspector itself is wrong, after a traceback. Source: ``EX_SOFTWARE`` of sysexits.h."""


class InspectorError(Exception):
    """A mistake the user can mend.

    Raise it for bad input only; anything else should stay a traceback, because it is our bug.
    The command line prints ``message`` and ``hint`` on one line each and exits with ``exit_code``; what they repeat of
    a stranger's file is made safe to print here, once.

    >>> raise InspectorError("no model named 'lama'", hint="did you mean meta-llama/Llama-3.1-8B?")
    """

    exit_code = BAD_INPUT

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = clean(message)
        self.hint = clean(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UnknownArchitectureError(InspectorError):
    """The config is sound, and transformers knows no such architecture: the tensors' names are all there is."""


class CannotSimulateError(InspectorError):
    """This model, with these settings, has no run on shapes without data: its own code, or that of PEFT, refuses it.

    What is searched for among many settings leaves these out. It is never kept on disk: another version of a library
    may take it.
    """


class ContradictionError(InspectorError):
    """Settings that exclude each other."""


class LibraryError(InspectorError):
    """A library that is needed is missing, too old, or does not import."""


def in_one_line(error: BaseException, most: int = 200) -> str:
    """What an error of a library or of a model's code said, without its line breaks; its kind where it said nothing.

    Some of these are a page long, with a whole config in them; they begin with what is wrong. A key that was looked up
    in vain is no sentence, so one is made of it.
    """
    if isinstance(error, KeyError) and len(error.args) == 1:
        key = error.args[0]
        said = key if isinstance(key, str) and " " in key else f"it looks up {key!r}, which is not there"
        return " ".join(said.split())[:most]
    return " ".join(str(error).split())[:most] or type(error).__name__


def closest(word: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The known words that are meant perhaps, closest first: what ``difflib.get_close_matches`` says, sooner.

    Its own bound, the letters that two words share, is asked of a number a word first: hardly any two are compared.

    >>> closest("gtpq", ["awq", "gptq"])
    ['gptq']
    """

    def close(shared: int, each: str) -> bool:
        both = len(word) + len(each)
        return not both or 2.0 * shared / both >= cutoff

    # Their lengths before their letters, which is cheaper still.
    near = [(each, _letters(each)) for each in known if close(min(len(word), len(each)), each)]
    own = _shared_letters(word) if near else 0
    near = [(each, letters) for each, letters in near if close((own & letters).bit_count(), each)]
    if not near:
        return []
    import difflib

    return difflib.get_close_matches(word, [each for each, _ in near], n=most, cutoff=cutoff)


_BITS: dict[tuple[str, int], int] = {}
"""A bit for each letter of known words, the second of a kind in a word another than the first."""
_NUMBERS = itertools.count()  # and not how many there are, which two threads may ask at once


@functools.lru_cache(maxsize=8192)
def _letters(word: str) -> int:
    for letter in _numbered(word):
        _BITS.setdefault(letter, next(_NUMBERS))
    return _shared_letters(word)


def _shared_letters(word: str) -> int:
    """The letters of a word that any known word has, too."""
    return sum(1 << _BITS[letter] for letter in _numbered(word) if letter in _BITS)


def _numbered(word: str) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for letter in word:
        counts[letter] = counts.get(letter, 0) + 1
    return [(letter, nth) for letter, count in counts.items() for nth in range(count)]

"""Sentences by key, such as ``say("model.title", share="70%")``; a translator edits the TOML files alone."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.units import GB, MB, percent, short_count

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGUAGES = ("en", "de")
FOLDER = Path(__file__).parent
# What 8.03B is called; English has the letters themselves.
_GERMAN = {"T": "\N{NO-BREAK SPACE}Bio.", "B": "\N{NO-BREAK SPACE}Mrd.", "M": "\N{NO-BREAK SPACE}Mio.", "K": "k"}


class Texts:
    """The sentences of one language.

    A value of the TOML files is a sentence, a list of sentences, or a list of [question, answer]; ``{name}`` in it is
    filled with what is given by that name. A key that is not there is our bug: KeyError.
    """

    def __init__(self, language: str, found: Mapping[str, Any]) -> None:
        self.language = language
        self._found = found

    def __call__(self, key: str, **values: object) -> str:
        """The sentence of a key, such as ``model.title``."""
        return str(self._value(key)).format(**values)

    def lines(self, key: str, **values: object) -> tuple[str, ...]:
        """A list of sentences."""
        return tuple(str(line).format(**values) for line in self._value(key))

    def pairs(self, key: str, **values: object) -> tuple[tuple[str, str], ...]:
        """A list of questions with their answers."""
        return tuple((asked.format(**values), told.format(**values)) for asked, told in self._value(key))

    def has(self, key: str) -> bool:
        """Whether there is such a key."""
        try:
            self._value(key)
        except KeyError:
            return False
        return True

    def target(self, name: str) -> str:
        """A set of target modules in words; PEFT's own name where there are none."""
        return self(f"sets.{name}") if self.has(f"sets.{name}") else name

    def _value(self, key: str) -> Any:
        value: Any = self._found
        for part in key.split("."):
            value = value[part]
        return value

    def written(self, number: str) -> str:
        """``8,030.5`` as the language writes it."""
        return number.translate(str.maketrans(",.", ".,")) if self.language == "de" else number

    def number(self, value: float, digits: int = 0) -> str:
        """``8030.51`` as ``8,030.5``."""
        return self.written(f"{value:,.{digits}f}")

    def gb(self, nbytes: float, digits: int = 1) -> str:
        """``16060522496`` as ``16.1 GB`` (GB = 10^9 bytes)."""
        return f"{self.number(nbytes / GB, digits)}\N{NO-BREAK SPACE}GB"

    def mb(self, nbytes: float, digits: int = 0) -> str:
        """``109051904`` as ``109 MB`` (MB = 10^6 bytes)."""
        return f"{self.number(nbytes / MB, digits)}\N{NO-BREAK SPACE}MB"

    def size(self, nbytes: float) -> str:
        """GB with a decimal, whole MB below one GB, with a decimal below ten MB."""
        # 0.95 GB and not a whole one: small models have no adapters of 0.0 GB.
        if abs(nbytes) >= GB:
            return self.gb(nbytes)
        return self.mb(nbytes, 0 if abs(nbytes) >= 10 * MB else 1)

    def like(self, nbytes: float, whole: float) -> str:
        """A part in the unit of its whole: beside 80.8 GB half a gigabyte is 0.5 GB."""
        return self.gb(nbytes) if abs(whole) >= GB else self.size(nbytes)

    def short(self, value: int) -> str:
        """``8030261248`` as ``8.03B``, ``8,03 Mrd.`` in German."""
        text = short_count(value)
        if self.language == "de":
            return self.written(text[:-1]) + _GERMAN[text[-1]] if text[-1:] in _GERMAN else self.written(text)
        return text

    def share(self, part: float, whole: float, digits: int = 0) -> str:
        """A share in percent; never 0% or 100% by rounding alone."""
        return self.written(percent(int(part), int(whole), digits))


@functools.lru_cache(maxsize=len(LANGUAGES))
def texts(language: str = "en") -> Texts:
    """The sentences of ``en`` or ``de``."""
    with (FOLDER / f"{language}.toml").open("rb") as file:
        return Texts(language, tomllib.load(file))

"""How long the samples of a data set are that is not there: a file of lengths, a known data set's, or a lognormal."""

from __future__ import annotations

import json
import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate
from pathlib import Path

from inspector.errors import InspectorError
from inspector.files import exists, read_text

MOST_TOKENS = 2**24
"""Above any context of today; a longer sample is a mistake in the file."""

MOST_LINES = 5_000_000


@dataclass(frozen=True, slots=True)
class Published:
    """What was published of the lengths of a data set: ``counts`` of samples between each two ``edges``, in tokens.

    Counts are of samples, or shares of them where percentiles were published. ``tokenizer`` is whose tokens they are.
    """

    name: str
    data_set: str
    tokenizer: str
    source: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@cache
def published() -> tuple[Published, ...]:
    """The data sets whose lengths are known here, each with its source."""
    found = json.loads((files("inspector") / "data" / "lengths.json").read_text(encoding="utf-8"))
    return tuple(Published(**{**one, "edges": tuple(one["edges"]), "counts": tuple(one["counts"])}) for one in found)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of each sample: as they stand in a file, drawn by a published histogram, or by a lognormal distribution.

    Attributes:
        known: the lengths of a file, in its order; empty where they are drawn.
        mean: of the lengths themselves, not of their logarithms; in tokens.
        sigma: the standard deviation of their logarithms.
        longest: no sample is longer; in tokens.
        typed: as it was given, for reports.
        of: the data set whose histogram is drawn from, evenly between two of its edges.
    """

    known: tuple[int, ...] = ()
    mean: float = 0.0
    sigma: float = 0.0
    longest: int = 0
    typed: str = ""
    of: Published | None = None

    def sample(self, count: int, seed: int = 0) -> tuple[int, ...]:
        """The lengths of ``count`` samples, the same for the same seed on every machine and in every Python.

        Those of a file come in its order and again from its beginning; drawn ones are from 1 to the longest.
        """
        if self.known:
            return tuple(self.known[at % len(self.known)] for at in range(count))
        if self.of is not None:
            return _by_histogram(self.of, count, seed)
        # The mean of a lognormal is exp(mu + sigma^2 / 2), before what is longer is cut.
        mu = math.log(self.mean) - self.sigma**2 / 2
        # Of Random only `random` is promised to stay the same; the normal is made of it here (Box and Muller, 1958).
        numbers = random.Random(seed)  # noqa: S311 -- lengths, no secrets
        drawn = []
        for _ in range(count):
            radius = math.sqrt(-2 * math.log(1 - numbers.random()))
            exponent = mu + self.sigma * radius * math.cos(2 * math.pi * numbers.random())
            # Compared before it is raised, which may be too large for a float.
            long = exponent >= math.log(self.longest)
            drawn.append(self.longest if long else max(1, round(math.exp(exponent))))
        return tuple(drawn)

    @property
    def most(self) -> int:
        """The longest that can come, in tokens."""
        return max(self.known) if self.known else self.longest


def _by_histogram(of: Published, count: int, seed: int) -> tuple[int, ...]:
    """Samples whose lengths are spread as was published; between two edges evenly, as nothing more is known."""
    numbers = random.Random(seed)  # noqa: S311 -- lengths, no secrets
    below = [0, *accumulate(of.counts)]
    drawn = []
    for _ in range(count):
        place = numbers.random() * below[-1]
        # The last edge that is not above it: bins without a sample are passed over.
        at = bisect_right(below, place) - 1
        within = (place - below[at]) / of.counts[at]
        drawn.append(max(1, round(of.edges[at] + within * (of.edges[at + 1] - of.edges[at]))))
    return tuple(drawn)


def parse_lengths(text: str) -> Lengths:
    """Lengths from ``lognormal:mean,sigma,max``, a file with a whole number of tokens a line, or a data set's name.

    A file goes before a data set of the same name. In a file, empty lines and what follows a ``#`` say nothing. Raises
    InspectorError, with the line, for anything that is no length.
    """
    kind, colon, numbers = text.partition(":")
    if colon and kind.strip().lower() == "lognormal":
        return _lognormal(text, numbers)
    path = Path(text)
    if not exists(path):
        for one in published():
            if one.name == text.strip().lower():
                return Lengths(longest=int(one.edges[-1]), typed=one.name, of=one)
    if not text.strip() or not exists(path):
        known = f"{kind!r} is no distribution" if colon and kind.isidentifier() and "/" not in text else ""
        raise InspectorError(known or f"no such file of lengths: {text!r}", hint=FORMS)
    return _file(path, text)


FORMS = "lengths are a file (a whole number of tokens a line), lognormal:mean,sigma,max, alpaca or recipe-nlg-alpaca"
"""All forms, in one line."""


def _lognormal(text: str, numbers: str) -> Lengths:
    parts = [part.strip() for part in numbers.split(",")]
    try:
        mean, sigma, longest = (float(part) for part in parts)
    except ValueError:
        raise InspectorError(f"{text!r} does not have three numbers", hint="lognormal:600,0.8,4096") from None
    if not (math.isfinite(mean) and math.isfinite(sigma) and math.isfinite(longest)):
        raise InspectorError(f"{text!r} has a number without an end")
    if not 1 <= mean <= MOST_TOKENS:
        raise InspectorError(f"a mean of {parts[0]} tokens is none", hint=f"from 1 to {MOST_TOKENS:,}")
    # At 5 the mean is already 268,000 times the median.
    if not 0 <= sigma <= 5:
        raise InspectorError(f"sigma is {parts[1]}, of the lengths' logarithms", hint="from 0, all equal, to 5")
    if longest != int(longest) or not 1 <= longest <= MOST_TOKENS:
        raise InspectorError(f"{parts[2]} tokens are no longest length", hint=f"a whole number to {MOST_TOKENS:,}")
    if longest < mean:
        raise InspectorError(f"the longest, {parts[2]} tokens, is shorter than the mean of {parts[0]}")
    return Lengths(mean=mean, sigma=sigma, longest=int(longest), typed=text)


def _file(path: Path, text: str) -> Lengths:
    known = []
    for number, line in enumerate(read_text(path, limit=100_000_000).splitlines(), start=1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        # Not by int() first: it takes 1_000, and refuses thousands of digits with an error of its own.
        if not (word.isascii() and word.isdigit() and len(word) < 20):
            raise InspectorError(f"{path}, line {number}: {word[:40]!r} is no whole number of tokens", hint=FORMS)
        if not 1 <= int(word) <= MOST_TOKENS:
            raise InspectorError(
                f"{path}, line {number}: {word} tokens are no sample", hint=f"from 1 to {MOST_TOKENS:,}"
            )
        known.append(int(word))
        if len(known) > MOST_LINES:
            raise InspectorError(f"{path} has over {MOST_LINES:,} lengths", hint="a part of them says as much")
    if not known:
        raise InspectorError(f"{path} holds no lengths", hint=FORMS)
    return Lengths(known=tuple(known), typed=text)

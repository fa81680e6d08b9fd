"""What a comparison of stored tensors with expected ones finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One tensor that is not as expected. ``what`` names it, ``why`` says what is wrong with it."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All of one file; ``compared`` is false where nothing was known to compare with.

    ``how`` says what was compared where something was found, ``sound`` what may be said where nothing was.
    """

    compared: bool
    missing: tuple[Finding, ...] = ()
    unexpected: tuple[Finding, ...] = ()
    misshapen: tuple[Finding, ...] = ()
    redundant: tuple[Finding, ...] = ()
    how: str = "names are compared after transformers' own renaming and merging"
    sound: str = "every tensor the architecture expects is stored once, in its shape, and nothing else"

    @property
    def verdict(self) -> str:
        """The comparison in a sentence."""
        if not self.compared:
            return "not compared with an architecture: its tensors are named otherwise, or none is known"
        found = self.missing or self.unexpected or self.misshapen or self.redundant
        return self.how if found else self.sound

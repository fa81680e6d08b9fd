"""A record read field by field: what is asked for is ticked off, so that what nobody asked for can be named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SHOWN = 120
"""Characters of a value that an explanation repeats: a record may hold a page of text."""

MOST = 240
"""Characters of a whole reason: three lines of a terminal."""

LARGEST = 1e300
"""Above it a whole number of JSON is no float any more, and nothing that was measured."""


class NotUnderstoodError(ValueError):
    """A value that a form has no meaning for. Its text, if any, is the reason to give instead of the usual one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a record is left out; ``wrong`` when whoever wrote it can mend it, as a missing or mistyped field."""

    reason: str
    wrong: bool = False


@dataclass(slots=True)
class Findings:
    """What was found wrong with a record, and which of its fields say what no form understands."""

    problems: list[Problem] = field(default_factory=list)
    not_understood: list[tuple[str, str]] = field(default_factory=list)


class Fields:
    """The fields of one record, or of one object within it. Null means that the field is not said.

    Nothing here raises: a value that cannot be read leaves the record out, with the field named, and a stand-in is
    returned, so that one pass finds everything.
    """

    def __init__(self, values: Mapping[str, object], within: str = "", findings: Findings | None = None) -> None:
        self.values = values
        self.within = within
        self.findings = findings or Findings()
        self.seen: set[str] = set()
        self.parts: list[Fields] = []

    def given(self, name: str) -> bool:
        """Whether a field says something."""
        return self.values.get(name) is not None

    def path(self, name: str) -> str:
        """A field's name with that of the object it is in: ``train_config.dtype``."""
        return f"{self.within}.{name}" if self.within else name

    def refuse(self, reason: str, *, wrong: bool = False) -> None:
        """Leave the record out; a reason is one line, whatever text of the record it repeats."""
        line = " ".join(reason.split())
        self.findings.problems.append(Problem(line if len(line) <= MOST else f"{line[: MOST - 4]} ...", wrong))

    def name_it(self, name: str) -> None:
        """Say that a field was not understood, and compare the run all the same."""
        self.seen.add(name)
        self.findings.not_understood.append((self.path(name), shown(self.values.get(name))))

    def told(self, *names: str) -> None:
        """Tick off fields that say nothing of what the run takes: where it is from, or what came of it."""
        self.seen.update(names)

    def raw(self, name: str) -> object:
        """A field's value, None where it is not said."""
        self.seen.add(name)
        return self.values.get(name)

    def _unsaid(self, name: str, unsaid: str) -> None:
        self.seen.add(name)
        # Null is an answer, that it was not published; an absent field may be an oversight.
        missing = name not in self.values
        said = f"{self.path(name)} is missing" if missing else f"{self.path(name)} was not published"
        self.refuse(unsaid or said, wrong=missing and not unsaid)

    def _mistyped(self, name: str, wanted: str) -> None:
        self.refuse(f"{self.path(name)} is {shown(self.values[name])}, not {wanted}", wrong=True)

    def text(self, name: str, default: str | None = None, *, unsaid: str = "") -> str:
        """A text, without blanks around it; required where it has no default.

        ``unsaid`` is the reason for leaving out a run that does not say it, instead of the usual one.
        """
        value = self.raw(name)
        if value is None:
            if default is None:
                self._unsaid(name, unsaid)
            return default or ""
        if not isinstance(value, str) or not value.strip():
            self._mistyped(name, "a text")
            return ""
        return value.strip()

    def read(self, name: str, parse: Callable[[str], T], default: T, *, required: bool = False) -> T:
        """A text as what it means. One that ``parse`` does not understand leaves the record out, by name."""
        text = self.text(name, None if required else "")
        if not text:
            return default
        try:
            return parse(text)
        except NotUnderstoodError as error:
            self.refuse(str(error) or f"{self.path(name)} {shown(text)} is not understood")
            return default

    def whole(self, name: str, default: int | None = None, *, unsaid: str = "", least: int = 1) -> int:
        """A whole number, also written as ``4.0``."""
        value = self.raw(name)
        if value is None:
            if default is None:
                self._unsaid(name, unsaid)
            return default if default is not None else least
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= LARGEST or value % 1:
            self._mistyped(name, f"a whole number of at least {least}")
            return least
        return int(value)

    def number(self, name: str, default: float) -> float:
        """A number that is not negative."""
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
            self._mistyped(name, "a number of at least 0")
            return default
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Yes or no; also the words that a table's export makes of them (``TRUE``, ``False``)."""
        value = self.raw(name)
        if value is None:
            return default
        # Tables exported from pandas or a spreadsheet have no booleans.
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        if not isinstance(value, bool):
            self._mistyped(name, "true or false")
            return default
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """Names in a list, or in one text with blanks or commas between them; none where the field is not said."""
        value = self.raw(name)
        if value is None:
            return ()
        if isinstance(value, str):
            return tuple(value.replace(",", " ").split())
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return tuple(value)
        self._mistyped(name, "a list of names")
        return ()

    def part(self, name: str, *, required: bool = False) -> Fields:
        """The fields of an object within; of an empty one where it is not said."""
        value = self.raw(name)
        if value is None and required:
            self._unsaid(name, "")
        if value is not None and not isinstance(value, Mapping):
            self._mistyped(name, "an object")
        part = Fields(value if isinstance(value, Mapping) else {}, self.path(name), self.findings)
        self.parts.append(part)
        return part

    def name_the_rest(self) -> None:
        """Name every field that says something and that nobody asked for, here and in the objects within."""
        for name in self.values:
            if name not in self.seen and self.given(name):
                self.name_it(name)
        for part in self.parts:
            part.name_the_rest()


def shown(value: object) -> str:
    """A value as an explanation repeats it: JSON, cut short."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except ValueError:  # an integer of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 4]} ..."

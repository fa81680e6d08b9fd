"""One trainer's file while it is read: every setting with its value, what set it, and where; and what was not read."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from inspector.errors import InspectorError
from inspector.simulate.setup.readers.known_keys import keys_of
from inspector.simulate.setup.readers.says import as_bool, as_count, section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.setup.readers.config_file import ConfigFile

By = Literal["file", "default", "follows", "you"]
MOST_TEXT = 300
MOST_NAMES = 1_000


@dataclass(frozen=True, slots=True)
class Told:
    """A setting as a trainer resolves it.

    ``by`` says what set it: the ``file``, the tool's own ``default``, what ``follows`` from other settings, or ``you``.
    ``where`` is ``train.yaml:12``, or the tool with its version and what the rule is. ``line`` counts from 1.
    """

    name: str
    value: Any
    by: By
    where: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class NotRead:
    """A key that was not understood: where it stands, why, and whether it changes memory (None: nobody knows it)."""

    key: str
    where: str
    line: int | None
    why: str
    matters: bool | None


@dataclass(frozen=True, slots=True)
class TrainerSays:
    """One trainer's file, resolved. ``without_effect`` counts keys that the tool knows and that change no memory.

    ``launcher`` is what the file says of several cards, as a file of accelerate or DeepSpeed would say it; ``refers``
    are files that it names and that are not here.
    """

    tool: str
    version: str
    name: str
    told: Mapping[str, Told]
    not_read: tuple[NotRead, ...] = ()
    without_effect: int = 0
    launcher: tuple[ConfigFile, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


class Reading:
    """Reads one file key by key. Paths of keys are tuples or one key; null is "not said", as it is to all trainers."""

    def __init__(self, file: ConfigFile, tool: str, version: str) -> None:
        self.file, self.tool, self.version = file, tool, version
        self.told: dict[str, Told] = {}
        self.notes: dict[str, str] = {}
        self._read: set[str] = set()
        self._not_read: list[NotRead] = []

    def said(self, *keys: str) -> Any:
        """What the file says under a path of keys; None where it says nothing."""
        self._read.add(keys[0])
        found: Any = self.file.data
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def first(self, *names: str) -> str:
        """The first of several keys that the file says, else the first: names that one setting has had."""
        self._read.update(names)
        return next((name for name in names if self.file.data.get(name) is not None), names[0])

    def on(self, *keys: str, default: bool = False) -> bool:
        """A switch. Raises InspectorError for anything else."""
        value = self.said(*keys)
        return default if value is None else as_bool(self.file, value, *keys)

    def whole(self, *keys: str, default: int | None = None, least: int = 1) -> int | None:
        """A whole number. Raises InspectorError for anything else."""
        value = self.said(*keys)
        return default if value is None else as_count(self.file, value, *keys, least=least)

    def number(self, *keys: str, default: float) -> float:
        """A number; YAML 1.1 takes 1e-5 for text, so text is read too. Raises InspectorError for anything else."""
        value = self.said(*keys)
        if value is None:
            return float(default)
        try:
            found = float(str(value)) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
        except ValueError:
            found = None
        if found is None or not abs(found) < 1e30:
            raise InspectorError(f"{self.file.at(*keys)}: {keys[-1]} is a number, not {_short(value)}")
        return found

    def text(self, *keys: str, default: str = "") -> str:
        """A word or a name. Raises InspectorError for a list, a section or a page."""
        value = self.said(*keys)
        if value is None:
            return default
        if not isinstance(value, (str, int, float)) or len(str(value)) > MOST_TEXT:
            raise InspectorError(f"{self.file.at(*keys)}: {keys[-1]} is a word, not {_short(value)}")
        return str(value).strip()

    def one_of(self, *keys: str, words: Mapping[str, str], default: str) -> str:
        """A word of a few, in any case of letters. Raises InspectorError for any other."""
        said = self.text(*keys, default=default).lower()
        if said not in words:
            raise InspectorError(f"{self.file.at(*keys)}: {keys[-1]} is one of {', '.join(words)}, not {_short(said)}")
        return words[said]

    def names(self, *keys: str) -> list[str] | None:
        """A list of names, or names with commas between them; None where the file says nothing."""
        value = self.said(*keys)
        if value is None:
            return None
        found = value.split(",") if isinstance(value, str) else value
        if not isinstance(found, list) or len(found) > MOST_NAMES or not all(isinstance(name, str) for name in found):
            raise InspectorError(f"{self.file.at(*keys)}: {keys[-1]} is a list of names, not {_short(value)}")
        return [name.strip() for name in found if name.strip()]

    def part(self, *keys: str) -> dict[str, Any]:
        """A section, empty where it is not there. Raises InspectorError where it is something else."""
        self._read.add(keys[0])
        return section(self.file, *keys)

    def put(self, name: str, value: Any, *keys: str, why: str = "") -> Any:
        """Tell a setting: of the file where it says one of ``keys`` (dotted), else the tool's default, with the why."""
        for key in keys:
            path = tuple(key.split("."))
            if self.said(*path) is not None:
                line = self._line(path)
                self.told[name] = Told(name, value, "file", self.file.at(*path), line)
                return value
        self.told[name] = Told(name, value, "default", f"{self.tool} {self.version}" + (f": {why}" if why else ""))
        return value

    def follows(self, name: str, value: Any, why: str) -> Any:
        """Tell a setting that no key says and other settings decide."""
        self.told[name] = Told(name, value, "follows", f"{self.tool} {self.version}: {why}")
        return value

    def note(self, name: str, text: str) -> None:
        """A line for people about a setting."""
        self.notes[f"{name}_note"] = text

    def value(self, name: str) -> Any:
        """A setting that was told; None where it was not."""
        return self.told[name].value if name in self.told else None

    def unread(self, *keys: str, why: str) -> None:
        """A key that changes memory and is not understood; nothing where the file does not say it, or switches it off.

        "0", "no" and "none" switch off.
        """
        value = self.said(*keys)
        if value in (None, False, 0, "", [], {}) or str(value).lower() in {"no", "none", "false"}:
            return
        line = self._line(keys)
        self._not_read.append(NotRead(".".join(keys), self.file.at(*keys), line, why, matters=True))

    def refuse(self, said: str, *keys: str, hint: str = "") -> InspectorError:
        """The error for what the tool itself refuses, with the line."""
        self._read.add(keys[0])
        return InspectorError(f"{self.file.at(*keys)}: {said}", hint=hint)

    def done(self, *launcher: ConfigFile) -> TrainerSays:
        """All of it; what is left is counted where the tool knows it, and listed where nobody does."""
        known = keys_of(self.tool)
        rest = [key for key in self.file.data if key not in self._read]
        for key in rest:
            if key not in known and not key.startswith("_"):
                near = difflib.get_close_matches(key, known, n=1)
                why = f"no key of {self.tool}" + (f", did it mean {near[0]}?" if near else "")
                line = self._line((key,))
                self._not_read.append(NotRead(key, self.file.at(key), line, why, matters=None))
        order = sorted(self._not_read, key=lambda one: (not one.matters, one.line or 0))
        silent = sum(1 for key in rest if key in known or key.startswith("_"))
        return TrainerSays(self.tool, self.version, self.file.name, self.told, tuple(order), silent, launcher,
                           self.notes)  # fmt: skip

    def _line(self, keys: tuple[str, ...]) -> int | None:
        return next(
            (self.file.lines[keys[:at]] for at in range(len(keys), 0, -1) if keys[:at] in self.file.lines), None
        )


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:57]}..."

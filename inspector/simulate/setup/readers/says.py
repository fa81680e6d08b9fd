"""What a file says in our words, and the few ways in which other tools read a word."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.setup.readers.config_file import ConfigFile


@dataclass(frozen=True, slots=True)
class FileSays:
    """One file's settings.

    ``parallel`` is what `inspector.simulate.setup.parallel.read` takes, "" where one process trains alone or the file
    leaves it open; ``fields`` are other fields of its setup, ``settings`` those of a fine-tuning. ``set_at`` says where
    each of them stands. ``deepspeed`` is a DeepSpeed config, its ``auto`` not yet filled. ``not_understood`` are lines
    about keys that change nothing here.
    """

    tool: str
    name: str
    parallel: str = ""
    gpus: int | None = None
    nodes: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    set_at: Mapping[str, str] = field(default_factory=dict)
    deepspeed: Mapping[str, Any] | None = None
    own_deepspeed_keys: tuple[str, ...] = ()
    not_understood: tuple[str, ...] = ()


TRUE, FALSE = ("y", "yes", "t", "true", "on", "1"), ("n", "no", "f", "false", "off", "0")


def as_bool(file: ConfigFile, value: object, *keys: str) -> bool:
    """A switch, as ``str_to_bool`` of accelerate and argparse's users read it. Raises InspectorError for none."""
    said = str(value).lower()
    if said not in {*TRUE, *FALSE}:
        raise InspectorError(f"{file.at(*keys)}: {keys[-1]} is true or false, not {value!r}")
    return said in TRUE


def as_count(file: ConfigFile, value: object, *keys: str, least: int = 1) -> int:
    """A whole number; of floats such as 2e8, those that are whole. Raises InspectorError for any other."""
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(number, str) and len(number) < 40 and number.strip().isdecimal():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise InspectorError(f"{file.at(*keys)}: {keys[-1]} is a whole number from {least} on, not {value!r}")
    return number


def section(file: ConfigFile, *keys: str) -> dict[str, Any]:
    """A part of a file, empty where it is not there or null. Raises InspectorError where it is something else."""
    found: Any = file.data
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InspectorError(f"{file.at(*keys)}: {keys[-1]} has keys of its own, and here it is {found!r}")
    return found

"""A configuration file, YAML or JSON, as plain data with the line of every key. No code in it runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import exists, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_BYTES = 1_000_000
"""A configuration is a page or two."""
MOST_VALUES = 20_000
DEEPEST = 32


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """``data`` as the tool's own parser reads it; ``lines`` says where each path of keys stands, from 1.

    ``folder`` is where it lies; None for what is no file of its own.
    """

    name: str
    data: Mapping[str, Any]
    lines: Mapping[tuple[str, ...], int] = field(repr=False)
    folder: Path | None = None

    def at(self, *keys: str) -> str:
        """``accelerate.yaml:12``, the nearest known line for a path of keys."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.name}:{self.lines[keys]}" if keys else self.name

    def beside(self, path: str) -> ConfigFile | None:
        """A file that this one names, where it lies in its folder or below; None where it does not.

        Raises InspectorError where it is there and no configuration.
        """
        if self.folder is None or not path or Path(path).is_absolute() or "\0" in path:
            return None
        found = self.folder / path
        # After links are followed: a link in the folder can point anywhere.
        if not exists(found) or not found.resolve().is_relative_to(self.folder.resolve()) or not found.is_file():
            return None
        return read_config_file(found)


def read_config_file(path: Path) -> ConfigFile:
    """Read a file. Raises InspectorError when it is too large, no YAML or JSON, repeats a key, or is a bomb."""
    return parse_config(read_text(path, limit=MOST_BYTES), path)


def parse_config(text: str, path: Path) -> ConfigFile:
    """The same of a text that was read from ``path``."""
    import yaml

    try:
        is_json = text.lstrip().startswith("{")
        # JSON is YAML but for tabs, and for numbers such as 2e8, which YAML 1.1 takes for text.
        tree = yaml.compose(text.replace("\t", " ") if is_json else text, Loader=yaml.SafeLoader)
        lines = dict(_lines(path.name, tree)) if tree is not None else {}
        data = json.loads(text) if is_json else yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        at = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InspectorError(f"{path.name}{at} is neither YAML nor JSON: {error.problem}") from None
    except json.JSONDecodeError as error:
        raise InspectorError(f"{path.name}:{error.lineno} is no JSON: {error.msg}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InspectorError(f"{path.name} is neither YAML nor JSON: {' '.join(str(error).split())[:100]}") from None
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise InspectorError(f"{path.name} is no configuration: it has no keys", hint="is this the right file?")
    return ConfigFile(path.name, data, lines, path.parent)


def _lines(name: str, tree: Any) -> Iterator[tuple[tuple[str, ...], int]]:
    """Every path of keys and its line. What an alias repeats counts each time, so that none can grow without end."""
    import yaml

    count = 0
    stack: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    while stack:
        path, node = stack.pop()
        count += 1
        if count > MOST_VALUES or len(path) > DEEPEST:
            at = f"{name}:{node.start_mark.line + 1}"
            raise InspectorError(f"{at}: more values, or deeper ones, than a configuration has",
                                 hint="is this the right file? anchors and aliases count each time")  # fmt: skip
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    raise InspectorError(f"{name}:{line}: a key is a word, and here it is a list or a section")
                said = str(key.value)
                # ``<<`` hands on the keys of another section, here its own go first.
                if said in keys and key.tag != "tag:yaml.org,2002:merge":
                    raise InspectorError(f"{name}:{line} says {said[:60]!r} a second time")
                keys.add(said)
                yield (*path, said), line
                stack.append(((*path, said), value))
        elif isinstance(node, yaml.SequenceNode):
            # A list is no key, but a list in a list in a list is deep as well.
            stack += [((*path, ""), item) for item in node.value]

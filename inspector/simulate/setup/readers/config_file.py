"""A configuration file, YAML or JSON, as plain data with the line of every key. No code in it runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MOST_BYTES = 1_000_000
"""A configuration is a page or two."""
MOST_VALUES = 20_000
DEEPEST = 32


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """``data`` as the tool's own parser reads it; ``lines`` says where each path of keys stands, from 1."""

    name: str
    data: Mapping[str, Any]
    lines: Mapping[tuple[str, ...], int] = field(repr=False)

    def at(self, *keys: str) -> str:
        """``accelerate.yaml:12``, the nearest known line for a path of keys."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.name}:{self.lines[keys]}" if keys else self.name


def read_config_file(path: Path) -> ConfigFile:
    """Read a file. Raises InspectorError when it is too large, no YAML or JSON, repeats a key, or has aliases."""
    import yaml

    text = read_text(path, limit=MOST_BYTES)
    try:
        # JSON is YAML but for tabs, and for numbers such as 2e8, which YAML 1.1 takes for text.
        tree = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
        lines = dict(_lines(path.name, tree)) if tree is not None else {}
        data = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        at = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InspectorError(f"{path.name}{at} is neither YAML nor JSON: {error.problem}") from None
    except json.JSONDecodeError as error:
        raise InspectorError(f"{path.name}:{error.lineno} is no JSON: {error.msg}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InspectorError(f"{path.name} is neither YAML nor JSON: {' '.join(str(error).split())[:100]}") from None
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise InspectorError(f"{path.name} is no configuration: it has no keys", hint="is this the right file?")
    return ConfigFile(path.name, data, lines)


def _lines(name: str, tree: Any) -> Iterator[tuple[tuple[str, ...], int]]:
    """Every path of keys and its line. Nothing is expanded: what an alias repeats could be repeated without end."""
    import yaml

    seen: set[int] = set()
    stack: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    while stack:
        path, node = stack.pop()
        if id(node) in seen:
            raise InspectorError(f"{name}:{node.start_mark.line + 1} is reached by an alias: write it out")
        seen.add(id(node))
        if len(seen) > MOST_VALUES or len(path) > DEEPEST:
            raise InspectorError(f"{name} has more values than a configuration", hint="is this the right file?")
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                line = key.start_mark.line + 1
                if str(key.value) in keys:
                    raise InspectorError(f"{name}:{line} says {key.value!r} a second time")
                keys.add(str(key.value))
                yield (*path, str(key.value)), line
                stack.append(((*path, str(key.value)), value))
        elif isinstance(node, yaml.SequenceNode):
            stack += [(path, item) for item in node.value]

"""The words of a container in a compose or Kubernetes file, or of a fragment that is no whole YAML."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from inspector.serving.pasted_files import of_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KEYS = ("entrypoint", "command", "args", "cmd")
_OPTIONS = {"tensor_parallel_size", "max_model_len", "gpu_memory_utilization", "kv_cache_dtype", "max_num_seqs"}
MOST_NODES = 20_000
"""Of a file that is walked: aliases can make a small one endless."""


def of_yaml(text: str, is_server: Callable[[str], bool]) -> list[str]:
    """The environment, the image and the words of the first container whose words are a server's.

    Args:
        text: a whole file, several of them, or some lines of one.
        is_server: whether a text names an engine.
    """
    containers = list(_containers(text))
    for words in containers:
        if is_server(" ".join(words)):
            return words
    return containers[0] if len(containers) == 1 else _of_lines(text)


def _containers(text: str) -> Iterator[list[str]]:
    import yaml

    try:
        left: list[object] = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, RecursionError, ValueError):
        return  # lines of a template, or a part that was cut out
    seen = 0
    while left and seen < MOST_NODES:
        node = left.pop(0)
        seen += 1
        if isinstance(node, dict):
            if isinstance(options := node.get("engine_kwargs"), dict):  # Ray's
                source = node.get("model_loading_config")
                names = source if isinstance(source, dict) else node
                yield of_options(options, names.get("model_source") or names.get("model_id"))
            elif isinstance(node.get("model"), str) and _OPTIONS & {str(key).replace("-", "_") for key in node}:
                yield of_options(node)  # vLLM's --config
            if any(key in node for key in (*_KEYS, "image")):
                yield [
                    *_environment(node.get("environment") or node.get("env")), *_items(node.get("image")),
                    *(word for key in _KEYS for word in _items(node.get(key))),
                ]  # fmt: skip
            left += node.values()
        elif isinstance(node, list):
            left += node


def _items(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(item) for item in value[:1000]]
    return _split(value) if isinstance(value, str) else []


def _environment(value: object) -> list[str]:
    """``NAME=value`` of compose's two forms and of Kubernetes' one."""
    if isinstance(value, dict):
        return [f"{name}={said}" for name, said in value.items()]
    if not isinstance(value, list):
        return []
    named = [f"{item.get('name')}={item.get('value')}" for item in value if isinstance(item, dict)]
    return [*named, *(item for item in value if isinstance(item, str) and "=" in item)]


def _of_lines(text: str) -> list[str]:
    """The image and the items of ``command`` and ``args``, line by line."""
    words: list[str] = []
    taking = False
    for line in text.splitlines():
        key = re.match(r"\s*(?:-\s+)?([\w-]+)\s*:\s*(.*)$", line)
        item = re.match(r"\s*-\s+(.*)$", line)
        if key and not re.match(r"\s*-\s+[\"']?--", line):
            taking = key[1] in _KEYS
            value = key[2].strip()
            if key[1] == "image" or taking:
                words += _value(value)
        elif item and taking:
            words += _value(item[1].strip())
        elif taking and line.strip() and not line.strip().startswith("#"):
            words += _value(line.strip())
    return words


def _value(value: str) -> list[str]:
    if value in {"", "|", ">", ">-", "|-"}:
        return []
    if value.startswith("["):
        try:
            return [str(item) for item in json.loads(value.replace("'", '"'))]
        except ValueError:
            return _split(value.strip("[]").replace(",", " "))
    return _split(value.removesuffix("\\"))


def _split(text: str) -> list[str]:
    try:
        return shlex.split(re.sub(r"\\\s*\n", " ", text), comments=True)
    except ValueError:
        return text.split()

"""An engine's options as people paste them: words of a command line into the fields of its settings."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

from inspector.errors import InspectorError
from inspector.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

T = TypeVar("T")

IGNORED = frozenset({
    "host", "port", "api-key", "served-model-name", "uvicorn-log-level", "log-level", "disable-log-requests",
    "disable-log-stats", "enable-auto-tool-choice", "tool-call-parser", "reasoning-parser", "chat-template",
    "download-dir", "load-format", "seed", "tokenizer", "tokenizer-mode", "tokenizer-path", "trust-remote-code",
    "revision", "generation-config", "allowed-origins", "middleware", "root-path", "distributed-executor-backend",
    "nnodes", "node-rank", "dist-init-addr", "enable-metrics", "watchdog-timeout", "jinja", "threads", "t",
    "no-mmap", "mmap", "mlock", "temp", "temperature", "top-p", "top-k", "min-p", "alias", "verbose", "v",
    "lora-modules", "task", "runner", "enable-log-requests", "no-enable-log-requests", "max-log-len",
    "enable-reasoning", "schedule-policy", "n-predict", "n", "p", "prompt", "metrics", "slots", "no-webui",
    "skip-server-warmup", "response-role", "disable-uvicorn-access-log", "enable-prompt-tokens-details",
    "enable-server-load-tracking", "override-generation-config", "no-warmup", "O1", "max-prefill-tokens", "model-name",
    "O2", "O3",
})  # fmt: skip
"""Options of serving that change no byte on the card; nothing is said of them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Understood:
    """Settings as keyword arguments, the words that were not understood, and what stood alone."""

    values: dict[str, Any]
    not_understood: tuple[str, ...]
    alone: tuple[str, ...]


def read_words(words: Sequence[str], settings: type, short: Mapping[str, str], *, prefixes: bool = False) -> Understood:
    """Read a command line.

    Args:
        words: ``--name value``, ``--name=value``, ``-x value`` and flags, in any order.
        settings: the dataclass whose fields the options are.
        short: other names of an option, without dashes, by the field's.
        prefixes: the engine's parser takes the beginning of an option for it, as argparse does.

    Raises:
        InspectorError: for a value that its option cannot have, or an option that lacks its value.
    """
    types = {field.name: str(field.type) for field in dataclasses.fields(settings)}
    values: dict[str, Any] = {}
    unknown: list[str] = []
    alone: list[str] = []
    rest = _whole_objects(words, types)
    while rest:
        word = rest.pop(0)
        if not _is_option(word):
            alone.append(word)
            continue
        name, glued, value = word.lstrip("-").partition("=")
        plain = _meant(name.replace("_", "-").replace(".", "-"), (*types, *short) if prefixes else ())
        if plain in IGNORED:
            if not glued and rest and not _is_option(rest[0]) and plain not in _FLAGS:
                rest.pop(0)
            continue
        field = short.get(plain, plain.replace("-", "_"))
        negated = field not in types and field.startswith("no_") and field[3:] in types
        field = field[3:] if negated else field
        if field not in types:
            following = [] if glued or not rest or _is_option(rest[0]) else [rest.pop(0)]
            unknown.append(" ".join([word, *following]))
            continue
        if types[field].startswith("bool"):
            said = value if glued else rest.pop(0) if rest and rest[0].lower() in _TRUTH else "true"
            values[field] = _TRUTH[said.lower()] is not negated if said.lower() in _TRUTH else not negated
            continue
        if not glued:
            if not rest or _is_option(rest[0]):
                if field not in _ALONE:
                    raise InspectorError(f"{word} lacks its value", hint=f"write {word} and a value")
                value = _ALONE[field]
            else:
                value = rest.pop(0)
        values[field] = _value(word, value, types[field])
    return Understood(values, tuple(unknown), tuple(alone))


def _whole_objects(words: Sequence[str], types: Mapping[str, str]) -> list[str]:
    """The words with options that are JSON in one piece: ``--limit-mm-per-prompt.image 0`` writes one key of them."""
    objects: dict[str, dict[str, Any]] = {}
    kept: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, glued, value = word.partition("=")
        head, _, key = name.lstrip("-").partition(".")
        if not key or not _is_option(word) or not types.get(head.replace("-", "_"), "").startswith("str"):
            kept.append(word)
            continue
        said = value if glued else left.pop(0) if left and not _is_option(left[0]) else "true"
        _put(objects.setdefault(head, {}), key, said)
    return [*kept, *(word for head, whole in objects.items() for word in (f"--{head}", json.dumps(whole)))]


def _put(whole: dict[str, Any], key: str, said: str) -> None:
    """Set a key, which may be nested, to what JSON makes of a word, else to the word."""
    *parents, last = key.split(".")
    for parent in parents:
        inner = whole.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise InspectorError(f"{key:.60} is a key of what is no object", hint="write the whole as JSON")
        whole = inner
    try:
        whole[last] = json.loads(said)
    except ValueError:
        whole[last] = said


def _meant(word: str, names: Collection[str]) -> str:
    """The one of these options, and of those that change nothing, that begins so; else what was said."""
    known = {name.replace("_", "-") for name in names} | (IGNORED if names else set())
    begin = {name for name in known if name.startswith(word)}
    return begin.pop() if word not in known and len(begin) == 1 and len(word) >= LEAST else word


LEAST = 4
"""Letters from which on the beginning of an option is taken for it."""


def nearest_option(word: str, settings: type) -> str:
    """The option most like a word that was not understood, empty for none."""
    names = [field.name.replace("_", "-") for field in dataclasses.fields(settings)]
    close = difflib.get_close_matches(word.lstrip("-").partition("=")[0].partition(" ")[0], names, n=1, cutoff=0.75)
    return f"--{close[0]}" if close else ""


def settings_of(kind: type[T], values: Mapping[str, Any]) -> T:
    """Settings of values that Python was given, under the options' names with underscores.

    Raises InspectorError for a name that is none.
    """
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            near = nearest_option(name.replace("_", "-"), kind)
            raise InspectorError(
                f"no option of this engine is named {name!r}", hint=f"did you mean {near}?" if near else ""
            )
    return kind(**values)


_ALONE = {"flash_attn": "on"}
"""What an option means that older releases had as a flag: ``llama-server -fa``."""
_TRUTH = {"true": True, "false": False, "on": True, "off": False, "1": True, "0": False, "auto": True}
_FLAGS = frozenset({
    "trust-remote-code", "enable-auto-tool-choice", "disable-log-requests", "disable-log-stats", "enable-metrics",
    "jinja", "no-mmap", "mmap", "mlock", "verbose", "v", "enable-log-requests", "no-enable-log-requests",
    "enable-reasoning", "metrics", "slots", "no-webui", "skip-server-warmup", "disable-uvicorn-access-log",
    "no-warmup", "enable-prompt-tokens-details", "enable-server-load-tracking",
})  # fmt: skip


def _is_option(word: str) -> bool:
    return (
        word.startswith("-") and len(word) > 1 and not word[1].isdigit() and not (word[1] == "." and word[2:].isdigit())
    )


def _value(word: str, value: str, kind: str) -> Any:
    if kind.startswith("str"):
        return value
    if kind.startswith("float"):
        return _number(word, value)
    try:
        return int(value)
    except ValueError:
        pass
    if value.lower() in {"auto", "all"}:
        return -1 if value.lower() == "auto" else EVERY
    # ``32k`` and ``1K`` as vLLM's ``human_readable_int``: small letters are thousands, large ones 1024.
    scale = {"k": 1000, "m": 10**6, "g": 10**9, "K": 1024, "M": 1024**2, "G": 1024**3}.get(value[-1:], 0)
    if scale and _is_number(value[:-1]):
        return int(float(value[:-1]) * scale)
    if "bytes" in word:
        return parse_size(value)
    raise InspectorError(
        f"{word} is {value[:40]!r}, not a whole number", hint=f"write it as {word} {8192 if _LONG.search(word) else 2}"
    )


def _number(word: str, value: str) -> float:
    if not _is_number(value.removeprefix("-")):
        raise InspectorError(
            f"{word} is {value[:40]!r}, not a number", hint=f"write it as {word} {4 if _GIB.search(word) else 0.9}"
        )
    return float(value)


_LONG, _GIB = re.compile(r"len|tokens|context|ctx|^-c$"), re.compile(r"gb|space|size")
EVERY = 10_000
"""``-ngl all``: more layers than any model has."""


def _is_number(value: str) -> bool:
    whole, _, part = value.partition(".")
    return 0 < len(value) < 30 and (whole.isdecimal() or not whole) and (part.isdecimal() or not part) and value != "."

"""A word of a config that its class does not know: which field says it, what is known, and what is meant perhaps.

The libraries look words up in tables of theirs (activations, rope types, layer kinds, attention classes, ...) and say
``KeyError: 'su'``, or name everything they know in a sentence of a page. The table is found where the error was raised,
and the field by its value, so that no list of fields or tables is kept here.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inspector.errors import closest
from inspector.skeleton.habits import usual

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

# What a rope type of old is called by the one class that still takes it: Phi3Config, Qwen2VLConfig.
_RENAMED = {"su": "longrope", "mrope": "default"}
# More known words than this say less than the few that are near: a sub-config may be of 500 types.
_MOST_KNOWN = 60
_DEEPEST = 6
# The frames of a look-up itself: the table's own method, and the line that uses it.
_FRAMES = 3
_MISSING = re.compile(r"Missing required keys in `\w+` for 'rope_type'='(.*?)': \{(.*)\}")
_ONE_OF = re.compile(
    r"(?:(?:expected|be|contain) (?:one of|in)\b:?|select [\w ]+ from)\s*(.*)", re.IGNORECASE | re.DOTALL
)
_NOT_OF_TYPE = re.compile(
    r"Field '(\w+)' (?:expected (\w+), got \w+ \(value: (.*)\)|with value (.*) doesn't match any type in)"
)
_NO_ATTRIBUTE = re.compile(r"module 'torch' has no attribute '(.*)'")


@dataclass(frozen=True, slots=True)
class UnknownWord:
    """What to say instead of what a library said: a sentence, and what to do."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A value of a config: its dotted path, the last name of it, and itself; of a list every item is one."""

    path: str
    name: str
    value: object
    listed: bool = False


def unknown_word(error: BaseException, config: Mapping[str, object]) -> UnknownWord | None:
    """What an error means when it is a word (or a key left out) of a config, else None."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    for cause in reversed(causes):
        found = _looked_up(cause, config) if isinstance(cause, KeyError) else _in_words(str(cause), config)
        if found is not None:
            return found
    return None


def _looked_up(error: KeyError, config: Mapping[str, object]) -> UnknownWord | None:
    key = error.args[0] if len(error.args) == 1 else None
    if isinstance(key, str) and (missing := _MISSING.search(key)):
        field = "rope_scaling" if "rope_scaling" in config else "rope_parameters"
        return UnknownWord(
            f"{field} is of type {missing[1]!r} and lacks {missing[2]}", "add it, or leave the field out"
        )
    if not isinstance(key, str | int | float) or (isinstance(key, str) and " " in key):
        return None
    line, table, known = _table(error.__traceback__, key)
    leaves = [leaf for leaf in _leaves(config) if _says(leaf.value, key)]
    # The field that the failing line names, where several have the same value: `config.hidden_act` in it.
    named = [leaf for leaf in leaves if re.search(rf"\b(\w*_)?{re.escape(leaf.name)}\b", line)]
    chosen = named or (leaves if isinstance(key, str) else [])
    if not chosen:
        return None
    hint = _known(str(key), known)
    if table == "ROPE_INIT_FUNCTIONS":
        hint += f"; without {chosen[0].path.partition('.')[0]} every size is the same"
    return UnknownWord(_sentence(chosen, str(key)), hint)


def _table(traceback: TracebackType | None, key: object) -> tuple[str, str, tuple[str, ...]]:
    """The line that looked a key up, the name of the table it is not in, and the words of that; empty where unknown."""
    frames = []
    while traceback is not None:
        frames.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    for frame, number in reversed(frames[-_FRAMES:]):
        line = linecache.getline(frame.f_code.co_filename, number)
        for name in re.findall(r"(\w+)\s*\[", line):
            table = frame.f_locals.get(name, frame.f_globals.get(name))
            if isinstance(table, Mapping) and key not in table and any(isinstance(word, str) for word in table):
                # The one type that is never looked up: modules compare with it first.
                more = ["default"] if name == "ROPE_INIT_FUNCTIONS" else []
                return line, name, tuple(sorted({*more, *(word for word in table if isinstance(word, str))}))
    return "", "", ()


def _in_words(said: str, config: Mapping[str, object]) -> UnknownWord | None:
    """A sentence that names what would be right: ``must be in (...) but got ...``, ``expected one of (...)``."""
    if attribute := _NO_ATTRIBUTE.search(said):
        word = attribute[1]
        leaves = [leaf for leaf in _leaves(config) if leaf.name in {"dtype", "torch_dtype"} and leaf.value == word]
        dtypes = ("bfloat16", "float16", "float32", "float64")
        if leaves:
            return UnknownWord(_sentence(leaves, word), _known(word, dtypes, usual("dtype", word)))
        return None
    if typed := _NOT_OF_TYPE.search(said):
        field, wanted, value, other = typed.groups()
        field = "rope_scaling" if field == "rope_parameters" and field not in config else field
        value = "null" if (value or other) == "None" else value or other
        what = f"no {wanted}" if wanted else "nothing its class takes"
        return UnknownWord(f"{field} is {value[:80]}, {what}", "mend the config.json")
    if not (listed := _ONE_OF.search(said)):
        return None
    known, rest = _words(listed[1])
    # The wrong value is named before the list or behind it; what is in the list is right.
    outside = said[: listed.start(1)] + rest
    wrong = [
        leaf
        for leaf in _leaves(config)
        if isinstance(leaf.value, str)
        and leaf.value.strip()  # nothing stands in every sentence
        and leaf.value not in known
        and re.search(rf"(?<![\w.]){re.escape(leaf.value)}(?![\w])", outside)
    ]
    # A field that the sentence names goes before others that happen to have such a value.
    wrong = [leaf for leaf in wrong if re.search(rf"\b{re.escape(leaf.name)}\b", said)] or wrong
    if not wrong or not known:
        return None
    word = str(wrong[0].value)
    return UnknownWord(_sentence([leaf for leaf in wrong if leaf.value == word], word), _known(word, known))


def _words(text: str) -> tuple[tuple[str, ...], str]:
    """The words of a list, in brackets or bare with commas, and what follows it."""
    bracketed = re.match(r"\(.*?\)|\[.*?\]|\{.*?\}", text, re.DOTALL)
    listed = bracketed[0] if bracketed else text
    try:
        words = [word for word in ast.literal_eval(listed) if isinstance(word, str)] if bracketed else []
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        words = []
    bare = [word for word in re.split(r"[\s,]+", listed.strip("()[]{} .")) if word]
    return tuple(words or [word.strip("'\"`") for word in bare]), text[len(bracketed[0]) :] if bracketed else ""


def _says(value: object, key: object) -> bool:
    """Whether a value is a key, or has it as a part: the ``gelux`` of ``gated-gelux``, a letter of a pattern."""
    if value == key and isinstance(value, str) == isinstance(key, str):
        return True
    if not isinstance(value, str) or not isinstance(key, str):
        return False
    return value.endswith(f"-{key}") or (len(key) == 1 and not key.isalnum() and key in value)


def _leaves(value: object, path: str = "", name: str = "", depth: int = 0) -> Iterator[_Leaf]:
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key), str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            for leaf in _leaves(inner, path, name, depth + 1):
                yield replace(leaf, listed=True)
    else:
        yield _Leaf(path, name, value)


def _sentence(leaves: Sequence[_Leaf], word: str) -> str:
    paths = list(dict.fromkeys(leaf.path for leaf in leaves))[:3]
    value = leaves[0].value
    # Of a word with a part that is unknown, both; of a list, which items do not matter.
    part = f": {word!r}" if str(value) != word else ""
    are = "has" if leaves[0].listed else "is" if len(paths) == 1 else "are"
    return f"{' and '.join(paths)} {are} {value!r}{part}, which its class does not know"


def _known(word: str, known: tuple[str, ...], meant: str = "") -> str:
    meant = meant if meant in known else _RENAMED.get(word, "")
    close = [meant] if meant in known else closest(word, known, most=3)
    mean = f"did you mean {' or '.join(close)}?" if close else ""
    listed = f"known: {', '.join(known)}" if known and len(known) <= _MOST_KNOWN else ""
    return " ".join(filter(None, (mean, listed))) or "see the class's own documentation"

"""Answers of dry runs kept on disk: one question to the same code and the same libraries is simulated once.

An entry is named by all that its answer depends on (`inspector.store.freshness`), so it never has to be renewed, only
dropped: the longest unused ones go when the folder has grown too large.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from inspector.errors import InspectorError
from inspector.store.entries import store_folder, stored
from inspector.store.freshness import entry_name
from inspector.store.plain_data import from_plain, to_plain
from inspector.trust import is_code_trusted

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.store.plain_data import Keepable

T = TypeVar("T", bound="Keepable")

KIND = "dryruns"
LIMIT_BYTES = 64 * 10**6
"""Most that kept answers take on disk: some hundred reports, or ten thousand outcomes."""
_refused: set[Path] = set()
"""Folders in which nothing could be kept: one warning is enough for a run."""


def answered(question: tuple[Keepable, ...], cls: type | tuple[type, ...], make: Callable[[], T]) -> T:
    """The kept answer to a question, or a newly made one, which is then kept as `inspector.store.entries.stored` does.

    Args:
        question: plain data and our frozen dataclasses; all that the answer depends on, besides the code.
        cls: what the answer is; any other entry counts as damaged.
        make: makes the answer; its errors are raised, and nothing is kept.
    """
    if is_code_trusted() or store_folder() in _refused:  # a model's own code is not part of the question
        return make()
    entry = Path(KIND, f"{entry_name(question)}.json")

    def load(data: bytes) -> T:
        try:
            answer = from_plain(json.loads(data))
        except (ValueError, TypeError, KeyError, RecursionError):
            answer = None
        if not isinstance(answer, cls):
            raise InspectorError("it is no answer of a dry run")
        return cast("T", answer)

    def dump(answer: T) -> bytes:
        return json.dumps(to_plain(answer), separators=(",", ":")).encode()

    answer = stored(entry, "a dry run", load=load, make=make, dump=dump, most=LIMIT_BYTES)
    # Writing it failed and was said: the next answer would fail and say the same.
    if not (store_folder() / entry).exists():
        _refused.add(store_folder())
    return answer

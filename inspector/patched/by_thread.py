"""What stands in the place of a foreign name: ours on the thread that holds the lock, the original on any other."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from inspector.patched.lock import acting


def by_thread(original: Any, ours: Any) -> Any:
    """One for a flag, for a mapping, for an attribute of instances, or for what is called."""
    if isinstance(original, (bool, _Flag)):  # a block may be inside another, and find what that one put there
        return _Flag(original, ours)
    if isinstance(original, Mapping):
        return _Mapping(original, ours)
    if inspect.isdatadescriptor(original):
        read: Any = original
        return property(_gate(getattr(read, "fget", None) or read.__get__, ours))
    return _gate(original, ours)


def _gate(original: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    # Its signature as well: an inner block checks by it what the outer one put there (`replacing._takes`).
    @functools.wraps(original)
    def gate(*args: object, **kwargs: object) -> Any:
        return (ours if acting() else original)(*args, **kwargs)

    return gate


class _Flag:
    """A truth that depends on the thread."""

    def __init__(self, theirs: Any, ours: bool) -> None:
        self.theirs, self.ours = theirs, ours

    def __bool__(self) -> bool:
        return bool(self.ours if acting() else self.theirs)

    def __eq__(self, other: object) -> bool:
        return bool(self) == other

    def __hash__(self) -> int:
        return hash(bool(self))

    def __repr__(self) -> str:
        return repr(bool(self))


class _Mapping(MutableMapping[Any, Any]):
    """A mapping of ours on our thread; elsewhere the original, which keeps what others write into it."""

    def __init__(self, theirs: Any, ours: Any) -> None:
        self.theirs, self.ours = theirs, ours

    def _here(self) -> Any:
        return self.ours if acting() else self.theirs

    def __getitem__(self, key: Any) -> Any:
        return self._here()[key]

    def __setitem__(self, key: Any, value: object) -> None:
        self._here()[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._here()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._here())

    def __len__(self) -> int:
        return len(self._here())


class _Silent:
    """In the place of a message's regular expression: matches on the thread that made it, and is inert ever after."""

    def __init__(self) -> None:
        self.thread: int | None = threading.get_ident()

    def match(self, _message: str) -> bool:
        return self.thread == threading.get_ident()


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """No warnings from this thread. The lock is not needed.

    ``warnings.catch_warnings`` puts a whole list back, also over what other threads did to it meanwhile. Here one
    filter comes first in the list that counts now, and leaves that list again, and the one that counts by then.
    """
    ours = _Silent()
    entry: Any = ("ignore", ours, Warning, None, 0)
    filters: list[Any] = vars(warnings)["filters"]
    filters.insert(0, entry)  # the first that matches decides
    try:
        yield
    finally:
        ours.thread = None
        # Someone may have entered or left `catch_warnings` meanwhile, which puts another list there.
        for each in (filters, vars(warnings)["filters"]):
            with contextlib.suppress(ValueError):
                each.remove(entry)

"""Names replaced and put back, last in first out, whatever happens in between."""

from __future__ import annotations

import contextlib
import functools
import inspect
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.patched.by_thread import by_thread
from inspector.patched.inventory import PATCHES, TESTED, Patch
from inspector.patched.lock import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def patched(replacements: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Put these in the place of foreign names, for this thread, until the block ends; without any, hold the lock.

    A function is called on this thread alone, and on any other the original is. In the place of a flag stands one that
    answers by the thread, in that of a mapping one that is ours here and the original elsewhere.

    Args:
        replacements: by the names of `PATCHES`.

    Raises:
        InspectorError: when an installed library has no such name, or one with other parameters.
        RuntimeError: when someone else changed a name meanwhile, which is then left as they set it.
    """
    with alone():
        made: list[_Made] = []
        try:
            for key, ours in (replacements or {}).items():
                # Noted before it is put there: interrupted in between, it is undone all the same.
                made.append(_Made(PATCHES[key], ours))
                made[-1].put()
            yield
        finally:
            changed: list[str] = []
            try:
                _undo(made, changed)
            except BaseException:  # interrupted while undoing: the rest is undone all the same
                _undo(made, changed)
                raise
            if changed:
                # No InspectorError: the user can mend nothing, and whose fault it is only a traceback shows.
                raise RuntimeError(f"changed by someone else while a dry run had them: {', '.join(changed)}")


def _undo(made: list[_Made], changed: list[str]) -> None:
    """Last in, first out, each once."""
    while made:
        if not made[-1].undo():
            changed.append(made[-1].patch.key)
        made.pop()  # only now: interrupted before, it is tried again


class _Made:
    """One replacement: what was there, and what stands there now."""

    def __init__(self, patch: Patch, ours: Any) -> None:
        self.patch = patch
        try:
            self.owner: Any = resolve_name(patch.owner)
            self.original: Any = getattr(self.owner, patch.name)
        except (ImportError, AttributeError) as error:
            raise _unknown(patch, "is not there") from error
        self.own = vars(self.owner).get(patch.name, self)  # ourselves: only inherited
        if patch.parameters is not None and not _takes(self.original, patch.parameters):
            raise _unknown(patch, f"does not take ({', '.join(patch.parameters)})")
        gate = by_thread(self.original, ours)
        self.stands = staticmethod(gate) if isinstance(self.own, staticmethod) else gate

    def put(self) -> None:
        setattr(self.owner, self.patch.name, self.stands)

    def undo(self) -> bool:
        """Whether it could be: nobody else set the name meanwhile."""
        now = vars(self.owner).get(self.patch.name, self)
        if now is self.stands:
            if self.own is self:
                delattr(self.owner, self.patch.name)
            else:
                setattr(self.owner, self.patch.name, self.own)
        return now is self.stands or now is self.own


# Every dry run asks again for the same functions, and `inspect.signature` is slow.
@functools.lru_cache(maxsize=256)
def _takes(function: Callable[..., Any], names: tuple[str, ...]) -> bool:
    """Whether a function has these parameters first, and needs no others."""
    found = list(inspect.signature(function).parameters.values())
    more = found[len(names) :]
    optional = all(
        each.default is not each.empty or each.kind in {each.VAR_POSITIONAL, each.VAR_KEYWORD} for each in more
    )
    return tuple(each.name for each in found[: len(names)]) == names and optional


def _unknown(patch: Patch, what: str) -> InspectorError:
    tested = TESTED[patch.library]
    return InspectorError(
        f"{patch.key} {what}: this {patch.library} is not one that Inspector was tested with ({tested})",
        hint=f"pip install '{patch.library}{tested}'",
    )

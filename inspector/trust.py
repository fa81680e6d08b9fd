"""Whether the user trusts the code that models bring along: no, unless said so for what is being opened."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# For each thread and task its own: a plain global would trust in one what was said in another.
_TRUSTED: ContextVar[bool] = ContextVar("trust_remote_code", default=False)


def is_code_trusted() -> bool:
    """Whether code that a model brings along may run now."""
    return _TRUSTED.get()


@contextlib.contextmanager
def trusting(trust_remote_code: bool) -> Iterator[None]:
    """Models opened inside the block may run their own code, or not."""
    token = _TRUSTED.set(trust_remote_code)
    try:
        yield
    finally:
        _TRUSTED.reset(token)  # what counted outside: blocks nest

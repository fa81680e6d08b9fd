"""Advice that libraries print about running a model is not for a dry run: silence, on our thread alone.

No level and no verbosity is set, so there is none to put back, and what other threads log goes where it went: records
are dropped as they are handled.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from inspector.patched import patched, without_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARIES = frozenset(
    {"transformers", "bitsandbytes", "diffusers", "peft", "accelerate", "huggingface_hub", "DeepSpeed"}
)
"""The libraries that are silent, by the first part of their loggers' names."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Neither log records nor warnings of the libraries, from this thread, until the block ends."""
    handle = logging.Logger.handle

    def of_others(logger: logging.Logger, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] not in LIBRARIES:
            handle(logger, record)

    with patched({"logging.Logger.handle": of_others}), without_warnings():
        yield

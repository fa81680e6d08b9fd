"""A fence around building: a config that makes modules without end is stopped, whatever field it hid the number in."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_REGISTRATIONS = 100_000
"""Modules and parameters of one model: over thirty times the most that a bundled model has."""

MAX_SECONDS = 6.0
"""CPU seconds of this thread for one model; the slowest bundled one takes about 2."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Count what ``nn.Module`` registers inside the block.

    Raises InspectorError, out of the registration, when there is too much of it or it takes too long.
    """
    from torch.nn.modules import module as registry

    made, started = 0, time.thread_time()

    def count(*_registered: Any) -> None:
        nonlocal made
        made += 1
        if made > MAX_REGISTRATIONS:
            raise InspectorError(f"the config makes over {MAX_REGISTRATIONS:,} modules", hint="mend the config.json")
        if made % 256 == 0 and time.thread_time() - started > MAX_SECONDS:
            raise InspectorError(f"the model takes over {MAX_SECONDS:.0f} s to lay out", hint="mend the config.json")

    handles = [
        registry.register_module_module_registration_hook(count),
        registry.register_module_parameter_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

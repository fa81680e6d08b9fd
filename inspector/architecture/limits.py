"""A fence around building: a config that makes modules without end is stopped, whatever field it hid the number in."""

from __future__ import annotations

import contextlib
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.patched import patched

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_REGISTRATIONS = 80_000
"""Modules and parameters inside the outermost block, which builds a model twice, once in each dtype: twelve times as
many as any bundled model registers (GLM-4.6: 6,600)."""

MAX_SECONDS = 3.0
"""CPU seconds of this thread from the first module on; the slowest bundled one takes 0.4 s. What is before, up to 3 s
of importing torch and the model's class, is not the config's fault: it is not counted. With it, and what reading the
model takes afterwards, a refusal comes within 10 s."""

_OURS = -1
"""The number of our hook; PyTorch counts its own up from 0."""

_inside: ContextVar[bool] = ContextVar("inside", default=False)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Count what ``nn.Module`` registers inside the block; a block inside another counts with it.

    Raises InspectorError, out of the registration, when there is too much of it or it takes too long.
    """
    if _inside.get():
        yield
        return
    from torch.nn.modules import module as registry

    made, started = 0, 0.0

    def count(*_registered: object) -> None:
        nonlocal made, started
        made += 1
        started = started or time.thread_time()
        if made > MAX_REGISTRATIONS:
            raise InspectorError(f"the config makes over {MAX_REGISTRATIONS:,} modules", hint="mend the config.json")
        # Asking for the time at every module would cost more than the module.
        if made % 256 == 0 and time.thread_time() - started > MAX_SECONDS:
            raise InspectorError(
                f"the model takes over {MAX_SECONDS:.0f} s to lay out",
                hint="mend the config.json; or try again where less else runs, which slows this too",
            )

    # Mappings of our own, for a change of the one that all threads walk through could stop another in its walk.
    hooks = {
        f"torch.nn.modules.module.{name}": {**getattr(registry, name), _OURS: count}
        for name in ("_global_module_registration_hooks", "_global_parameter_registration_hooks")
    }
    token = _inside.set(True)
    try:
        with patched(hooks):
            yield
    finally:
        _inside.reset(token)

"""Which module's forward is running, told to the tracer by hooks on the model's own modules."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from inspector.simulate.tracing.tracer import Tracer


@contextmanager
def follow_modules(tracer: Tracer, named: Sequence[tuple[str, nn.Module]], head: str) -> Iterator[None]:
    """While this runs, the tracer knows which of a model's modules is running, also when a forward stops early.

    ``torch.nn.Module.__call__`` would be one name for all modules of the process; instances concern nobody else.

    Args:
        tracer: is told.
        named: a model's modules, by their paths.
        head: the path after which tensors are logits and loss; "" for none.
    """
    tracer.watch_modules(named, head)
    running: list[tuple[str, bool]] = []

    def begins(module: nn.Module, _args: object) -> None:
        running.append(tracer.enter(module))

    def ends(_module: nn.Module, _args: object, _output: object) -> None:
        tracer.leave(running.pop())

    handles = []
    for _, module in named:
        # Before the model's own hooks: what they make is the module's.
        handles.append(module.register_forward_pre_hook(begins, prepend=True))
        handles.append(module.register_forward_hook(ends, always_call=True))  # also where recomputation stops early
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

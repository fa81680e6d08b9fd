"""Which module's forward is running, told to the tracer by hooks on the model's own modules."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import Iterator, Sequence

    from torch import nn

    from inspector.simulate.tracing.tracer import Tracer

_numbers = count(-1, -1)
"""Keys of hooks: below 0, where PyTorch's own handles never are."""


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

    # As `register_forward_pre_hook` and `register_forward_hook` put them, without two handles for each of the thousands
    # of modules, whose making took longer than what the hooks do.
    number = next(_numbers)
    for _, module in named:
        module._forward_pre_hooks[number] = begins
        # Before the model's own hooks: what they make is the module's.
        cast("OrderedDict[int, Any]", module._forward_pre_hooks).move_to_end(number, last=False)
        module._forward_hooks[number] = ends
        module._forward_hooks_always_called[number] = True  # also where recomputation stops early
    try:
        yield
    finally:
        for _, module in named:
            for hooks in (module._forward_pre_hooks, module._forward_hooks, module._forward_hooks_always_called):
                hooks.pop(number, None)

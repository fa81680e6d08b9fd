"""First values that nobody reads, not computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from inspector.simulate.tracing.shape_memory import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch._ops import OpOverload

aten = torch.ops.aten


class Unwritten(TorchDispatchMode):
    """Leaves tensors on the CPU as they are where they would be filled, as ``torch.nn.init`` fills them."""

    FILLS = frozenset({aten.uniform_.default, aten.normal_.default, aten.zero_.default, aten.fill_.Scalar})

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # On meta there is nothing to spare, and the tracer is to see the operator.
        if func in self.FILLS and args[0].device.type == "cpu":
            return args[0]
        return run(func, args, kwargs or {})

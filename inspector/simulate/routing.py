"""Which tokens go to which expert is data, and a dry run has none: answer for the balanced or for the worst case.

Most mixtures multiply sorted tokens by groups of experts (``grouped_mm``): their memory is the same for any routing.
Some loop over their experts and pick each one's tokens with ``nonzero`` or ``where``: how many is decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


def num_experts(config: Any) -> int:
    """Experts of a mixture, from a config or its ``config.json``; 1 when there are none."""
    inner = config.get("text_config", config) if isinstance(config, dict) else getattr(config, "text_config", config)
    for name in _EXPERTS:
        value = inner.get(name) if isinstance(inner, dict) else getattr(inner, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return 1


def replaced(config: Any, routing: str) -> dict[Any, Callable[..., Any]]:
    """``nonzero`` with a number of rows for tensors without data.

    A vector answers yes everywhere (every expert is used). Of a table of choices and tokens, one expert gets its share
    of the entries (balanced) or every token once (worst).
    """
    experts = num_experts(config)

    def rows(tensor: Any) -> int:
        if tensor.dim() < 2 or min(tensor.shape) <= 1:
            return int(tensor.numel())
        tokens = max(tensor.shape)
        return tokens if routing == "worst" else max(1, -(-int(tensor.numel()) // experts))

    def nonzero(tensor: Any) -> Any:
        return torch.empty((rows(tensor), tensor.dim()), dtype=torch.int64, device=tensor.device)

    return {torch.ops.aten.nonzero.default: nonzero}

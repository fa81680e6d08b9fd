"""What a value is taken for that was never computed: the stated policies, changed by ``--assume``, noted when used.

Anything a script reads from the card is the outcome of arithmetic that did not happen. Small integers, masks and counts
are carried along and known; for all others there is one policy, that of an ordinary, healthy run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

aten = torch.ops.aten

FINITE = {aten.isfinite.default: True}
NOT_FINITE = {
    getattr(aten, name).default: False for name in ("isnan", "isinf", "isposinf", "isneginf") if hasattr(aten, name)
}
HEALTHY: Mapping[Any, bool] = {**FINITE, **NOT_FINITE}
"""What an operator says of unknown floats: no infinities, no not-a-numbers."""

CHOICES = frozenset({
    aten.argmax.default, aten.argmin.default, aten.multinomial.default, aten.max.dim, aten.min.dim, aten.topk.default,
    aten.sort.default, aten.sort.stable, aten.argsort.default, aten.argsort.stable,
})  # fmt: skip
"""Operators whose integers are places in unknown numbers."""


class UnknowableError(RuntimeError):
    """The run would go on differently for every value, and no policy says for which."""


@dataclass
class Policies:
    """The constants, and which of them were used and by which line of the script.

    ``number`` is what an unknown float is; ``mask`` an unknown boolean; ``token`` the index that argmax and sampling
    give, by default the first that ends nothing.
    """

    number: float = 1.0
    mask: bool = True
    token: int | None = None
    ends: set[int] = field(default_factory=set)
    used: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Mapping[str, str]) -> Policies:
        """From ``--assume NAME=VALUE``, checked by the parent."""
        policies = cls()
        if "number" in said:
            policies.number = float(said["number"])
        if "mask" in said:
            policies.mask = said["mask"] == "true"
        if "token" in said:
            policies.token = int(said["token"])
        return policies

    def note(self, what: str, line: str) -> None:
        """A policy was used; the first line of the script that did is kept."""
        self.used.setdefault(what, line)

    def place(self, size: int) -> int:
        """The index that argmax or sampling gives among ``size``."""
        if self.token is not None:
            return min(self.token, max(size - 1, 0))
        return next((index for index in range(size) if index not in self.ends), 0)

    def scalar(self, dtype: torch.dtype) -> bool | int | float:
        """An unknown element."""
        if dtype == torch.bool:
            return self.mask
        return self.number if dtype.is_floating_point or dtype.is_complex else int(self.number)

    def said(self, dtype: torch.dtype) -> str:
        """The policy for such an element in words."""
        if dtype == torch.bool:
            return f"booleans of unknown numbers are read as {str(self.mask).lower()}"
        if dtype.is_floating_point or dtype.is_complex:
            return f"unknown numbers (losses, norms, scores) are read as {self.number:g}"
        return f"unknown integers are read as {int(self.number)}"

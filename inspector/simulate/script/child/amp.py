"""``torch.autocast`` in a script: any dtype, nested, switched off in the middle, on the tensors that say ``cuda``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.device import autocast
from inspector.simulate.script.child.errors import handed_on

if TYPE_CHECKING:
    from collections.abc import Iterator


class ScriptAutocast(autocast.Autocast):
    """The state of autocast for the card: whether it is on, and in which dtype."""

    def __init__(self) -> None:
        super().__init__(torch.float16)  # CUDA's own default (torch/amp/autocast_mode.py)
        self.on = False

    def region(self, enabled: bool, dtype: torch.dtype | None) -> Any:
        """A region of the script's or of a library's."""
        return self._entered(enabled, dtype)

    @contextmanager
    def _entered(self, enabled: bool, dtype: torch.dtype | None) -> Iterator[None]:
        before = self.on, self.dtype
        self.on, self.dtype = enabled, dtype or self.dtype
        self.depth += 1
        torch.set_autocast_enabled(autocast.DEVICE, enabled)
        try:
            with _included() if enabled else autocast._without_autocast():
                yield
        finally:
            self.depth -= 1
            self.on, self.dtype = before
            torch.set_autocast_enabled(autocast.DEVICE, self.on)
            if not self.depth:
                self._cast.clear()

    def _asked(self) -> dict[str, Any]:
        enabled = torch.is_autocast_enabled

        def is_enabled(device_type: str = "cuda") -> bool:
            return self.on if device_type in autocast._DEVICES else bool(handed_on(enabled, device_type))

        return {**super()._asked(), "torch.is_autocast_enabled": is_enabled}


def _included() -> Any:
    return torch._C._IncludeDispatchKeyGuard(autocast.KEY)

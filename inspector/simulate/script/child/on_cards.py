"""On which of several cards an operator's result lies."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child.composites import TakenApart
from inspector.simulate.script.child.places import Shown, number_of
from inspector.simulate.script.child.storages import has_no_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch._ops import OpOverload


class OnCards(TakenApart):
    """What is made lies where it is told to, else where the tensors lie, else on the current card."""

    meta_is_card = False
    """Whether what is on ``meta`` is on the card."""

    @contextmanager
    def on_meta(self) -> Iterator[None]:
        """While a model is loaded by `simulate`, which knows no place but the card."""
        self.meta_is_card = True
        try:
            yield
        finally:
            self.meta_is_card = False

    def _operator(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if Shown.count == 1:
            return self._done(func, args, kwargs)
        before, self._card = self._card, self._where(args, kwargs)
        try:
            out = self._done(func, args, kwargs)
        finally:
            self._card = before
        if isinstance(out, (list, tuple)) and args and isinstance(args[0], (list, tuple)):
            self._beside(args[0], out)
        return out

    def _done(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the operator gives."""
        raise NotImplementedError

    def _where(self, args: Iterable[object], kwargs: dict[str, Any]) -> int | None:
        device = kwargs.get("device")
        if device is not None and device.type == "cuda":
            return number_of(device)
        found: int | None = None
        for value in args:
            for item in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(item, torch.Tensor) and has_no_data(item):
                    watch = self._live.get(item.untyped_storage()._cdata)
                    if watch is not None and watch.place == "card":
                        if item.dim():
                            return watch.card
                        found = watch.card if found is None else found
        return found

    def _beside(self, sources: Iterable[object], made: Iterable[object]) -> None:
        """A kernel for many tensors at once makes each of them where its own lies."""
        for source, out in zip(sources, made, strict=False):
            if isinstance(source, torch.Tensor) and isinstance(out, torch.Tensor):
                here, there = self.hollow(source), self.hollow(out)
                if here is not None and there is not None and here.card != there.card:
                    there.card = here.card
                    self.cards[there.block] = here.card

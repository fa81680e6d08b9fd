"""A tracer that knows on which of several cards each storage lies, as PyTorch's own tensors know their device."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.memory_kinds import MemoryKind
from inspector.simulate.tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch._ops import OpOverload

    from inspector.simulate.device.kernels import Kernels


class CardsTracer(Tracer):
    """An operator's result lies where its tensors lie; what is made of nothing lies where the module is that runs.

    Args:
        kernels: as of `Tracer`.
        place: the card of a module by its path.
    """

    def __init__(self, kernels: Kernels, place: Callable[[str], int]) -> None:
        super().__init__(kernels)
        self.place = place
        self.cards: dict[int, int] = {}
        self._card: int | None = None
        self._forced: int | None = None

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before, self._card = self._card, self._forced
        if self._card is None:
            self._card = self._where((*args, *(kwargs or {}).values()))
        try:
            out = super().__torch_dispatch__(func, types, args, kwargs)
        finally:
            self._card = before
        # A kernel for many tensors at once makes each of them where its own lies.
        if self._forced is None and isinstance(out, (list, tuple)) and args and isinstance(args[0], (list, tuple)):
            for source, made in zip(args[0], out, strict=False):
                self._beside(source, made)
        return out

    def _beside(self, source: object, made: object) -> None:
        if isinstance(source, torch.Tensor) and isinstance(made, torch.Tensor):
            card, block = self.card_of(source), self.block_of(made)
            if card is not None and block is not None:
                self.cards[block] = card

    def _where(self, values: Sequence[Any]) -> int | None:
        """The card of an operator's tensors. A single number counts last: PyTorch takes one from the host or a card."""
        number: int | None = None
        for value in values:
            if isinstance(value, torch.Tensor):
                card = self.card_of(value)
                if card is not None and value.dim():
                    return card
                number = card if number is None else number
            elif isinstance(value, (list, tuple)) and (card := self._where(value)) is not None:
                return card
        return number

    def card_of(self, tensor: torch.Tensor) -> int | None:
        """The card a tensor lies on; None for one that is on none."""
        block = self.block_of(tensor)
        return None if block is None else self.cards[block]

    def new_block(self, nbytes: int, source: str, kind: MemoryKind | None = None) -> int:
        """As of `Tracer`, and on which card."""
        block = super().new_block(nbytes, source, kind)
        self.cards[block] = self.place(self.module) if self._card is None else self._card
        return block

    def lies_on(self, tensor: torch.Tensor, card: int) -> None:
        """Say where a tensor lies that was made before anybody knew."""
        if (block := self.block_of(tensor)) is not None:
            self.cards[block] = card

    @contextmanager
    def on(self, card: int) -> Iterator[None]:
        """What is made in here lies on this card."""
        before, self._forced = self._forced, card
        outer, self._card = self._card, card
        try:
            yield
        finally:
            self._forced, self._card = before, outer

    def copied(self, tensor: torch.Tensor, card: int) -> torch.Tensor:
        """``tensor.to(card)``: the tensor itself where it is there already, or on no card at all."""
        if self.card_of(tensor) in {None, card}:
            return tensor
        with self.on(card):
            moved: torch.Tensor = torch.ops.aten._to_copy.default(tensor)
            return moved

    def _workspace(self) -> None:
        """A BLAS handle is a card's and a thread's own."""
        thread = "backward" if torch._C._current_autograd_node() is not None else "forward"
        card = self.place(self.module) if self._card is None else self._card
        if nbytes := self.kernels.workspace(f"{thread} {card}"):
            self.new_block(nbytes, "at::cuda::getCurrentCUDABlasHandle", MemoryKind.WORKSPACE)

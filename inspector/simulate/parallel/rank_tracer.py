"""The tracer of one rank: streams, storages that are emptied and filled again, and what is sent."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor

from inspector.memory_kinds import MemoryKind
from inspector.simulate.parallel.collectives import sent
from inspector.simulate.parallel.host_memory import HostMemory
from inspector.simulate.parallel.streamed import Streamed
from inspector.simulate.tracing.shape_memory import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch._ops import OpOverload

    from inspector.simulate.device.kernels import Kernels


_TO = torch.ops.aten._to_copy.default
_INTO = torch.ops.aten.copy_.default


def _in_flight() -> dict[OpOverload, Any]:
    """What a collective gives is wrapped until it is waited for: the same memory, of which shapes alone make another.

    Source: torch/distributed/_functional_collectives.py, ``_wrap_tensor_autograd``, ``wait_tensor`` and their meta
    kernels.
    """
    import torch.distributed._functional_collectives

    operators, same = torch.ops._c10d_functional, torch.ops.aten.alias.default
    packets = (getattr(operators, name, None) for name in ("_wrap_tensor_autograd", "wait_tensor"))
    return {packet.default: same for packet in packets if packet is not None}


class RankTracer(Streamed):
    """As `Tracer`, for one of several cards.

    ``cards`` are those of one machine. While it is ``on_host``, what is made is in the machine's memory, ``host``. With
    ``two_devices`` what operators make lies where their inputs lie; while it is ``inside`` one, only the card is there.

    While it ``records_broadcasts``, what was broadcast is in use until the next block was asked for: NCCL's own stream
    is behind the host. Source: ProcessGroupNCCL.cpp before PyTorch 2.8, ``recordStream`` (pytorch/pytorch#148590).
    """

    def __init__(self, kernels: Kernels, device: str = "meta", *, cards: int = 1) -> None:
        super().__init__(kernels, device)
        kernels.replaced = {**kernels.replaced, **_in_flight()}
        self.streamed(device, cards)
        self.two_devices = self.inside = False
        self.host = HostMemory()
        self._place = ""
        self.records_broadcasts = False
        self._being_sent: list[torch.UntypedStorage] = []

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # What an operator asks for by itself, as a result whose shape is remembered, lies where its own result does.
        if not self.two_devices or self.inside:
            return self._dispatched(func, types, args, kwargs or {})
        before = self.on_host, self.inside
        # What is below asks for the one device that there is.
        self.inside = True
        self.on_host = self._on_host(args)
        if func is _INTO and not self.on_host:
            self._converted_before_sent(args)
        try:
            return self._dispatched(func, types, args, kwargs or {})
        finally:
            self.on_host, self.inside = before

    def _dispatched(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if types and any(issubclass(cls, DTensor) for cls in types):
            return NotImplemented  # it works on the rank's own part with operators that are seen by and by
        if (
            func in self.kernels.replaced
            and isinstance(args[0], torch.Tensor)
            and args[0].device.type not in self.devices
        ):
            return run(func, args, kwargs)  # the host's own, as a mesh of ranks: it has values
        if func is _INTO and args[1].device.type == self.device != args[0].device.type:
            return args[0]  # what another rank would say of itself: it says what this one does (DDP's buckets)
        if func is _TO and self.device == "meta" and str(kwargs.get("device")) == "cpu" and args[0].is_meta:
            kept = torch.empty_like(args[0], dtype=kwargs.get("dtype"))
            self.ignore([kept])  # in the machine's memory, without data there either
            return kept
        if (message := sent(func, args)) is not None:
            # An evaluation is no part of the step that it comes after.
            self.messages[self.step if self.stage != "evaluation" else -1][message] += 1
            if self.records_broadcasts and message.kind == "broadcast":
                self._being_sent += [tensor.untyped_storage() for tensor in _tensors(args)]
        return super().__torch_dispatch__(func, types, args, kwargs)

    # -- the machine's memory -----------------------------------------------------------------------------------

    @contextmanager
    def placed(self, place: str) -> Iterator[None]:
        """What is made in here lies on the ``card`` or the ``host``, there ``pinned``, or ``nowhere``."""
        before, self._place = self._place, place
        try:
            yield
        finally:
            self._place = before

    def _on_host(self, args: tuple[Any, ...]) -> bool:
        """Whether an operator makes its result in the machine's memory, where all its inputs lie, but for numbers."""
        if self._place:
            return self._place != "card"
        if not self.host:
            return False
        found = False
        for tensor in _tensors(args):
            if self.host.holds(tensor):
                found = True
            elif tensor.device.type == self.device and tensor.dim():
                return False
        return found

    def _converted_before_sent(self, args: tuple[Any, ...]) -> None:
        """A copy to the host that the host does not wait for is brought into its dtype on the card.

        Source: aten/src/ATen/native/cuda/Copy.cu, ``copy_kernel_cuda``.
        """
        into, source = args[0], args[1]
        if len(args) > 2 and args[2] and into.dtype != source.dtype and self.host.holds(into):
            self.transient([source.numel() * into.element_size()], "aten.copy_.default")

    def _note(self, tensor: torch.Tensor, source: str) -> None:
        if not self.on_host:
            super()._note(tensor, source)
        elif tensor.device.type in self.devices and tensor.untyped_storage()._cdata not in self._live:
            self.on_the_host([tensor], pinned=self._place == "pinned")

    def new_block(self, nbytes: int, source: str, kind: MemoryKind | None = None) -> int:
        """Write down an allocation; by the next, what was sent before is free."""
        block = super().new_block(nbytes, source, kind)
        self._being_sent.clear()
        return block

    def transient(self, sizes: Iterable[int], source: str, kind: MemoryKind = MemoryKind.TEMPORARIES) -> None:
        """Storages that live inside one kernel, where it is one of the card's."""
        if not self.on_host:
            super().transient(sizes, source, kind)

    def _workspace(self) -> None:
        if not self.on_host:
            super()._workspace()

    def on_the_host(self, tensors: Iterable[torch.Tensor], *, pinned: bool = False) -> None:
        """These tensors lie in the machine's memory."""
        for tensor in tensors:
            self.ignore([tensor])
            if self._place != "nowhere":
                self.host.made(tensor, pinned=pinned)

    def is_on_host(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is in the machine's memory, although it is a meta tensor like any other."""
        return self.host.holds(tensor)

    def arrive(self, tensors: Iterable[torch.Tensor]) -> None:
        """``tensor.data = tensor.to(device)`` of what is on the host."""
        for tensor in tensors:
            if self.is_on_host(tensor):
                with self.placed("card"):
                    tensor.data = torch.empty_like(tensor)
                weight = isinstance(tensor, torch.nn.Parameter)
                self.label(tensor, MemoryKind.BASE_WEIGHTS if weight else MemoryKind.BUFFERS, "")


def _tensors(args: Iterable[Any]) -> Iterator[torch.Tensor]:
    for arg in args:
        if isinstance(arg, torch.Tensor):
            yield arg
        elif isinstance(arg, (list, tuple)):
            yield from _tensors(arg)

"""What DeepSpeed asks of a card (``deepspeed.accelerator``), answered for tensors without data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from deepspeed.accelerator.cpu_accelerator import CPU_Accelerator

from inspector.simulate.parallel.two_devices import CardName

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from inspector.simulate.parallel.rank_tracer import RankTracer
    from inspector.simulate.parallel.streams import CardStream


class ZeroCard(CPU_Accelerator):  # type: ignore[misc]
    """A card of CUDA's kind: streams of its own, and a host that does not wait."""

    def __init__(self, tracer: RankTracer, *, synchronized: bool = False) -> None:
        super().__init__()
        self._synchronized = synchronized
        self._name, self._communication_backend_name = tracer.device, "fake"
        self._tracer, self._streams = tracer, tracer.streams

    def is_synchronized_device(self) -> bool:
        """Whether the host waits for every kernel: a card's goes on, a CPU's is the device itself."""
        return self._synchronized

    def is_fp16_supported(self) -> bool:
        """Cards of CUDA's kind compute in it."""
        return True

    def is_bf16_supported(self) -> bool:
        """Where the card has no units for it PyTorch emulates them, and says so elsewhere."""
        return True

    def supported_dtypes(self) -> list[torch.dtype]:
        """What an engine may be asked for."""
        return [torch.float, torch.half, torch.bfloat16]

    def device_name(self, device_index: object = None) -> str:
        """The device of the tensors."""
        del device_index
        return CardName(self._tracer.device)

    def device(self, device_index: object = None) -> AbstractContextManager[None]:
        """There is one."""
        del device_index
        return self._streams.stream(None)

    def current_device(self) -> int:
        """Its number."""
        return 0

    def current_device_name(self) -> str:
        """The device of the tensors."""
        return CardName(self._tracer.device)

    def device_count(self) -> int:
        """The cards of a machine."""
        return self._streams.device_count()

    @property
    def Stream(self) -> Any:  # noqa: N802 -- as there
        """A class there, and a function here."""
        return self._streams.Stream

    @property
    def Event(self) -> Any:  # noqa: N802 -- as there
        """A class there, and a function here."""
        return self._streams.Event

    def stream(self, stream: CardStream | None) -> AbstractContextManager[None]:
        """What is made in here is of this stream."""
        return self._streams.stream(stream)

    def current_stream(self, device_index: object = None) -> CardStream:
        """The stream that allocates now."""
        del device_index
        return self._streams.current_stream()

    def default_stream(self, device_index: object = None) -> CardStream:
        """The stream that a program begins on."""
        del device_index
        return self._streams.default_stream()

    def synchronize(self, device_index: object = None) -> None:
        """The host waits."""
        self._streams.synchronize(device_index)

    def memory_allocated(self, device_index: object = None) -> int:
        """Only said, never decided by."""
        del device_index
        return 0

    max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated
    memory_cached = max_memory_cached = memory_allocated

    def reset_peak_memory_stats(self, device_index: object = None) -> None:
        """Nothing is counted here."""

    reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats

    def empty_cache(self) -> None:
        """``torch.cuda.empty_cache``."""
        self._tracer.empty_cache()

    def create_op_builder(self, op_name: str) -> None:
        """No kernel of its own is compiled: none would run."""
        del op_name

    get_op_builder = create_op_builder

    def on_accelerator(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is on the card."""
        return tensor.device.type == self._tracer.device and not self._tracer.is_on_host(tensor)

    def pin_memory(self, tensor: torch.Tensor, align_bytes: int = 1) -> torch.Tensor:
        """A copy in pinned memory."""
        del align_bytes
        return tensor.pin_memory()

    @property
    def IntTensor(self) -> Any:  # noqa: N802 -- as there
        """A class there; a flag of an optimizer's is one."""
        return lambda values: torch.empty(len(values), dtype=torch.int, device=self.current_device_name())

"""Objects of ``torch.cuda``: a card's properties, and streams and events on which everything is done at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.gpus import Gpu


_LIMITS = {
    (12, 0): (1536, 100, 99), (11, 0): (1536, 228, 227), (9, 0): (2048, 228, 227), (8, 9): (1536, 100, 99),
    (8, 7): (1536, 164, 163), (8, 6): (1536, 100, 99), (8, 0): (2048, 164, 163), (7, 5): (1024, 64, 64),
    (7, 0): (2048, 96, 96), (6, 1): (2048, 96, 48), (6, 0): (2048, 64, 48), (5, 2): (2048, 96, 48),
    (5, 0): (2048, 64, 48),
}  # fmt: skip
"""From a compute capability on: threads a multiprocessor, its shared KiB, and those one block may have.

Source: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
"""


def _limits(capability: tuple[int, int]) -> tuple[int, int, int]:
    return next((limits for least, limits in _LIMITS.items() if capability >= least), (2048, 48, 48))


class Properties:
    """``torch.cuda.get_device_properties``: what ``_CudaDeviceProperties`` has."""

    def __init__(self, card: Gpu) -> None:
        self.name = card.device_name
        self.major, self.minor = card.capability
        self.total_memory = card.usable_bytes
        self.multi_processor_count = card.multiprocessors
        self.is_multi_gpu_board = self.is_integrated = 0
        self.warp_size = 32
        threads, shared, optin = _limits(card.capability)
        self.max_threads_per_multi_processor = threads
        self.regs_per_multiprocessor = 65536
        self.shared_memory_per_block = 49152
        self.shared_memory_per_block_optin = optin << 10
        self.shared_memory_per_multiprocessor = shared << 10
        self.gcnArchName = card.device_name
        self.uuid = "00000000-0000-0000-0000-000000000000"
        self.L2_cache_size = 4 << 20
        self.pci_bus_id = self.pci_device_id = self.pci_domain_id = 0

    def __repr__(self) -> str:
        return (
            f"_CudaDeviceProperties(name='{self.name}', major={self.major}, minor={self.minor}, "
            f"total_memory={self.total_memory >> 20}MB, multi_processor_count={self.multi_processor_count})"
        )


class Stream:
    """A stream of a card on which everything is done as soon as it is asked for."""

    cuda_stream = stream_id = device_index = 0
    device_type = 1
    device = torch.device("cuda", 0)
    priority = 0

    def __init__(self, *_: object, **__: object) -> None: ...

    def synchronize(self, *_: object) -> None: ...

    def wait_stream(self, *_: object) -> None: ...

    def wait_event(self, *_: object) -> None: ...

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record()
        return event

    def query(self) -> bool:
        return True

    def is_capturing(self) -> bool:
        return False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream)

    def __hash__(self) -> int:
        return 0


class Event:
    """An event: the time of this machine, in milliseconds between two."""

    def __init__(self, *_: object, **__: object) -> None:
        self._at = time.perf_counter()

    def record(self, *_: object) -> None:
        self._at = time.perf_counter()

    def wait(self, *_: object) -> None: ...

    def query(self) -> bool:
        return True

    def synchronize(self) -> None: ...

    def elapsed_time(self, other: Event) -> float:
        return (other._at - self._at) * 1000


def accelerator_names(cuda: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in ``torch.accelerator``, from what stands in ``torch.cuda``."""
    same = {
        "is_available": "is_available", "device_count": "device_count", "current_device_index": "current_device",
        "current_device_idx": "current_device", "set_device_index": "set_device", "set_device_idx": "set_device",
        "current_stream": "current_stream", "set_stream": "set_stream", "synchronize": "synchronize",
        "empty_cache": "empty_cache", "memory_stats": "memory_stats", "memory_allocated": "memory_allocated",
        "max_memory_allocated": "max_memory_allocated", "memory_reserved": "memory_reserved",
        "max_memory_reserved": "max_memory_reserved", "reset_peak_memory_stats": "reset_peak_memory_stats",
        "reset_accumulated_memory_stats": "reset_accumulated_memory_stats", "get_memory_info": "mem_get_info",
    }  # fmt: skip
    return {
        "current_accelerator": lambda check_available=False: torch.device("cuda"),  # noqa: ARG005
        "get_device_capability": lambda *_: {},
        **{name: cuda[there] for name, there in same.items()},
    }

"""Objects of ``torch.cuda``: a card's properties, and streams and events on which everything is done at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from inspector.gpus import Gpu


class Properties:
    """``torch.cuda.get_device_properties``: what ``_CudaDeviceProperties`` has."""

    def __init__(self, card: Gpu) -> None:
        self.name = card.device_name
        self.major, self.minor = card.capability
        self.total_memory = card.usable_bytes
        self.multi_processor_count = card.multiprocessors
        self.is_multi_gpu_board = self.is_integrated = 0
        self.warp_size = 32
        self.max_threads_per_multi_processor = 1024 if card.capability == (7, 5) else 1536
        self.regs_per_multiprocessor = 65536
        self.shared_memory_per_block = 49152
        self.shared_memory_per_block_optin = 65536 if card.capability == (7, 5) else 101376
        self.shared_memory_per_multiprocessor = self.shared_memory_per_block_optin
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

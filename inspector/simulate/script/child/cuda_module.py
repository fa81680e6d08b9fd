"""``torch.cuda`` as it answers on the card: its properties, the allocator's figures, streams that do nothing."""

from __future__ import annotations

import contextlib
import pickle
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.events import EmptyCache
from inspector.simulate.script.child.builds import build_of
from inspector.simulate.script.child.cuda_objects import Event, Properties, Stream, accelerator_names
from inspector.simulate.script.child.errors import emulated, handed_on
from inspector.simulate.script.child.places import Shown, at, number_of
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from inspector.gpus import Gpu
    from inspector.simulate.script.child.card_tracer import CardTracer
    from inspector.simulate.script.child.memory import Memory


def _of_a_card(answer: Callable[..., Any]) -> Callable[..., Any]:
    """One that is of the card it is given, and of the current one where it is given none."""

    def asked(device: object = None, *args: object, **kwargs: object) -> Any:
        if not isinstance(device, (str, torch.device, int)):
            return answer(*(() if device is None else (device,)), *args, **kwargs)
        with at(number_of(device)):
            return answer(*args, **kwargs)

    return asked


RNG_STATE_BYTES = 16
"""Seed and offset. Source: aten/src/ATen/cuda/CUDAGeneratorImpl.cpp, ``CUDAGeneratorImpl::get_state``."""


_ANSWERS: dict[str, Any] = {
    "name": lambda card: card.device_name,
    "memory": lambda card: card.usable_bytes,
    "capability": lambda card: card.capability,
    "bf16": lambda card: card.bf16,
}
"""What a script can ask of a card, and what one says."""


_OF_A_CARD = ("get_device_name", "get_device_capability", "get_device_properties", "memory_allocated",
              "memory_reserved", "max_memory_allocated", "max_memory_reserved", "mem_get_info", "memory_stats",
              "reset_peak_memory_stats")  # fmt: skip
"""Functions that are given a card."""


class Cuda:
    """The answers. ``hidden`` makes the card invisible for a while, to libraries that load a driver as they see it."""

    def __init__(self, card: Gpu, tracer: CardTracer, memories: Sequence[Memory]) -> None:
        self.card, self.tracer, self.memories = card, tracer, memories
        self.hidden = False
        self.seed = 0
        self.asked: dict[str, Any] = {}

    @property
    def memory(self) -> Memory:
        """That of the current card."""
        return self.memories[Shown.current]

    @contextlib.contextmanager
    def out_of_sight(self) -> Iterator[None]:
        """While this runs there is no card."""
        self.hidden = True
        try:
            yield
        finally:
            self.hidden = False

    def same_for(self, card: Gpu) -> bool:
        """Whether another card would have given every answer that was asked for."""
        return all(_ANSWERS[what](card) == said for what, said in self.asked.items())

    def _say(self, what: str) -> Any:
        self.asked[what] = _ANSWERS[what](self.card)
        return self.asked[what]

    def _figure(self, name: str) -> int:
        self.memory.follow()
        return int(getattr(self.memory.allocator, name))

    def _peak(self, name: str) -> int:
        self.memory.follow()
        return int(getattr(self.memory, name))

    def empty_cache(self, *_: object) -> None:
        self.tracer.log.append(EmptyCache())

    def stats(self, *_: object, **__: object) -> dict[str, Any]:
        """``memory_stats``: what is known of it; the rest is zero."""
        self.memory.follow()
        allocator, memory = self.memory.allocator, self.memory
        out: dict[str, Any] = {}
        figures = {
            "allocated_bytes": (allocator.allocated, memory.peak_allocated),
            "active_bytes": (allocator.allocated, memory.peak_allocated),
            "requested_bytes": (allocator.allocated, memory.peak_allocated),
            "reserved_bytes": (allocator.reserved, memory.peak_reserved),
            "inactive_split_bytes": (0, 0),
            "allocation": (memory.allocations - memory.frees, memory.allocations),
            "active": (memory.allocations - memory.frees, memory.allocations),
            "segment": (len(allocator.heads), len(allocator.heads)),
            "inactive_split": (0, 0),
            "oversize_allocations": (0, 0),
            "oversize_segments": (0, 0),
        }
        for name, (current, peak) in figures.items():
            for pool in ("all", "large_pool", "small_pool"):
                whole = pool == "all"
                out |= {
                    f"{name}.{pool}.current": current if whole else 0,
                    f"{name}.{pool}.peak": peak if whole else 0,
                    f"{name}.{pool}.allocated": current if whole else 0,
                    f"{name}.{pool}.freed": 0,
                }
        out |= {"num_alloc_retries": allocator.retries, "num_ooms": len(memory.refusals), "max_split_size": -1,
                "num_sync_all_streams": 0, "num_device_alloc": len(allocator.heads), "num_device_free": 0}  # fmt: skip
        return out

    def summary(self, *_: object, **__: object) -> str:
        self.memory.follow()
        allocator = self.memory.allocator
        return (
            "|===========================================================================|\n"
            f"|                  PyTorch CUDA memory summary, device ID {Shown.current} (simulated)     |\n"
            f"| Allocated memory      | {allocator.allocated:>14} B | peak {self.memory.peak_allocated:>14} B |\n"
            f"| GPU reserved memory   | {allocator.reserved:>14} B | peak {self.memory.peak_reserved:>14} B |\n"
            "|===========================================================================|\n"
        )

    def dump_snapshot(self, filename: str = "dump_snapshot.pickle", *_: object, **__: object) -> None:
        """The file that PyTorch's own viewer opens, where scripts that look for their memory write it."""
        with open(filename, "wb") as file:
            pickle.dump(self.memory.snapshot(), file)

    def _properties(self, *_: object) -> Properties:
        for what in ("name", "memory", "capability"):
            self._say(what)
        return Properties(self.card)

    def bf16(self, including_emulation: bool = True) -> bool:
        """Source: torch/cuda/__init__.py, ``is_bf16_supported``: emulated where there are no units for it."""
        return self._say("bf16") or including_emulation

    def limit(self, fraction: float) -> None:
        if not 0.0 <= fraction <= 1.0:
            raise emulated(ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1"))
        if not self.memory.full:
            self.tracer.notes.append(f"set_per_process_memory_fraction({fraction:g}) is kept to with --oom alone")
        self.memory.limit(fraction)

    def rng_state(self, *_: object) -> torch.Tensor:
        return torch.tensor(
            list(self.seed.to_bytes(8, "little")) + [0] * 8, dtype=torch.uint8, device=torch.device("cpu")
        )

    def set_seed(self, seed: int) -> None:
        self.seed = int(handed_on(int, seed)) % (1 << 64)
        self.tracer._generator.manual_seed(self.seed)

    def names(self) -> dict[str, Any]:
        """What stands in ``torch.cuda``, by name."""
        card, nothing = self.card, lambda *_, **__: None

        def exchange(device: object) -> int:
            before, Shown.current = Shown.current, number_of(device)
            return before

        free = lambda *_: (self.memory.free_bytes, self._say("memory"))  # noqa: E731
        return {
            "is_available": lambda: not self.hidden,
            "device_count": lambda: 0 if self.hidden else Shown.count,
            "_nvml_based_avail": lambda: False,
            "is_initialized": lambda: True,
            "init": nothing,
            "_lazy_init": nothing,
            "_lazy_call": lambda call, **_: call(),
            "_is_in_bad_fork": lambda: False,
            "current_device": lambda: Shown.current,
            "set_device": exchange,
            "_exchange_device": exchange,
            "_maybe_exchange_device": exchange,
            "get_device_name": lambda: self._say("name"),
            "get_device_capability": lambda *_: self._say("capability"),
            "get_device_properties": self._properties,
            "can_device_access_peer": lambda *_: False,
            "get_arch_list": lambda: [f"sm_{card.capability[0]}{card.capability[1]}"],
            "get_gencode_flags": lambda: "",
            "is_bf16_supported": self.bf16,
            "is_tf32_supported": lambda: self._say("bf16"),
            "_check_bf16_tensor_supported": lambda *_: True,
            "synchronize": nothing,
            "ipc_collect": nothing,
            "current_stream": Stream,
            "default_stream": Stream,
            "stream": lambda stream=None: stream or Stream(),
            "set_stream": nothing,
            "StreamContext": lambda stream=None: stream or Stream(),
            "Stream": Stream,
            "ExternalStream": Stream,
            "Event": Event,
            "current_blas_handle": lambda: 0,
            "is_current_stream_capturing": lambda: False,
            "set_sync_debug_mode": nothing,
            "get_sync_debug_mode": lambda: 0,
            "utilization": lambda *_: 0,
            "memory_usage": lambda *_: 0,
            "device_memory_used": lambda *_: self.card.usable_bytes - self.memory.free_bytes,
            "temperature": lambda *_: 40,
            "power_draw": lambda *_: 0,
            "clock_rate": lambda *_: 0,
            "_sleep": nothing,
            **self.memory_names(free),
            **self.random_names(),
        }

    def memory_names(self, free: Callable[..., tuple[int, int]]) -> dict[str, Any]:
        """What stands in ``torch.cuda.memory``, and in ``torch.cuda`` by the same names."""
        nothing = lambda *_, **__: None  # noqa: E731
        reset = lambda *_: self.memory.reset_peaks()  # noqa: E731
        return {
            "memory_allocated": lambda *_: self._figure("allocated"),
            "memory_reserved": lambda *_: self._figure("reserved"),
            "memory_cached": lambda *_: self._figure("reserved"),
            "max_memory_allocated": lambda *_: self._peak("peak_allocated"),
            "max_memory_reserved": lambda *_: self._peak("peak_reserved"),
            "max_memory_cached": lambda *_: self._peak("peak_reserved"),
            "reset_peak_memory_stats": reset,
            "reset_max_memory_allocated": reset,
            "reset_max_memory_cached": reset,
            "reset_accumulated_memory_stats": nothing,
            "empty_cache": self.empty_cache,
            "mem_get_info": free,
            "memory_stats": self.stats,
            "memory_stats_as_nested_dict": lambda *_: {},
            "host_memory_stats": dict,
            "memory_summary": self.summary,
            "memory_snapshot": lambda *_, **__: self.memory.snapshot()["segments"],
            "list_gpu_processes": lambda *_: "GPU:0\nno processes are running",
            "set_per_process_memory_fraction": lambda fraction, *_: self.limit(fraction),
            "get_per_process_memory_fraction": lambda *_: self.memory.fraction,
            "_record_memory_history": nothing,
            "_snapshot": lambda *_, **__: self.memory.snapshot(),
            "_dump_snapshot": self.dump_snapshot,
            "_set_allocator_settings": nothing,
            "get_allocator_backend": lambda: "native",
        }

    def random_names(self) -> dict[str, Any]:
        """What stands in ``torch.cuda.random``, and in ``torch.cuda`` by the same names."""
        nothing = lambda *_, **__: None  # noqa: E731
        return {
            "get_rng_state": self.rng_state,
            "get_rng_state_all": lambda: [self.rng_state()] * Shown.count,
            "set_rng_state": nothing,
            "set_rng_state_all": nothing,
            "manual_seed": self.set_seed,
            "manual_seed_all": self.set_seed,
            "seed": lambda: self.set_seed(0),
            "seed_all": lambda: self.set_seed(0),
            "initial_seed": lambda: self.seed,
        }

    def install(self) -> None:
        """Put all of it in its place."""
        everything = self.names()
        for name in _OF_A_CARD:
            everything[name] = _of_a_card(everything[name])
        for name, ours in everything.items():
            replace(f"torch.cuda.{name}", ours)
        free = everything["mem_get_info"]
        for name, ours in self.memory_names(free).items():
            replace(f"torch.cuda.memory.{name}", ours, optional=True)
        for name, ours in self.random_names().items():
            replace(f"torch.cuda.random.{name}", ours, optional=True)
        for name in ("range_push", "range_pop", "mark", "range_start", "range_end"):
            replace(f"torch.cuda.nvtx.{name}", lambda *_, **__: 0, optional=True)
        build = build_of(torch.__version__)
        replace("torch.version.cuda", build.cuda)
        replace("torch.backends.cuda.is_built", lambda: True)
        replace("torch.backends.cuda.is_flash_attention_available", lambda: True, optional=True)
        # torchtune takes no bfloat16 without it.
        replace("torch.distributed.is_nccl_available", lambda: True)
        replace("torch.cuda.nccl.version", lambda: build.nccl)
        for name, ours in accelerator_names(everything).items():
            replace(f"torch.accelerator.{name}", ours, optional=True)

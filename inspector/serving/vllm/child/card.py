"""An NVIDIA card that is not there, for vLLM's own config, models and planner in a process that is there for it alone.

vLLM looks for a card through NVML, torch, Triton and its compiled kernels. Here each of them says what a card says, and
kernels do nothing; no file of vLLM is changed. Written for vLLM 0.33 and torch 2.13's CPU build.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable

KERNELS = {
    "vllm._C_stable_libtorch", "vllm._moe_C_stable_libtorch", "vllm._qutlass_C",
    "vllm.vllm_flash_attn._vllm_fa2_C", "vllm.vllm_flash_attn._vllm_fa3_C",
}  # fmt: skip
ABSENT = {
    "xgrammar", "fastapi", "partial_json_parser", "llguidance", "starlette", "prometheus_fastapi_instrumentator",
    "torchvision", "mistral_common",
}  # fmt: skip
"""What vLLM imports for a server and for pictures, of which nothing is asked here."""
SPACES = ("_C", "_moe_C", "_C_cache_ops", "_C_cuda_utils", "_C_custom_ar", "_vllm_fa2_C", "_vllm_fa3_C", "_qutlass_C")


class Loose(type):
    """A class any attribute of which is a word."""

    def __getattr__(cls, name: str) -> str:
        """The word itself."""
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class Anything(types.ModuleType):
    """A module any name of which is a class."""

    __path__: ClassVar[list[str]] = []  # type: ignore[misc]

    def __getattr__(self, name: str) -> Any:
        """A class of that name, made once."""
        if name.startswith("__"):
            raise AttributeError(name)
        own = {"__init__": lambda *_, **__: None, "__class_getitem__": classmethod(lambda cls, _: cls)}
        made = Loose(name, (), own)
        setattr(self, name, made)
        return made


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what is not there."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """Of kernels and absent libraries."""
        if name in KERNELS or name.partition(".")[0] in ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Anything:
        """A module of classes."""
        return Anything(spec.name)

    def exec_module(self, module: object) -> None:
        """Nothing runs."""


class Stream:
    """A stream or an event on which nothing happens."""

    def __init__(self, *_: object, **__: object) -> None:
        self.cuda_stream = self.stream_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def install(name: str, total: int, capability: tuple[int, int], processors: int) -> None:
    """Be such a card from here on. Called once, before anything of vLLM is imported."""
    os.environ |= {
        "VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CONFIGURE_LOGGING": "0",
        "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    import transformers.utils.import_utils as there

    there.is_torchvision_available(), there.is_mistral_common_available()  # kept from before the finder
    sys.meta_path.insert(0, Finder())
    _torch(name, total, capability, processors)
    _triton(capability)
    _nvml(name, total, capability)
    _kernels(capability[0] * 10 + capability[1])


def _torch(name: str, total: int, capability: tuple[int, int], processors: int) -> None:
    import torch

    torch.version.cuda = "13.0"
    major, minor = capability
    facts = types.SimpleNamespace(
        name=name, total_memory=total, major=major, minor=minor, multi_processor_count=processors, warp_size=32,
        max_threads_per_multi_processor=2048, regs_per_multiprocessor=65536, is_integrated=False, uuid="GPU-0",
        shared_memory_per_block_optin=232448 if major >= 9 else 166912, L2_cache_size=50 * 2**20,
    )  # fmt: skip
    free = (total - 500 * 2**20, total)

    @contextmanager
    def nothing(*_: object, **__: object) -> Any:
        yield

    said: dict[Any, dict[str, Any]] = {
        torch.cuda: {
            "is_available": True, "device_count": 8, "get_device_properties": facts, "current_device": 0,
            "get_device_capability": capability, "get_device_name": name, "set_device": None, "synchronize": None,
            "empty_cache": None, "mem_get_info": free, "is_initialized": True, "init": None, "_lazy_init": None,
            "current_stream": Stream(), "default_stream": Stream(),
        },
        torch.accelerator: {
            "device_count": 8, "current_accelerator": torch.device("cuda"), "current_device_index": 0,
            "is_available": True, "synchronize": None, "empty_cache": None, "memory_allocated": 0, "memory_stats": {},
            "memory_reserved": 0, "max_memory_allocated": 0, "reset_peak_memory_stats": None, "get_memory_info": free,
            "set_device_index": None,
        },
    }  # fmt: skip
    for owner, answers in said.items():
        for each, answer in answers.items():
            setattr(owner, each, lambda *_, answer=answer, **__: answer)
    cuda: Any = torch.cuda
    cuda.Stream = cuda.Event = Stream
    cuda.stream = nothing


def _triton(capability: tuple[int, int]) -> None:
    import torch
    import triton
    from triton.backends import backends
    from triton.backends.compiler import GPUTarget
    from triton.runtime.autotuner import Autotuner, Heuristics
    from triton.runtime.jit import JITFunction

    class Driver:
        utils = types.SimpleNamespace(get_device_properties=lambda *_: {"max_shared_mem": 232448, "warpSize": 32})
        get_current_device = get_current_stream = staticmethod(lambda *_: 0)
        get_current_target = staticmethod(lambda: GPUTarget("cuda", capability[0] * 10 + capability[1], 32))
        get_active_torch_device = staticmethod(lambda: torch.device("meta"))
        get_device_interface = staticmethod(lambda: torch.cuda)

    triton.runtime.driver.set_active(Driver())
    for name, backend in backends.items():
        backend.driver.is_active = staticmethod(lambda name=name: name == "nvidia")
    for runs in (JITFunction, Autotuner, Heuristics):
        runs.run = lambda *_, **__: None


def _nvml(name: str, total: int, capability: tuple[int, int]) -> None:
    import torch
    import vllm.third_party.pynvml as nvml

    answers = {
        "nvmlInit": None, "nvmlShutdown": None, "nvmlDeviceGetCount": 8, "nvmlDeviceGetHandleByIndex": 0,
        "nvmlDeviceGetCudaComputeCapability": capability, "nvmlDeviceGetName": name, "nvmlDeviceGetUUID": "GPU-0",
        "nvmlDeviceGetMemoryInfo": types.SimpleNamespace(total=total, free=total, used=0),
        "nvmlDeviceGetP2PStatus": 0, "nvmlSystemGetDriverVersion": "580.1",
    }  # fmt: skip
    for each, answer in answers.items():
        setattr(nvml, each, lambda *_, answer=answer: answer)
    from vllm.platforms.cuda import CudaPlatformBase

    kind: Any = CudaPlatformBase
    communicator = "vllm.distributed.device_communicators.base_device_communicator.DeviceCommunicatorBase"
    of_cuda: dict[str, Any] = {
        "is_pin_memory_available": False, "device_count": 8, "get_device_communicator_cls": communicator,
        "current_device": torch.device("meta"), "set_device": None,
    }  # fmt: skip
    for each, answer in of_cuda.items():
        setattr(kind, each, classmethod(lambda *_, answer=answer: answer))
    kind.dispatch_key = "Meta"


class Operator:
    """A kernel that does nothing, or answers by a fake."""

    def __init__(self, name: str, capability: int, fakes: dict[str, Any]) -> None:
        self.name, self.capability, self.fakes = name, capability, fakes

    def __call__(self, *args: object, **options: object) -> Any:
        """Nothing, whether it is supported, or what the fake says."""
        if "support" in self.name:
            return self.capability >= (90 if "90" in self.name else 89)
        return self.fakes[self.name](*args, **options) if self.name in self.fakes else None

    def __getattr__(self, name: str) -> Operator:
        """An overload is the operator."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class Space(types.ModuleType):
    """A namespace of such kernels."""

    def __init__(self, name: str, capability: int, fakes: dict[str, Any]) -> None:
        super().__init__(name)
        self.capability, self.fakes = capability, fakes

    def __getattr__(self, name: str) -> Operator:
        """Any kernel is there."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Operator(f"{self.__name__}::{name}", self.capability, self.fakes)


def _kernels(capability: int) -> None:
    """Namespaces whose operators do nothing, as they write to what is handed in, or answer by vLLM's own fakes."""
    import torch

    fakes: dict[str, Any] = {}

    real: Any = torch.library.register_fake

    def register(op: object, func: Callable[..., object] | None = None, /, **options: object) -> Any:
        if isinstance(op, str) and op.split("::")[0] in SPACES:
            return fakes.setdefault(op, func) if func is not None else lambda made: fakes.setdefault(op, made)
        return real(op, func, **options) if func is not None else real(op, **options)

    torch.library.register_fake = register
    for space in SPACES:
        setattr(torch.ops, space, Space(space, capability, fakes))

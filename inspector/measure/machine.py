"""What the machine and its device say of memory, and the versions of everything that decides a measurement."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors")


def versions() -> dict[str, str | None]:
    """Installed versions of what is measured, without importing any of it."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    return found | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def available_host_bytes() -> int | None:
    """Memory this process may still take: what the kernel calls available, or less in a container; None if unknown.

    Sources: ``MemAvailable`` of ``/proc/meminfo``; ``memory.max`` and ``memory.current`` of cgroup v2.
    """
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        # ``kB`` is what Linux calls 1024 bytes.
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        # Without a limit ``memory.max`` says ``max``, which is no number: then the machine's own figure stands.
        group = Path("/sys/fs/cgroup")
        most, now = ((group / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        found.append(int(most) - int(now))
    return min(found) if found else None


def resident() -> dict[str, int]:
    """This process's resident set now and at its peak, in bytes. Source: ``/proc/self/status`` (VmRSS, VmHWM)."""
    values: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            key, _, rest = line.partition(":")
            if key in {"VmRSS", "VmHWM"}:
                values[key] = int(rest.split()[0]) * 1024
    if not values and sys.platform != "win32":
        import resource

        # ``ru_maxrss`` is in bytes on macOS, in KiB elsewhere (getrusage(2)).
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        values = {"VmRSS": peak, "VmHWM": peak}
    return {"resident_bytes": values.get("VmRSS", 0), "resident_peak_bytes": values.get("VmHWM", 0)}


def reset_resident_peak() -> None:
    """Let the kernel count the peak of the resident set anew (Linux: ``5`` to ``/proc/self/clear_refs``)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def limit_data(nbytes: int) -> None:
    """Let this process take ``nbytes`` more of private memory, which is what tensors on a CPU are made of, and no more.

    Raises InspectorError where the system cannot (``RLIMIT_DATA`` counts private memory from Linux 4.7 on).
    """
    try:
        import resource

        status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        now = int(next(line for line in status if line.startswith("VmData")).split()[1]) * 1024
        # Not ``RLIMIT_AS``, which counts mapped libraries too. The soft limit alone: a hard one cannot be raised again.
        resource.setrlimit(resource.RLIMIT_DATA, (now + nbytes, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    except (ImportError, OSError, ValueError, StopIteration):
        raise InspectorError("this system cannot limit the memory of a process", hint="leave out --limit") from None


def return_freed_memory() -> None:
    """Let this process give back every freed block of 1 MiB and more at once, so that freed sources leave no holes.

    glibc raises its limit for blocks of their own to 32 MiB as it sees them freed; packed weights then lie between
    the holes that temporaries leave, two gigabytes of them in an 8B model. Source: ``M_MMAP_THRESHOLD``, mallopt(3).
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError, TypeError):
        # -3 is ``M_MMAP_THRESHOLD`` in malloc.h. Setting it also stops glibc from raising it.
        ctypes.CDLL(None).mallopt(-3, 1 << 20)


def device_named(name: str) -> Any:
    """The torch device of a name; ``auto`` is the first GPU, else the CPU.

    Raises InspectorError for a device that is not there, with the one reason.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise InspectorError(f"no device {name}: {why_no_cuda()}", hint="`inspector doctor` says what to do")
    index = int(name.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise InspectorError(f"no device {name}: this machine has {torch.cuda.device_count()} GPU(s), counted from 0")
    return torch.device("cuda", index)


def why_no_cuda() -> str:
    """The one true reason why torch has no CUDA device."""
    import torch

    # In this order, as each hides those after it: without a driver the variable hides nothing.
    if not torch.backends.cuda.is_built():
        return "this is a CPU build of torch"
    if not Path("/dev/nvidiactl").exists() and sys.platform == "linux":
        return "no NVIDIA driver on this machine"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    return "torch finds no usable GPU"


def describe(device: torch.device) -> dict[str, Any]:
    """The device by name, and what decides its behaviour."""
    import torch

    if device.type != "cuda":
        return {"type": "cpu", "name": _cpu_name(), "threads": torch.get_num_threads()}
    properties = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    return {
        "type": "cuda",
        "name": properties.name,
        "capability": [properties.major, properties.minor],
        "multiprocessors": properties.multi_processor_count,
        "free_bytes_at_start": free,
        "total_bytes": total,
        "cuda": torch.version.cuda,
        # The newer name first, as torch reads them.
        "alloc_conf": os.environ.get("PYTORCH_ALLOC_CONF") or os.environ.get("PYTORCH_CUDA_ALLOC_CONF") or "",
    }


def cuda_memory(device: torch.device) -> dict[str, int | None]:
    """What the allocator, the driver and NVML say now, in bytes where it is no count.

    ``allocations`` and ``segments`` count what was asked of the allocator and of the driver since the start,
    ``retries`` how often cached segments had to be given back first. ``process_bytes`` is this process's use by NVML
    (None where it cannot be had, such as in some containers); ``context_bytes`` what of it the allocator does not hold.
    """
    import torch

    torch.cuda.synchronize(device)
    stats = torch.cuda.memory_stats(device)
    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device)
    process = _nvml_process_bytes(device)
    return {
        "allocated_bytes": torch.cuda.memory_allocated(device),
        "requested_bytes": stats.get("requested_bytes.all.current"),
        "reserved_bytes": reserved,
        "allocated_peak_bytes": torch.cuda.max_memory_allocated(device),
        "reserved_peak_bytes": torch.cuda.max_memory_reserved(device),
        "allocations": stats.get("allocation.all.allocated"),
        "segments": stats.get("segment.all.allocated"),
        "retries": stats.get("num_alloc_retries"),
        "driver_free_bytes": free,
        "driver_total_bytes": total,
        "process_bytes": process,
        "context_bytes": None if process is None else process - reserved,
    }


def _nvml_process_bytes(device: torch.device) -> int | None:
    """Memory of this process on a device by NVML, found by the device's UUID."""
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        try:
            # Not by index: torch counts the visible devices, NVML all. NVML wants the prefix, which torch leaves out.
            uuid = str(torch.cuda.get_device_properties(device).uuid)
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}".encode())
            running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # noqa: BLE001 -- NVML is optional, and it fails in ways of its own
        return None
    # In some containers NVML tells processes by the host's numbers, and none is ours.
    used = [process.usedGpuMemory for process in running if process.pid == os.getpid()]
    return int(used[0]) if used and used[0] is not None else None


def _cpu_name() -> str:
    # ``platform.processor`` is empty on most Linux systems.
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return platform.processor() or platform.machine()

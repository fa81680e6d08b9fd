"""vLLM's verdict in its own words, and what to turn.

Source: vLLM v1/core/kv_cache_utils.py (``_check_enough_kv_cache_memory``), v1/worker/gpu_worker.py (``init_device``).
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from inspector.units import gibibytes

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.serving.figures import Span
    from inspector.serving.report import Starts
    from inspector.serving.vllm.settings import Resolved, VllmSettings


def verdict(
    left: Span, needed: int, card: Gpu, length: int, longest: Span, resolved: Resolved, *, spare: int = 0
) -> tuple[Starts, str]:
    """Whether it starts, and vLLM's own sentence where it does not.

    ``left`` is the range for the cache, ``needed`` what one request of ``length`` takes and ``spare`` what none
    gets.
    """
    requested = ceil(card.usable_bytes * resolved.utilization)
    free = card.usable_bytes - card.context_bytes
    if requested > free and requested - free > card.context_bytes:
        return "no", (
            f"Free memory on device ({gibibytes(free)}/{gibibytes(card.usable_bytes)}) on startup is less than desired "
            f"GPU memory utilization ({resolved.utilization:g}, {gibibytes(requested)})."
        )
    if left.high <= 0:
        return "no", "No available memory for the cache blocks. Try increasing `gpu_memory_utilization`."
    if left.high < needed + spare:
        fits = f"the estimated maximum model length is {longest.value}" if longest.value else "no length fits"
        return "no", (
            f"To serve at least one request with the models's max seq len ({length}), {gibibytes(needed)} KV cache is "
            f"needed, which is larger than the available KV cache memory ({gibibytes(max(left.value, 0))}). Based on "
            f"the available memory, {fits}."
        )
    if left.low < needed + spare or requested > free:
        return "unknown", ""
    return "yes", ""


def helps(starts: Starts, settings: VllmSettings, resolved: Resolved, longest: Span) -> tuple[str, ...]:
    """What to turn where it does not start for certain."""
    if starts == "yes":
        return ()
    said = []
    if longest.low >= 256:
        said.append(f"--max-model-len {longest.low} starts for certain")
    if resolved.utilization < 0.95:
        said.append("--gpu-memory-utilization 0.95 where nothing else uses the card")
    if settings.kv_cache_dtype == "auto":
        said.append("--kv-cache-dtype fp8 halves the cache of a token")
    if resolved.sequences > 64:
        said.append("--max-num-seqs 64 shrinks the sampler's rows in the profile run")
    if longest.value == 0:
        said.append(f"--tensor-parallel-size {2 * settings.tensor_parallel_size} halves the weights of a card")
    return tuple(said)

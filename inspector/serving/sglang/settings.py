"""SGLang's own options, typed, and its default of ``--mem-fraction-static``, which was another in three eras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.serving.versions import version_of
from inspector.units import MiB

if TYPE_CHECKING:
    from inspector.gpus import Gpu


@dataclass(frozen=True, slots=True)
class SglangSettings:
    """What ``sglang.launch_server`` was told, by its own words; None where its default decides.

    ``allow_longer_context`` is the variable ``SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN``.
    """

    dtype: str = "auto"
    quantization: str = ""
    kv_cache_dtype: str = "auto"
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    expert_parallel_size: int = 1
    enable_dp_attention: bool = False
    mem_fraction_static: float | None = None
    context_length: int | None = None
    max_total_tokens: int | None = None
    max_running_requests: int | None = None
    chunked_prefill_size: int | None = None
    cuda_graph_max_bs: int | None = None
    disable_cuda_graph: bool = False
    page_size: int = 1
    swa_full_tokens_ratio: float = 0.8
    mamba_full_memory_ratio: float = 0.9
    max_mamba_cache_size: int | None = None
    mamba_ssm_dtype: str = "float32"
    disable_radix_cache: bool = False
    speculative_algorithm: str = ""
    speculative_num_draft_tokens: int = 0
    speculative_num_steps: int = 0
    speculative_eagle_topk: int = 0
    speculative_draft_model_path: str = ""
    cpu_offload_gb: float = 0.0
    attention_backend: str = ""
    allow_longer_context: bool = False


def attending(settings: SglangSettings) -> int:
    """Ranks that share the heads of one request: with data parallel attention fewer than the width.

    Raises InspectorError where the one does not divide the other (server_args.py asserts it).
    """
    width, replicas = settings.tensor_parallel_size, settings.data_parallel_size
    if not settings.enable_dp_attention:
        return width
    if replicas < 1 or width % replicas:
        raise InspectorError(
            f"--dp {replicas} does not divide --tp {width}", hint="--enable-dp-attention: tp_size % dp_size == 0"
        )
    return width // replicas


SHORT = {
    "tp": "tensor_parallel_size", "tp-size": "tensor_parallel_size", "pp": "pipeline_parallel_size",
    "pp-size": "pipeline_parallel_size", "dp": "data_parallel_size", "dp-size": "data_parallel_size",
    "ep": "expert_parallel_size", "ep-size": "expert_parallel_size", "speculative-algo": "speculative_algorithm",
    "speculative-draft-model": "speculative_draft_model_path",
    "speculative-draft": "speculative_draft_model_path",
}  # fmt: skip

_BY_SIZE = ((20, 2048, 8, 8), (35, 2048, 24, 80), (60, 4096, 32, 160), (90, 8192, 256, 512), (160, 8192, 256, 512))
"""Cards below so many GB: chunk of a prefill, largest graph batch alone, and of four ranks or more."""


def steps(settings: SglangSettings, card: Gpu) -> tuple[int, int]:
    """Tokens of a prefill's chunk, largest batch of a graph (server_args.py, ``_handle_gpu_memory_settings``)."""
    size = card.usable_bytes / 10**9
    chunk, alone, several = next((row[1:] for row in _BY_SIZE if size < row[0]), (16384, 512, 512))
    batch = several if settings.tensor_parallel_size >= 4 else alone
    return settings.chunked_prefill_size or chunk, settings.cuda_graph_max_bs or batch


def fraction(settings: SglangSettings, said: str, card: Gpu, *, vision: bool) -> float:
    """The share of what is free that weights and cache may take, where it was not said.

    Sources: server_args.py of 0.4.7, 0.4.8 to 0.5.2, and since PR 10975 (0.5.3). Vision models lower it by a tenth at
    least (``adjust_mem_fraction_for_vlm``).
    """
    if settings.mem_fraction_static is not None:
        return settings.mem_fraction_static
    version, total = version_of("sglang", said), card.usable_bytes / MiB
    width, stages = settings.tensor_parallel_size, settings.pipeline_parallel_size
    if version < (0, 4, 8):
        found = {1: 0.88, 2: 0.87, 4: 0.85}.get(width, 0.81 if width < 16 else 0.79)
    elif version < (0, 5, 3):
        ranks, size = width * stages, card.usable_bytes / 10**9
        kept = 2.8 + ranks / 10 if size < 35 else 9.5 + ranks / 2 if size < 90 else 12 + ranks / 2
        found = round((total / 1024 - kept) / (total / 1024), 2)
    else:
        found = _since_half_past_five(settings, card, total)
    return round(found * 0.95, 3) if vision else found


def _since_half_past_five(settings: SglangSettings, card: Gpu, total: float) -> float:
    chunk, batch = steps(settings, card)
    kept = 512 + 1.5 * max(chunk, 2048) + 2 * batch
    kept += 1024 * settings.tensor_parallel_size * settings.pipeline_parallel_size / 8
    if settings.enable_dp_attention:
        kept += 3 * batch * settings.data_parallel_size + (
            1.5 * batch * settings.data_parallel_size if batch > 300 else 0
        )
    if total > 60 * 1024:
        kept = max(kept, 10 * 1024)
    if settings.speculative_algorithm:
        kept += 6 * 1024 if settings.speculative_algorithm.upper() == "STANDALONE" else 2 * 1024
    return round((total - kept) / total, 3)

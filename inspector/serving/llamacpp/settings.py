"""llama.cpp's own options, typed, in the words of ``llama-server``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LlamaCppSettings:
    """What ``llama-server`` was told; None where its default decides.

    ``ask_engine`` is ours: ask the installed engine itself too (`inspector.serving.llamacpp.asked`).
    """

    scheme: str = ""
    ctx_size: int | None = None
    n_gpu_layers: int = -1
    batch_size: int = 2048
    ubatch_size: int = 512
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attn: str = "auto"
    parallel: int = 1
    kv_unified: bool = False
    swa_full: bool = False
    cpu_moe: bool = False
    n_cpu_moe: int = 0
    override_tensor: str = ""
    no_kv_offload: bool = False
    fit: str = "on"
    fit_target: int = 1024
    fit_ctx: int = 4096
    ask_engine: bool = False


SHORT = {
    "c": "ctx_size", "ngl": "n_gpu_layers", "gpu-layers": "n_gpu_layers", "b": "batch_size", "ub": "ubatch_size",
    "ctk": "cache_type_k", "ctv": "cache_type_v", "fa": "flash_attn", "np": "parallel", "kvu": "kv_unified",
    "cmoe": "cpu_moe", "ncmoe": "n_cpu_moe", "ot": "override_tensor", "nkvo": "no_kv_offload", "fitt": "fit_target",
    "fitc": "fit_ctx",
}  # fmt: skip

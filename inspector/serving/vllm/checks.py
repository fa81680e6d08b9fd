"""What vLLM refuses of its own options before it looks at memory, in its own words.

Sources: vLLM 0.33 config/scheduler.py (``verify_max_model_len``), config/parallel.py, config/model.py
(``verify_with_parallel_config``), config/lora.py, v1/attention/backends/triton_attn.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.serving.vllm.settings import Resolved, VllmSettings
    from inspector.skeleton import ConfigFacts

_POSITIVE = (
    "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "decode_context_parallel_size",
    "max_num_seqs", "max_num_batched_tokens", "block_size", "max_loras",
)  # fmt: skip
_NOT_NEGATIVE = ("cpu_offload_gb", "swap_space", "kv_offloading_size")
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""``MaxLoRARanks`` of config/lora.py."""
_WITHOUT_LORA = frozenset({"gpt2", "bloom", "falcon", "llama4_text"})
"""Families whose class lacks ``SupportsLoRA``."""
_KERNEL_BLOCK = 16
"""Blocks are a multiple of it in FlashAttention's, FlashInfer's and Triton's kernels."""


def check_numbers(settings: VllmSettings) -> None:
    """Raise InspectorError for a number that its option cannot have."""
    for names, least in ((_POSITIVE, 1), (_NOT_NEGATIVE, 0)):
        for name in names:
            value = getattr(settings, name)
            if value is not None and value < least:
                raise InspectorError(
                    f"{name} {value:g}: Input should be greater than or equal to {least}",
                    hint=f"--{name.replace('_', '-')} {max(least, 1)}",
                )
    if settings.block_size and settings.block_size % _KERNEL_BLOCK:
        raise InspectorError(
            f"No valid attention backend found for cuda: block_size {settings.block_size} not supported",
            hint="--block-size 16, or a multiple of it",
        )
    if settings.enable_lora and settings.max_lora_rank not in _RANKS:
        raise InspectorError(
            f"max_lora_rank ({settings.max_lora_rank}) must be one of {_RANKS}.",
            hint=f"--max-lora-rank {min((rank for rank in _RANKS if rank >= settings.max_lora_rank), default=512)}",
        )


def check_model(settings: VllmSettings, facts: ConfigFacts, *, latent: bool) -> None:
    """Raise InspectorError for what this model cannot be spread or served as."""
    if settings.enable_expert_parallel and not facts.num_experts:
        raise InspectorError(
            "Number of experts in the model must be greater than 0 when expert parallelism is enabled.",
            hint="leave --enable-expert-parallel out: this model is no mixture",
        )
    if settings.enable_lora and facts.model_type in _WITHOUT_LORA:
        raise InspectorError(
            f"LoRA is not supported for this model ({facts.model_type}). Supported models implement the "
            "`SupportsLoRA` interface. Run this model without `enable_lora`."
        )
    width, contexts = settings.tensor_parallel_size, settings.decode_context_parallel_size
    if width % contexts:
        raise InspectorError(
            f"tp_size={width} must be divisible by dcp_size={contexts}.",
            hint="--decode-context-parallel-size 2 of an even --tensor-parallel-size",
        )
    kept = facts.num_key_value_heads
    if contexts == 1 or latent or not kept:
        return
    if width <= kept:
        raise InspectorError(
            f"Decode context parallelism for GQA/MQA requires `--tensor-parallel-size` ({width}) to be greater than "
            f"the model's total number of KV heads ({kept}).",
            hint="Increase `--tensor-parallel-size` or set `--decode-context-parallel-size 1`.",
        )
    if contexts > width // kept:
        raise InspectorError(
            f"`--decode-context-parallel-size` ({contexts}) exceeds the maximum supported value ({width // kept}) for "
            f"`--tensor-parallel-size` ({width}) and {kept} model KV heads.",
            hint=f"--decode-context-parallel-size {width // kept}",
        )


def check_step(settings: VllmSettings, resolved: Resolved) -> None:
    """Raise InspectorError where a step is too short for a prompt or for the sequences that were asked for."""
    if settings.enable_chunked_prefill is False and resolved.batched < resolved.length:
        raise InspectorError(
            f"max_num_batched_tokens ({resolved.batched}) is smaller than max_model_len ({resolved.length}). This "
            "effectively limits the maximum sequence length to max_num_batched_tokens and makes vLLM reject longer "
            "sequences. Please increase max_num_batched_tokens or decrease max_model_len.",
            hint=f"--max-num-batched-tokens {resolved.length}, or leave chunked prefill on",
        )
    if settings.max_num_seqs and resolved.batched < settings.max_num_seqs:
        raise InspectorError(
            f"max_num_batched_tokens ({resolved.batched}) must be greater than or equal to max_num_seqs "
            f"({settings.max_num_seqs}).",
            hint=f"--max-num-seqs {resolved.batched}",
        )


def check_cache(settings: VllmSettings, resolved: Resolved, card: Gpu) -> None:
    """Raise InspectorError for a cache in FP8 on a card whose only kernels, Triton's, have none."""
    if resolved.runner == "V1" and settings.kv_cache_dtype.startswith("fp8") and card.capability < (8, 0):
        have = f"{card.capability[0]}.{card.capability[1]}"
        raise InspectorError(
            f"FP8 KV cache is not supported by the Triton attention backend on {card.device_name or card.name} "
            f"(compute capability {have}); native FP8 (fp8e4nv) requires SM89+.",
            hint="Re-run with --kv-cache-dtype float16.",
        )

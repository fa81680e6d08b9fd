"""vLLM's own options, typed, and the defaults that it puts in their place, by version and card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.serving.versions import version_of
from inspector.serving.vllm.runner import ADAPTED, WHEELS, engine_runner, is_second, samples_by_flashinfer

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.serving.versions import Runner

GIB_70 = 70 * 2**30


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """What ``vllm serve`` was told, by its own words; None where its default decides.

    ``allow_long_max_model_len``, ``flashinfer_sampler`` and ``v2_model_runner`` are the variables
    ``VLLM_ALLOW_LONG_MAX_MODEL_LEN``, ``VLLM_USE_FLASHINFER_SAMPLER`` and ``VLLM_USE_V2_MODEL_RUNNER``. Ours are
    ``official_image``, which has libraries that the wheels had not, ``unsaid_layers`` (a packed checkpoint leaves
    layers in 16 bits that nothing here names) and ``ask_engine``: ask vLLM itself too
    (`inspector.serving.vllm.asked`).
    """

    dtype: str = "auto"
    quantization: str = ""
    kv_cache_dtype: str = "auto"
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    decode_context_parallel_size: int = 1
    enable_expert_parallel: bool = False
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    block_size: int | None = None
    num_gpu_blocks_override: int | None = None
    kv_cache_memory_bytes: int | None = None
    enforce_eager: bool = False
    swap_space: float | None = None
    cpu_offload_gb: float = 0.0
    enable_lora: bool = False
    max_loras: int = 1
    max_lora_rank: int = 16
    disable_hybrid_kv_cache_manager: bool = False
    mamba_cache_mode: str = ""
    mamba_ssm_cache_dtype: str = "auto"
    enable_prefix_caching: bool = True
    enable_chunked_prefill: bool | None = None
    num_speculative_tokens: int = 0
    speculative_config: str = ""
    spec_method: str = ""
    spec_model: str = ""
    spec_tokens: int | None = None
    compilation_config: str = ""
    kv_transfer_config: str = ""
    kv_offloading_size: float = 0.0
    limit_mm_per_prompt: str = ""
    skip_mm_profiling: bool = False
    language_model_only: bool = False
    async_scheduling: bool = True
    hf_overrides: str = ""
    rope_scaling: str = ""
    allow_long_max_model_len: bool = False
    flashinfer_sampler: bool | None = None
    v2_model_runner: bool | None = None
    official_image: bool = False
    unsaid_layers: bool = False
    ask_engine: bool = False


@dataclass(frozen=True, slots=True)
class Resolved:
    """The defaults that decide, each with the word for it.

    ``in_flight`` are tokens that may be scheduled and not yet settled, which layers with a window keep room for;
    ``checkpoints`` is whether a prefill of Gated DeltaNet writes states out on its way; ``second`` and ``flashinfer``
    are of `inspector.serving.vllm.runner`; ``assumed`` are the sentences for the page.
    """

    version: tuple[int, ...]
    runner: Runner
    length: int
    utilization: float
    batched: int
    sequences: int
    block: int
    hybrid_manager: bool
    graph_estimate: bool
    in_flight: int
    checkpoints: bool
    second: bool = False
    flashinfer: bool = False
    assumed: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a model decides defaults: its positions and classes, and what its layers and weights are."""

    positions: int
    names: tuple[str, ...] = ()
    latent: bool = False
    mixture: bool = False
    hybrid: bool = False
    packed: bool = False


def resolve(settings: VllmSettings, said: str, card: Gpu, shape: Shape) -> Resolved:
    """The settings with vLLM's defaults in the places that were left empty.

    Sources: vllm/config/cache.py, vllm/engine/arg_utils.py (``_set_default_max_num_seqs_and_batched_tokens_args``),
    vllm/v1/worker/gpu_worker.py. Raises InspectorError for a length beyond the model's positions, as vLLM does.
    """
    version, positions = version_of("vllm", said), shape.positions
    runner = engine_runner(said, version, card)
    second = settings.v2_model_runner
    if second is None or runner == "V0":
        second = runner == "V1" and is_second(
            version, shape.names, mixture=shape.mixture, hybrid=shape.hybrid, packed=shape.packed
        )
    flashinfer = samples_by_flashinfer(
        settings.flashinfer_sampler, version, card, image=settings.official_image, second=second
    )
    assumed = []
    if runner == "V1" and ADAPTED <= version < WHEELS and not settings.official_image:
        assumed.append("a wheel's vLLM, which sorts to sample: --official-image has FlashInfer's sampler")
    length = settings.max_model_len or positions
    if length > positions and settings.max_model_len and not settings.allow_long_max_model_len:
        raise InspectorError(
            f"User-specified max_model_len ({length}) is greater than the derived max_model_len "
            f"(max_position_embeddings={positions})",
            hint="VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 allows it, with results that may be wrong; or scale its positions",
        )
    length = positions if length < 0 else length
    utilization = settings.gpu_memory_utilization
    if utilization is None:
        # The share was raised when graphs came to be estimated beforehand.
        utilization = 0.92 if version >= (0, 21) else 0.9
        assumed.append(f"--gpu-memory-utilization {utilization} is vLLM {_dotted(version)}'s default")
    if not 0 < utilization <= 1:
        raise InspectorError(f"--gpu-memory-utilization is {utilization}, and a share is above 0 and at most 1")
    batched, sequences = _scheduler(settings, version, runner, card, length, assumed)
    block = settings.block_size or (_latent_block(settings, version, card) if shape.latent and runner == "V1" else 16)
    return Resolved(
        version, runner, length, utilization, batched, sequences, block,
        checkpoints=version >= (0, 30) and card.capability[0] in {9, 10},
        in_flight=batched * _batches_at_once(settings, version),
        # Before it, layers with a window were kept as full ones.
        hybrid_manager=version >= (0, 9, 2) and runner == "V1" and not settings.disable_hybrid_kv_cache_manager,
        # The second runner's was nothing at first (issue 49224).
        graph_estimate=version >= ((0, 29) if second else (0, 21)) and not settings.enforce_eager,
        second=second, flashinfer=flashinfer, assumed=tuple(assumed),
    )  # fmt: skip


def _batches_at_once(settings: VllmSettings, version: tuple[int, ...]) -> int:
    """Steps that are under way together (vllm/config/vllm.py, ``max_concurrent_batches``).

    Windows count them since 0.26 (pull request 47728), where a step is scheduled while the one before still runs.
    """
    return settings.pipeline_parallel_size + settings.async_scheduling if version >= (0, 26) else 1


def _latent_block(settings: VllmSettings, version: tuple[int, ...], card: Gpu) -> int:
    """The block of the back end that a latent cache gets.

    FlashMLA, which Hopper had from 0.8 on (pull request 14451), takes 64 tokens, as FlashInfer's and CUTLASS's on
    Blackwell do; FlashAttention's, Hopper's since pull request 27363 for a cache in 16 bits, and Triton's take 16.
    """
    flash = card.capability[0] == 9 and (version < (0, 12) or settings.kv_cache_dtype.startswith("fp8"))
    return 64 if flash or card.capability[0] == 10 else 16


def _scheduler(
    settings: VllmSettings, version: tuple[int, ...], runner: Runner, card: Gpu, length: int, assumed: list[str]
) -> tuple[int, int]:
    """Tokens and sequences of one step."""
    if runner == "V0":
        # Chunked prefill came by itself above 32k tokens (vLLM 0.5.4 on), with 2048 tokens a step.
        chunked = settings.enable_chunked_prefill
        chunked = version >= (0, 5, 4) and length > 32768 if chunked is None else chunked
        batched, sequences = 2048 if chunked else max(length, 2048), 256
    else:
        exception = version < (0, 9, 1) or "a100" not in card.name.lower()
        large = card.usable_bytes >= GIB_70 and exception
        batched = 8192 if large else 2048
        sequences = 1024 if large and version >= (0, 8, 3) else 256
    if settings.max_num_batched_tokens is None:
        assumed.append(f"--max-num-batched-tokens {batched:,} is its default on {card.with_article}")
    if settings.max_num_seqs is None:
        assumed.append(f"--max-num-seqs {sequences:,} is its default there")
    batched, wanted = settings.max_num_batched_tokens or batched, settings.max_num_seqs or sequences
    return batched, min(wanted, batched) if settings.max_num_seqs is None else wanted


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))

"""What can be said of a dry run, typed: the settings, in long and in short, and where it runs. For type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch

    from inspector.lora.options import Pattern, TokenIndices
    from inspector.lora.spec import Bias
    from inspector.simulate.setup.device_map import How
    from inspector.simulate.setup.parallel import Offload, Wrap
    from inspector.simulate.setup.words import (
        AdapterDtype,
        Attention,
        Autocast,
        CacheKind,
        DecodingAttention,
        Dtype,
        Gathered,
        Labels,
        Loss,
        MergeOn,
        Method,
        Objective,
        OptimizerBy,
        Outputs,
        Reference,
        Rollouts,
        Routing,
        Saved,
        SdpaBackend,
        StoredAs,
        ZeroGrad,
    )

    ShortDtype: TypeAlias = Literal["bf16", "fp16", "half", "fp32", "float"] | torch.dtype
    ShortAttention: TypeAlias = Literal["fa2", "flash", "flash_attn", "flash_attention"]
    # Also as text: that is what a command line has.
    Bits: TypeAlias = Literal[4, 8, 16, 32, "4", "8", "16", "32"]


class LoadOptions(TypedDict, total=False):
    """How the model is loaded, for training and for generation; None means "not said" everywhere."""

    bits: Bits | None
    load_in_4bit: bool | None
    load_in_8bit: bool | None
    scheme: StoredAs | None
    double_quant: bool | None
    dtype: Dtype | ShortDtype | None
    compute_dtype: Dtype | ShortDtype | None
    via_cpu: bool | None
    routing: Routing | None
    batch_size: int | None


class TrainingOptions(LoadOptions, total=False):
    """How it is trained, as `inspector.simulate.setup.settings.FinetuneSettings` explains them."""

    method: Method | None
    r: int | None
    alpha: int | None
    dropout: float | None
    target_modules: Sequence[str] | str | None
    use_dora: bool | None
    use_rslora: bool | None
    modules_to_save: Sequence[str] | str | None
    target_parameters: Sequence[str] | str | None
    exclude_modules: Sequence[str] | str | None
    layers_to_transform: Sequence[int] | str | int | None
    layers_pattern: Sequence[str] | str | None
    rank_pattern: Pattern | None
    alpha_pattern: Pattern | None
    trainable_token_indices: TokenIndices | None
    bias: Bias | None
    adapter_dtype: AdapterDtype | ShortDtype | None
    peft_config: Mapping[str, object] | None
    prepare_kbit: bool | None
    clear_cache: bool | None
    trl_casting: bool | None
    autocast: Autocast | None
    seq_len: int | None
    target_len: int | None
    padding_mask: bool | None
    padded: bool | None
    packed: bool | None
    gradient_checkpointing: bool | None
    reentrant: bool | None
    attention: Attention | ShortAttention | None
    sdpa_backend: SdpaBackend | None
    loss: Loss | None
    optimizer: str | None
    optimizer_by: OptimizerBy | None
    grad_clip: float | None
    grad_accum: int | None
    steps: int | None
    use_cache: bool | None
    outputs: Outputs | None
    outputs_fp32: bool | None
    zero_grad: ZeroGrad | None
    token_accuracy: bool | None
    labels: Labels | None
    empty_cache_every: int | None
    warm_up: bool | None
    load_threads: bool | None
    expandable_segments: bool | None
    objective: Objective | None
    ref_model: Reference | None
    prompt_len: int | None
    logits_to_keep: bool | None
    num_generations: int | None
    steps_per_generation: int | None
    rollouts: Rollouts | None
    vllm_memory: Pattern | None
    vllm_gpu_memory_utilization: float | None
    vllm_max_model_length: int | None
    vllm_enable_sleep_mode: bool | None
    reward_model: str | None
    teacher: str | None
    sync_ref_model: bool | None
    eval_batch: int | None
    eval_batches: int | None
    eval_gather: Gathered | None
    eval_accum: int | None
    generation_max_length: int | None
    generation_num_beams: int | None
    save: Saved | None
    merge_on: MergeOn | None
    save_only_model: bool | None
    save_total_limit: int | None
    load_best_model_at_end: bool | None


class FinetuneSettingsOptions(TrainingOptions, total=False):
    """Every setting of a fine-tuning, and the card by its name."""

    gpu: str | None


class FinetuneOptions(FinetuneSettingsOptions, total=False):
    """All that `inspector simulate finetune` can be told: settings, a recipe, a card by its memory, what to find out.

    ``advise`` simulates what would make it fit when it does not, ``solve`` the largest batch size, length and rank
    that fit; both are in the report's ``plan``. ``snapshot`` is a file to write for PyTorch's memory_viz. With
    ``lengths`` it is a run of many steps (`inspector.simulate.long_run.running.long_run`), whose options
    ``group_by_length``, ``seed`` and ``pad_batches_to`` are. What follows is of several cards
    (`inspector.fit.ways.finetune_anywhere`).
    """

    recipe: str
    vram: str
    advise: bool | None
    solve: bool
    snapshot: Path | str | None
    lengths: str
    group_by_length: bool | None
    seed: int | None
    pad_batches_to: int | None
    gpus: int | None
    parallel: str | None
    nodes: int | None
    offload: Offload | None
    config: Sequence[Path | str] | Path | str
    tool_version: str
    rank: Literal["all", "first", "last", "heaviest"] | None
    wrap: Wrap | None
    quant_storage: Dtype | None
    parallel_option: Sequence[str] | Mapping[str, object] | None


class GenerateSettingsOptions(LoadOptions, total=False):
    """The settings of a generation, as `inspector.simulate.setup.generation.GenerateSettings` explains them."""

    prompt_len: int | None
    max_new_tokens: int | None
    num_beams: int | None
    cache: CacheKind | None
    attention: DecodingAttention | None


class GenerateOptions(GenerateSettingsOptions, total=False):
    """All that `inspector simulate generate` can be told; ``solve`` finds the longest prompt that fits.

    ``gpus``, ``device_map`` or ``max_memory`` spread the model over cards (`inspector.simulate.setup.device_map`),
    ``parallel`` shares every layer (``tp:2``, or ``ep:2`` of experts).
    """

    gpu: str | None
    vram: str
    expandable_segments: bool | None
    solve: bool
    gpus: int | None
    device_map: How | None
    max_memory: Mapping[int | str, int | str] | str | None
    parallel: str | None


class FitOptions(TrainingOptions, total=False):
    """All that `inspector fit` can be told; ``gpu`` is a card by its name, several, or ``all``, ``gpus`` how many.

    ``config`` are files of a trainer, accelerate or DeepSpeed, ``tool_version`` is the trainer's version.
    """

    gpu: Sequence[str] | str
    vram: str
    solve: bool
    gpus: int | None
    serving: bool
    users: int | None
    context: int | None
    config: Sequence[Path | str] | Path | str
    tool_version: str

"""Every setting of a fine-tuning, flat, as users, recipes and JSON say them; and the typed whole they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inspector.lora.spec import Bias
from inspector.simulate.setup.evaluation import BATCHES, LENGTH, EvalSetup
from inspector.simulate.setup.load import KbitPrepare, LoadSetup, Quantization
from inspector.simulate.setup.objective import SHARE, ObjectiveSetup
from inspector.simulate.setup.places import FINETUNE, flat, part
from inspector.simulate.setup.saving import SaveSetup
from inspector.simulate.setup.training import BatchSetup, Checkpointing, LoopSetup, LoraSetup, PeftSetup, TrainSetup
from inspector.simulate.setup.words import (
    AdapterDtype,
    Attention,
    Autocast,
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


@dataclass(frozen=True, slots=True)
class FinetuneSettings:
    """Every setting of a simulated fine-tuning, flat, in the order of the JSON; what each means is said where it goes.

    The defaults are the libraries' own. ``gpu`` and ``expandable_segments`` are the dry run's, not the training's.
    ``peft_config``, when given, takes the place of all of LoRA's settings.
    """

    method: Method = "qlora"
    scheme: StoredAs = "nf4"
    # ``BitsAndBytesConfig``'s default.
    double_quant: bool = False
    dtype: Dtype = "auto"
    compute_dtype: Dtype = "auto"
    r: int = 8
    alpha: int = 8
    dropout: float = 0.0
    target_modules: tuple[str, ...] = ()
    use_dora: bool = False
    use_rslora: bool = False
    modules_to_save: tuple[str, ...] = ()
    target_parameters: tuple[str, ...] = ()
    exclude_modules: tuple[str, ...] | str = ()
    layers_to_transform: tuple[int, ...] = ()
    layers_pattern: tuple[str, ...] = ()
    rank_pattern: tuple[tuple[str, int], ...] = ()
    alpha_pattern: tuple[tuple[str, int], ...] = ()
    trainable_token_indices: tuple[tuple[str, tuple[int, ...]], ...] = ()
    bias: Bias = "none"
    adapter_dtype: AdapterDtype = "float32"
    peft_config: tuple[tuple[str, Any], ...] = ()
    prepare_kbit: bool = True
    clear_cache: bool = True
    trl_casting: bool = False
    autocast: Autocast = "none"
    batch_size: int = 1
    seq_len: int = 1024
    target_len: int = 0
    padding_mask: bool = False
    padded: bool = False
    packed: bool = False
    gradient_checkpointing: bool = True
    reentrant: bool = False
    attention: Attention = "auto"
    sdpa_backend: SdpaBackend = ""
    loss: Loss = "full"
    optimizer: str = "adamw_torch"
    optimizer_by: OptimizerBy = "loop"
    grad_clip: float = 0.0
    grad_accum: int = 1
    steps: int = 2
    gpu: str = "T4"
    # PyTorch's default.
    expandable_segments: bool = False
    use_cache: bool = True
    outputs: Outputs = "step"
    outputs_fp32: bool = False
    zero_grad: ZeroGrad = "before"
    token_accuracy: bool = False
    labels: Labels = "shared"
    empty_cache_every: int = 0
    via_cpu: bool = True
    warm_up: bool = True
    load_threads: bool = False
    routing: Routing = "balanced"
    objective: Objective = "sft"
    ref_model: Reference = "auto"
    prompt_len: int = 0
    logits_to_keep: bool = False
    # TRL's default.
    num_generations: int = 8
    steps_per_generation: int = 0
    rollouts: Rollouts = "transformers"
    vllm_memory: tuple[tuple[str, int], ...] = ()
    vllm_gpu_memory_utilization: float = SHARE
    # Those of the model.
    vllm_max_model_length: int = 0
    vllm_enable_sleep_mode: bool = False
    reward_model: str = ""
    teacher: str = ""
    sync_ref_model: bool = False
    # No evaluation.
    eval_batch: int = 0
    eval_batches: int = BATCHES
    eval_gather: Gathered = "loss"
    eval_accum: int = 0
    generation_max_length: int = LENGTH
    generation_num_beams: int = 1
    # Nothing is saved.
    save: Saved = "none"
    merge_on: MergeOn = "card"
    save_only_model: bool = False
    save_total_limit: int = 0
    load_best_model_at_end: bool = False

    @property
    def setup(self) -> TrainSetup:
        """The typed whole, as the program reads it."""
        prepare = part(KbitPrepare, "load.quantization.prepare", self, FINETUNE) if self.prepare_kbit else None
        quantization = None
        if self.scheme != "none":
            quantization = part(Quantization, "load.quantization", self, FINETUNE, prepare=prepare)
        checkpointing = None
        if self.gradient_checkpointing:
            checkpointing = part(Checkpointing, "loop.checkpointing", self, FINETUNE)
        adapters: LoraSetup | PeftSetup | None = None
        if self.method != "full" and self.peft_config:
            adapters = part(PeftSetup, "adapters", self, FINETUNE)
        elif self.method != "full":
            adapters = part(LoraSetup, "adapters", self, FINETUNE)
        return TrainSetup(
            load=part(LoadSetup, "load", self, FINETUNE, quantization=quantization),
            adapters=adapters,
            batch=part(BatchSetup, "batch", self, FINETUNE),
            loop=part(LoopSetup, "loop", self, FINETUNE, checkpointing=checkpointing),
            routing=self.routing,
            objective=None if self.objective == "sft" else part(ObjectiveSetup, "objective", self, FINETUNE),
            evaluation=part(EvalSetup, "evaluation", self, FINETUNE) if self.eval_batch else None,
            saving=part(SaveSetup, "saving", self, FINETUNE) if self.save != "none" else None,
        )

    @classmethod
    def of(cls, setup: TrainSetup, *, gpu: str = "T4", expandable_segments: bool = False) -> FinetuneSettings:
        """The words that make a whole; those of a part that is not there are the libraries' defaults."""
        quantization = setup.load.quantization
        # First, so that a quantization that is there goes over it.
        words = {"scheme": "none", **flat(setup, FINETUNE)}
        return cls(
            **words,
            method=setup.method,
            prepare_kbit=quantization is not None and quantization.prepare is not None,
            gradient_checkpointing=setup.loop.checkpointing is not None,
            gpu=gpu,
            expandable_segments=expandable_segments,
        )

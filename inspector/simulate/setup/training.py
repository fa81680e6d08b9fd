"""A fine-tuning as its program reads it: what is loaded, what is added and trained, on what batch, in what loop."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from inspector.lora.spec import Bias, LoraSpec
from inspector.simulate.setup.evaluation import EvalSetup
from inspector.simulate.setup.load import LoadSetup
from inspector.simulate.setup.objective import ObjectiveSetup
from inspector.simulate.setup.saving import SaveSetup
from inspector.simulate.setup.words import (
    AdapterDtype,
    Autocast,
    Labels,
    Loss,
    Method,
    OptimizerBy,
    Outputs,
    Routing,
    SdpaBackend,
    ZeroGrad,
    check_words,
)


@dataclass(frozen=True, slots=True)
class LoraSetup:
    """LoRA's adapters, in the words of ``peft.LoraConfig``; `inspector.lora.spec.LoraSpec` says what each may be.

    ``target_modules`` may be empty: PEFT's own choice, every linear layer where it has none. ``dtype`` is ``float32``
    (PEFT's ``autocast_adapter_dtype=True``), ``auto`` (that of the base layer) or ``bfloat16`` (cast after, as
    SFTTrainer does on a quantized model).
    """

    # Rank and alpha are PEFT's own defaults (``LoraConfig``).
    r: int = 8
    alpha: int = 8
    dropout: float = 0.0
    target_modules: tuple[str, ...] = ()
    use_dora: bool = False
    use_rslora: bool = False
    modules_to_save: tuple[str, ...] = ()
    dtype: AdapterDtype = "float32"
    target_parameters: tuple[str, ...] = ()
    exclude_modules: tuple[str, ...] | str = ()
    layers_to_transform: tuple[int, ...] = ()
    layers_pattern: tuple[str, ...] = ()
    rank_pattern: tuple[tuple[str, int], ...] = ()
    alpha_pattern: tuple[tuple[str, int], ...] = ()
    trainable_token_indices: tuple[tuple[str, tuple[int, ...]], ...] = ()
    bias: Bias = "none"

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known, and for fields that PEFT refuses beside each other."""
        check_words(self)
        # Made once here for what it refuses: PEFT itself would say it only after its import.
        _ = self.counted

    @property
    def counted(self) -> LoraSpec:
        """What decides how many parameters train, as the lens counts them; no targets are none, not PEFT's choice."""
        alike = {item.name for item in fields(LoraSpec)} & {item.name for item in fields(self)}
        names = {name: getattr(self, name) for name in alike}
        # Of names alone the text is an expression, or all linear layers.
        targets = "all-linear" if self.target_modules == ("all-linear",) else self.target_modules
        return LoraSpec(**{**names, "target_modules": targets}, lora_alpha=self.alpha)

    @property
    def named(self) -> tuple[str, ...]:
        """Every name and expression by which modules and parameters are chosen."""
        excluded = (self.exclude_modules,) if isinstance(self.exclude_modules, str) else self.exclude_modules
        keyed = (*self.rank_pattern, *self.alpha_pattern, *self.trainable_token_indices)
        return (
            *self.target_modules,
            *self.target_parameters,
            *self.modules_to_save,
            *excluded,
            *(name for name, _ in keyed),
        )


@dataclass(frozen=True, slots=True)
class PeftSetup:
    """The adapters of any PEFT method: its config's ``fields`` by PEFT's own names; ``dtype`` as in `LoraSetup`."""

    fields: tuple[tuple[str, Any], ...]
    dtype: AdapterDtype = "float32"

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)


@dataclass(frozen=True, slots=True)
class BatchSetup:
    """One micro-batch: ``size`` sequences of ``seq_len`` tokens.

    A ``padding_mask`` that masks nothing out is dropped by transformers; where the batch is ``padded``, some tokens
    are masked, and the mask stays. ``packed`` sequences hold several samples and have position ids. ``labels`` are the
    input ids themselves (``shared``) or a ``clone``. ``target_len`` is the tokens of an encoder-decoder's labels; 0:
    as many as ``seq_len``, at most those its decoder takes. ``lengths`` are the tokens of each micro-batch, where they
    differ, from the first again after the last; ``seq_len`` is then the longest.
    """

    size: int = 1
    seq_len: int = 1024
    padding_mask: bool = False
    padded: bool = False
    packed: bool = False
    labels: Labels = "shared"
    target_len: int = 0
    lengths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)


@dataclass(frozen=True, slots=True)
class Checkpointing:
    """``gradient_checkpointing_enable``: activations are made again in the backward pass."""

    reentrant: bool = False


@dataclass(frozen=True, slots=True)
class LoopSetup:
    """The loop around the model. ``checkpointing`` None keeps every activation.

    ``optimizer_by`` says whether a plain ``loop`` makes the optimizer, over one group, or transformers' ``trainer``: in
    two, and where it has 8 bits, 32 for embeddings. ``outputs`` says how long the loop holds the model's output, logits
    and all: until ``loss`` is known, to the end of the ``step``, or into the ``next`` forward. ``outputs_fp32`` says
    that they are converted to float32 first, as accelerate does under mixed precision. ``zero_grad`` says whether
    gradients are dropped ``before`` the forward or ``after`` the optimizer. ``token_accuracy`` says that the loop takes
    the accuracy from a shifted copy of the logits before the backward, as SFTTrainer did in TRL 0.25; ``trl_casting``,
    that it makes norms float32 and embeddings bfloat16 after the adapters were added, as older SFTTrainers do.
    ``empty_cache_every`` counts steps; 0 is never.
    ``sdpa_backend`` pins the kernel of scaled dot-product attention; empty, PyTorch chooses.
    """

    optimizer: str = "adamw_torch"
    optimizer_by: OptimizerBy = "loop"
    grad_clip: float = 0.0
    grad_accum: int = 1
    # The first makes the optimizer's state, the second is as all that follow.
    steps: int = 2
    autocast: Autocast = "none"
    loss: Loss = "full"
    checkpointing: Checkpointing | None = None
    outputs: Outputs = "step"
    outputs_fp32: bool = False
    zero_grad: ZeroGrad = "before"
    token_accuracy: bool = False
    trl_casting: bool = False
    empty_cache_every: int = 0
    sdpa_backend: SdpaBackend = ""

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)


@dataclass(frozen=True, slots=True)
class TrainSetup:
    """A fine-tuning. ``adapters`` None trains every weight; ``routing`` is how tokens spread over experts.

    ``objective`` None is supervised fine-tuning: the cross-entropy of the model's own forward. ``evaluation`` None
    trains alone, ``saving`` None saves nothing.
    """

    load: LoadSetup
    adapters: LoraSetup | PeftSetup | None
    batch: BatchSetup
    loop: LoopSetup
    routing: Routing = "balanced"
    objective: ObjectiveSetup | None = None
    evaluation: EvalSetup | None = None
    saving: SaveSetup | None = None

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)

    @property
    def method(self) -> Method:
        """``full``, ``lora`` or ``qlora``: whether there are adapters, and whether what they adapt is quantized."""
        if self.adapters is None:
            return "full"
        return "qlora" if self.load.quantization else "lora"

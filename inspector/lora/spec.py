"""What a user asks of LoRA, in PEFT's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from inspector.errors import InspectorError
from inspector.skeleton.habits import usual

if TYPE_CHECKING:
    from inspector.skeleton.tasks import TaskType

Bias = Literal["none", "all", "lora_only"]
MAX_RANK = 65_536


@dataclass(frozen=True)
class LoraSpec:
    """The fields of ``peft.LoraConfig`` that decide what is trained and how large it is.

    Two fields are two ways to say no: ``layers_to_transform`` and ``layers_pattern`` keep the targets to some layers,
    ``exclude_modules`` (names or one expression, as the targets) leaves some out. ``trainable_token_indices`` pairs a
    layer's name with the tokens whose rows train; an empty name means the input embedding. ``alpha_pattern`` scales
    some updates otherwise and changes no size.

    ``target_modules`` is a tuple of names or endings, or one regular expression (or ``all-linear``) as a string.
    ``target_parameters`` names parameters that are no module of their own, such as fused experts. ``rank_pattern``
    pairs a name or regular expression with the rank of what it matches. ``lora_alpha`` None means twice the rank;
    alpha and ``use_rslora`` scale the update and change no size. ``adapter_dtype`` is what PEFT makes the new
    matrices in: float32 by default (``autocast_adapter_dtype``); copies of ``modules_to_save`` and biases keep the
    dtype of the base model: ``base_dtype``, or the checkpoint's own where that is empty. ``task_type`` is
    PEFT's, by which it trains a task's head whole; None: the one that the model's class is tuned with, empty: none.
    """

    r: int = 8
    lora_alpha: int | None = None
    target_modules: tuple[str, ...] | str = ()
    target_parameters: tuple[str, ...] = ()
    use_dora: bool = False
    use_rslora: bool = False
    bias: Bias = "none"
    modules_to_save: tuple[str, ...] = ()
    rank_pattern: tuple[tuple[str, int], ...] = ()
    adapter_dtype: str = "float32"
    base_dtype: str = ""
    layers_to_transform: tuple[int, ...] = ()
    layers_pattern: tuple[str, ...] = ()
    exclude_modules: tuple[str, ...] | str = ()
    trainable_token_indices: tuple[tuple[str, tuple[int, ...]], ...] = ()
    alpha_pattern: tuple[tuple[str, int], ...] = ()
    task_type: TaskType | None = None

    def __post_init__(self) -> None:
        # Here and not on the command line alone: Python's callers type by habit too.
        object.__setattr__(self, "adapter_dtype", usual("dtype", self.adapter_dtype))
        for rank in (self.r, *(rank for _, rank in self.rank_pattern)):
            if not 1 <= rank <= MAX_RANK:
                raise InspectorError(f"rank {rank} is outside 1 to {MAX_RANK:,}", hint="8, 16 and 32 are usual")
        for field in ("layers_to_transform", "layers_pattern"):
            # PEFT's own words: `LoraConfig.__post_init__`.
            if getattr(self, field) and isinstance(self.target_modules, str):
                said = f"`{field}` cannot be used when `target_modules` is a str"
                raise InspectorError(said, hint="name the modules")
        if self.layers_pattern and not self.layers_to_transform:
            raise InspectorError(
                "when `layers_pattern` is specified, `layers_to_transform` must also be specified",
                hint="say which layers: --layers-to-transform 0,1",
            )
        if self.lora_alpha is not None and self.lora_alpha < 1:
            raise InspectorError(f"alpha {self.lora_alpha} is not positive", hint="twice the rank is usual")

    @property
    def alpha(self) -> int:
        """The alpha given, or twice the rank."""
        return 2 * self.r if self.lora_alpha is None else self.lora_alpha

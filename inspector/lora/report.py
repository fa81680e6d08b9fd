"""The table of target sets by rank: what `inspector lora` answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from inspector.errors import InspectorError
from inspector.lora.adapter import adapter
from inspector.lora.filesize import safetensors_bytes
from inspector.lora.matching import with_heads
from inspector.lora.sets import TargetSet, target_sets
from inspector.lora.spec import LoraSpec
from inspector.reporting import TableReport
from inspector.skeleton.tasks import peft_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.skeleton import Skeleton

DEFAULT_RANKS = (8, 16, 32)
"""The rule of thumb: start with 8, then 16, then 32, until the returns diminish."""


@dataclass(frozen=True)
class LoraRow:
    """One target set at one rank. Sizes in bytes.

    ``weight_bytes`` are the trained tensors in the dtypes PEFT gives them; ``fp32_bytes`` and ``bf16_bytes`` what they
    would take in one dtype. ``gradient_bytes`` and ``adam_bytes`` (two moments) have the dtype of what they belong to.
    ``matched`` says how many modules each name means, ``warnings`` what PEFT warns of.
    ``all_parameters`` is the second figure of ``print_trainable_parameters()``: the base model's and the new ones.
    """

    target_set: str
    target_modules: tuple[str, ...]
    r: int
    alpha: int
    modules: int
    trainable_parameters: int
    base_parameters: int
    all_parameters: int
    weight_bytes: int
    gradient_bytes: int
    adam_bytes: int
    adapter_file_bytes: int
    matched: tuple[tuple[str, int], ...] = ()
    warnings: tuple[str, ...] = ()
    base_dtype: str = ""

    @property
    def percent_of_base(self) -> float:
        """Trainable parameters in percent of the base model's logical ones."""
        return 100 * self.trainable_parameters / self.base_parameters

    @property
    def percent_printed(self) -> float:
        """The percentage ``print_trainable_parameters()`` prints: of all parameters, the new ones included."""
        return 100 * self.trainable_parameters / self.all_parameters

    @property
    def fp32_bytes(self) -> int:
        """The trained parameters at four bytes each."""
        return 4 * self.trainable_parameters

    @property
    def bf16_bytes(self) -> int:
        """The trained parameters at two bytes each."""
        return 2 * self.trainable_parameters


@dataclass(frozen=True)
class LoraReport(TableReport):
    """Target sets by rank for one model; the rows of a set follow each other, ranks in the order asked for."""

    kind: ClassVar[str] = "lora"

    model: str
    parameters: int
    rows: tuple[LoraRow, ...]
    assumptions: tuple[str, ...]


def lora(
    skeleton: Skeleton,
    ranks: Sequence[int] = DEFAULT_RANKS,
    sets: Sequence[TargetSet] | None = None,
    spec: LoraSpec | None = None,
) -> LoraReport:
    """What adapters on each target set cost at each rank.

    Args:
        skeleton: the base model.
        ranks: the ranks.
        sets: the target sets; all that the model has by default.
        spec: everything else of the config (DoRA, bias, modules to save, ...); its rank and targets are replaced.

    Raises:
        InspectorError: when a set that was asked for, or every set, matches nothing or PEFT would refuse it.
    """
    base = spec or LoraSpec()
    chosen = target_sets(skeleton) if sets is None else sets
    rows: list[LoraRow] = []
    refused: dict[str, InspectorError] = {}
    for found in chosen:
        try:
            rows += [_row(skeleton, found, replace(base, r=rank)) for rank in ranks]
        except InspectorError as error:
            # Among all sets, one that PEFT would refuse must not cost the rows of the others.
            refused[found.name] = error
    if refused and (sets is not None or not rows):  # asked for by name, or nothing else is left
        raise next(iter(refused.values()))
    said = tuple(f"no row for {name}: {error.message}" for name, error in refused.items())
    # Each once: what is said of one rank is said of all.
    warned = dict.fromkeys(line for row in rows for line in row.warnings)
    return LoraReport(
        skeleton.model_id,
        skeleton.num_parameters,
        tuple(rows),
        (*warned, *_assumptions(base, skeleton, rows[0].base_dtype if rows else ""), *said),
    )


def _row(skeleton: Skeleton, found: TargetSet, spec: LoraSpec) -> LoraRow:
    _check_packed(skeleton, found, spec)
    spec = replace(spec, target_modules=found.target_modules, target_parameters=found.target_parameters)
    made = adapter(skeleton, spec)
    tensors = made.tensors
    trained = [tensor for tensor in tensors if tensor.trainable]
    weight_bytes = sum(tensor.nbytes for tensor in trained)
    return LoraRow(
        target_set=found.name,
        target_modules=found.listed,
        r=spec.r,
        alpha=spec.alpha,
        modules=len({tensor.module for tensor in trained}),
        trainable_parameters=sum(tensor.numel for tensor in trained),
        base_parameters=skeleton.num_parameters,
        all_parameters=skeleton.num_parameters + sum(tensor.numel for tensor in tensors if tensor.new),
        weight_bytes=weight_bytes,
        gradient_bytes=weight_bytes,  # PyTorch makes a gradient in the dtype of its parameter
        adam_bytes=2 * weight_bytes,  # its two moments have the dtype of what they belong to
        adapter_file_bytes=safetensors_bytes(tensors),
        matched=made.matched,
        warnings=made.warnings,
        base_dtype=made.base_dtype,
    )


_PACKED = {"gptq": "GPTQ", "awq": "AWQ", "hqq": "HQQ"}
"""Formats whose layers are no ``nn.Linear``."""


def _check_packed(skeleton: Skeleton, found: TargetSet, spec: LoraSpec) -> None:
    """Refuse what PEFT refuses on packed layers (peft/tuners/lora/gptq.py, awq.py; tuners_utils.py)."""
    kind = _PACKED.get(skeleton.facts.quantization)
    if kind is None:
        return
    if found.name == "all-linear":
        raise InspectorError(
            f"PEFT's all-linear takes nn.Linear alone, which {kind} layers are not",
            hint="name the layers: --target-modules attention,mlp or q_proj,v_proj",
        )
    if spec.use_dora and kind != "HQQ":
        raise InspectorError(f"PEFT's {kind} layers do not support DoRA", hint="leave out --use-dora")


def _assumptions(spec: LoraSpec, skeleton: Skeleton, base_dtype: str) -> tuple[str, ...]:
    said = [
        "two matrices a target: A (r x in) and B (out x r); only they train",
        f"adapters in {spec.adapter_dtype}, as PEFT makes them whatever the base model's dtype",
    ]
    if spec.lora_alpha is None:
        said.append("alpha is twice r, a rule of thumb; it scales the update and changes no size")
    if spec.use_rslora:
        said.append("rsLoRA divides by the root of r instead of r: the same parameters")
    if task := peft_task(skeleton.architecture) if spec.task_type is None else spec.task_type:
        heads = ", ".join(with_heads(skeleton, replace(spec, modules_to_save=())).modules_to_save)
        trained = f"PEFT trains {heads} whole" if heads else "it has no head by a name that PEFT trains whole"
        said.append(f"with task_type {task}, as a {skeleton.architecture} is tuned: {trained}")
    if spec.modules_to_save:
        said.append(f"copies of {', '.join(spec.modules_to_save)} train in the base model's {base_dtype}")
    return (*said, *skeleton.notes)

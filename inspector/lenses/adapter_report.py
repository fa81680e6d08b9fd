"""What is told of a saved adapter, whichever file it lies in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from inspector.reporting import TableReport

if TYPE_CHECKING:
    from inspector.lenses.adapter_against_base import BaseAnswer, Finding


@dataclass(frozen=True, slots=True)
class AdapterPart:
    """Tensors of one kind, such as ``lora_A``, or modules saved whole (``modules_to_save``)."""

    name: str
    tensors: int
    parameters: int
    nbytes: int


@dataclass(frozen=True)
class AdapterReport(TableReport):
    """One adapter. Sizes in bytes.

    ``base`` is PEFT's answer on a base model (llama.cpp's for an adapter in GGUF), and ``findings`` what is wrong: by
    that answer, or by its own config alone where it was held against none. ``trained_parameters`` leaves out what was
    only saved along.

    ``merge_elements`` are those of the largest update ``B @ A``, which `merge_and_unload` makes one module at a time
    beside the weight (peft ``tuners/lora/layer.py``, ``Linear.merge`` and ``get_delta_weight``); None for a method
    whose cost is not known here. ``safe_merge`` keeps one more copy of that weight.
    """

    kind: ClassVar[str] = "adapter"

    name: str
    method: str
    base_model: str
    rank: int | None
    alpha: float | None
    modules: int
    parameters: int
    trained_parameters: int
    tensor_bytes: int
    file_bytes: int
    parts: tuple[AdapterPart, ...]
    merge_elements: int | None
    notes: tuple[str, ...]
    base: BaseAnswer
    findings: tuple[Finding, ...]

    @property
    def fails(self) -> bool:
        """Whether it was held against a base and is not loaded on it."""
        return self.base.answer == "fails"

"""A model as plain data: its modules, its tensors, and the facts of its config.

A `Skeleton` is the only thing the lenses read. It holds no weights and no ``nn.Module``; it is read off a real
transformers model on the meta device by `inspector.architecture`, and saved and loaded as JSON by
`inspector.skeleton.json_form`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

Part = Literal["embedding", "attention", "mlp", "expert", "norm", "head", "other"]
Pinned = Literal["never", "float16", "always"]
PARTS: tuple[Part, ...] = ("embedding", "attention", "mlp", "expert", "norm", "head", "other")

DTYPE_BYTES = {
    "bool": 1, "uint8": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint32": 4,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e8m0fnu": 1,
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex64": 8,
}  # fmt: skip
"""Bytes of one element, by torch's name for the dtype."""

PIPELINE = "pipeline"
"""``model_type`` of what is several models side by side, each below the name of its component."""

_TOWERS = ("vision", "visual", "audio", "image", "speech")


def in_tower(path: str) -> bool:
    """Whether a path lies in a tower for images or sound and not in the language model."""
    return any(word in path for word in _TOWERS)


@dataclass(frozen=True, slots=True)
class Module:
    """One ``nn.Module`` of the tree, in the order of ``named_modules()``.

    ``base`` is the layer type that libraries dispatch on, found with ``isinstance``: ``Linear``, ``Conv1D``
    (transformers' transposed linear), ``Embedding``, ``Conv1d``, ``Conv2d``, ``Conv3d`` or ``""``. The module is
    exactly ``nn.Linear``, not a subclass, when ``cls`` says so too.
    ``keep`` says that transformers' quantizers leave it alone (output head, tied, or kept in float32).
    ``layer`` is the path of the repeated layer it belongs to, such as ``model.layers.3``. ``transposed`` says that it
    stores its fused experts as (experts, in, out) instead of (experts, out, in).
    """

    path: str
    cls: str
    part: Part
    layer: str | None = None
    base: str = ""
    keep: bool = False
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class Tensor:
    """One parameter or buffer, by its full name.

    ``dtype`` is what it has when the model is loaded in float32. ``pinned`` says when it ignores the dtype the model
    is loaded in: ``never`` (it follows), ``float16`` (transformers keeps it in float32 only then) or ``always``.
    ``tied_to`` names the tensor whose storage it shares; a tied tensor has no bytes of its own.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    role: Literal["parameter", "buffer"] = "parameter"
    persistent: bool = True
    tied_to: str | None = None
    pinned: Pinned = "never"

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def owner(self) -> str:
        """Path of the module that holds it."""
        return self.name.rpartition(".")[0]

    @property
    def is_parameter(self) -> bool:
        """Whether it is a parameter and not a buffer."""
        return self.role == "parameter"

    def loaded_dtype(self, dtype: str) -> str:
        """The dtype it has after loading the model in ``dtype``."""
        if self.pinned == "always" or (self.pinned == "float16" and dtype == "float16"):
            return self.dtype
        return dtype

    def loaded_bytes(self, dtype: str) -> int:
        """Its bytes after loading the model in ``dtype``, tied or not."""
        return self.numel * DTYPE_BYTES[self.loaded_dtype(dtype)]


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """What the config says, under one name each. Zero or empty where the architecture has no such thing.

    Sizes are those of the language model when the model is multimodal. ``resized_from`` is the vocabulary that the
    config names on top, where the model's was resized to another.
    """

    model_type: str = ""
    dtype: str = "float32"
    hidden_size: int = 0
    intermediate_size: int = 0
    num_layers: int = 0
    num_attention_heads: int = 0
    num_key_value_heads: int = 0
    head_dim: int = 0
    vocab_size: int = 0
    context_length: int = 0
    num_experts: int = 0
    experts_per_token: int = 0
    hidden_act: str = ""
    input_embeddings: str = ""
    output_embeddings: str = ""
    quantization: str = ""
    resized_from: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The facts that are set, in order."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name))}


OF_THE_ARCHITECTURE = "; these are the figures of the architecture itself"
"""How a note ends that says in which other format the checkpoint is published."""


# Without slots, unlike those above: what `cached_property` has found is kept in the instance's dict.
@dataclass(frozen=True)
class Skeleton:
    """A model without its weights. See the module's docstring.

    ``source`` says where it came from (``bundled``, a path); ``built_with`` names the libraries that built it.
    ``notes`` are doubts or choices that belong to every number drawn from it.
    """

    model_id: str
    architecture: str
    facts: ConfigFacts
    modules: tuple[Module, ...]
    tensors: tuple[Tensor, ...]
    source: str = ""
    built_with: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def notes_on_files(self) -> tuple[str, ...]:
        """The notes where the figures are those of the files: that they are the architecture's is not so there."""
        return tuple(note.removesuffix(OF_THE_ARCHITECTURE) for note in self.notes)

    @cached_property
    def by_path(self) -> dict[str, Module]:
        """Modules by their path."""
        return {module.path: module for module in self.modules}

    @cached_property
    def own_tensors(self) -> tuple[Tensor, ...]:
        """Every tensor that has storage of its own: tied ones counted once."""
        return tuple(tensor for tensor in self.tensors if tensor.tied_to is None)

    @cached_property
    def parameters(self) -> tuple[Tensor, ...]:
        """Every parameter, tied ones counted once."""
        return tuple(tensor for tensor in self.own_tensors if tensor.is_parameter)

    @cached_property
    def num_parameters(self) -> int:
        """Logical parameters, tied ones counted once."""
        return sum(tensor.numel for tensor in self.parameters)

    @cached_property
    def num_active_parameters(self) -> int:
        """Parameters one token uses: all of them, less the experts it is not routed to."""
        return sum(self.active_parameters(tensor) for tensor in self.parameters)

    def active_parameters(self, tensor: Tensor) -> int:
        """Elements of a parameter one token uses: ``experts_per_token`` of ``num_experts`` of the routed experts."""
        facts = self.facts
        if facts.num_experts and self.module_of(tensor).part == "expert":
            # Exact: the stack is of so many equal parts.
            return tensor.numel * facts.experts_per_token // facts.num_experts
        return tensor.numel

    def module_of(self, tensor: Tensor) -> Module:
        """The module that holds a tensor."""
        return self.by_path[tensor.owner]

"""What the files of a model store, tensor by tensor, beside what its architecture expects (the `Skeleton`)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Format = Literal["safetensors", "gguf"]

MAX_TENSORS = 220_000
"""More than any published checkpoint: Kimi K2 Thinking stores about 210,000, three for each linear layer of an expert.
What is made of more takes over 10 s."""

MAX_NAME = 256
"""Characters of a tensor's name; published ones stay below 150."""


@dataclass(frozen=True, slots=True)
class FileTensor:
    """One tensor in a file. ``dtype`` is torch's name for it or ggml's (``q4_k``); ``nbytes`` what it takes there.

    ``start`` is where it begins in the file's data, behind the header of safetensors.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    file: str = ""
    start: int = field(default=0, compare=False)

    @property
    def numel(self) -> int:
        """Elements of the stored tensor; a packed one holds several weights in each."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Overhead:
    """Bytes of GGUF files that are no tensor's: with ``tensor_bytes`` they are the size of the files.

    ``metadata_bytes`` are the fixed start and all entries but the tokenizer's (``tokenizer.*``: vocabulary, merges,
    chat template); ``tensor_info_bytes`` the list of names, shapes, types and offsets; ``padding_bytes`` the rest,
    which brings the start of every tensor to a multiple of ``general.alignment`` (ggml's docs/gguf.md).
    """

    metadata_bytes: int
    tokenizer_bytes: int
    tensor_info_bytes: int
    padding_bytes: int

    @property
    def header_bytes(self) -> int:
        """What comes before the tensors, without padding."""
        return self.metadata_bytes + self.tokenizer_bytes + self.tensor_info_bytes


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of one or more files.

    ``config`` is the ``config.json`` beside them (or what GGUF's metadata says), empty when there is none.
    ``file_bytes`` counts headers and padding too; ``overhead`` tells them apart for GGUF, and is None otherwise.
    ``notes`` are doubts, such as tensors the index promises in vain. ``metadata`` is GGUF's header, and ``holds`` says
    what such a file holds where it is no language model alone.
    """

    name: str
    format: Format
    tensors: tuple[FileTensor, ...]
    files: tuple[str, ...]
    file_bytes: int
    config: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    overhead: Overhead | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    holds: str = ""

    @cached_property
    def by_name(self) -> dict[str, FileTensor]:
        """Tensors by their name."""
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors, without headers and padding."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @cached_property
    def dtypes(self) -> dict[str, int]:
        """Bytes by dtype, most first."""
        found: Counter[str] = Counter()
        for tensor in self.tensors:
            found[tensor.dtype] += tensor.nbytes
        # Most first, for the first is what the checkpoint is said to be in.
        return dict(found.most_common())

    @property
    def quantization(self) -> dict[str, Any]:
        """The ``quantization_config`` of the config, empty when there is none."""
        said = self.config.get("quantization_config")
        return said if isinstance(said, dict) else {}

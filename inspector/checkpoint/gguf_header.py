"""What the header of a GGUF file announces: sizes, one for all layers or one for each, and what kind of file it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inspector.checkpoint.checkpoint import FileTensor

Kind = Literal["model", "adapter", "mmproj", "controlvector", "imatrix", "vocabulary"]

COMPUTED = frozenset({"rope_freqs", "rope_factors_long", "rope_factors_short", "attn_rot_embd"})
"""Tensors that hold what others compute from the config: factors of rotary embeddings, no parameters."""

TOWERS = {"v.": "a vision encoder", "a.": "an audio encoder", "mm.": "projectors", "resampler.": "a resampler"}
"""Beginnings of names that llama.cpp keeps for what is not the language model (``gguf`` constants, MMPROJ)."""

_MOST = 2**40


@dataclass(frozen=True)
class Announced:
    """The metadata of a file whose values come from strangers: nothing is believed but whole numbers of sane size."""

    metadata: Mapping[str, object]

    @property
    def architecture(self) -> str:
        """llama.cpp's word for it; empty where the file says none."""
        said = self.metadata.get("general.architecture")
        return said if isinstance(said, str) else ""

    def size(self, key: str, layer: int = 0) -> int | None:
        """A size of the architecture, of one layer where the file has a list of them; None where it says none."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, list):
            value = value[layer] if 0 <= layer < len(value) else None
        return value if type(value) is int and 0 <= value < _MOST else None

    def sliding(self, layer: int) -> bool:
        """Whether a layer attends to a window: a list says it, or every so-manyth layer does not."""
        value = self.metadata.get(f"{self.architecture}.attention.sliding_window_pattern")
        if isinstance(value, list):
            return layer < len(value) and value[layer] is True
        # llama.cpp `llama_hparams::set_swa_pattern`: of n layers the last sees all.
        return type(value) is int and 1 < value < _MOST and layer % value < value - 1

    @property
    def vocabulary(self) -> int | None:
        """Tokens: llama.cpp takes the list's length, and the number only where there is no list."""
        tokens = getattr(self.metadata.get("tokenizer.ggml.tokens"), "length", None)
        return tokens if type(tokens) is int and tokens else self.size("vocab_size")


def is_computed(name: str) -> bool:
    """Whether a tensor is no parameter of the model."""
    return name.removesuffix(".weight").rpartition(".")[2] in COMPUTED


def parameters(tensors: Iterable[FileTensor]) -> int:
    """Parameters that tensors of a GGUF file hold: it stores each once, and one for each element."""
    return sum(tensor.numel for tensor in tensors if not is_computed(tensor.name))


def kind_of(metadata: Mapping[str, object], tensors: tuple[FileTensor, ...]) -> Kind:
    """What a file is. ``general.type`` says it; older files leave it out, and are known by what they hold."""
    architecture, said = metadata.get("general.architecture"), metadata.get("general.type")
    if said == "adapter" or "adapter.type" in metadata:
        return "adapter"
    if said == "mmproj" or architecture == "clip":
        return "mmproj"
    if architecture == "controlvector" or said == "controlvector":
        return "controlvector"
    if said == "imatrix" or "imatrix.datasets" in metadata:
        return "imatrix"
    return "model" if tensors else "vocabulary"


def holds(metadata: Mapping[str, object], tensors: tuple[FileTensor, ...]) -> str:
    """What a file holds that is no whole language model, or not only one, in a sentence; else empty."""
    kind = kind_of(metadata, tensors)
    if kind == "adapter":
        return _adapter(metadata, tensors)
    if kind == "mmproj":
        return f"no language model but what goes beside one (mmproj): {_towers(tensors)}"
    if kind == "controlvector":
        return f"a control vector of {parameters(tensors):,} parameters in {len(tensors):,} layers, no model"
    if kind == "imatrix":
        return "an importance matrix, which quantizing reads: its numbers are no parameters of a model"
    if kind == "vocabulary":
        return "a vocabulary alone: no tensor is in the file"
    if any(tensor.name.startswith(tuple(TOWERS)) for tensor in tensors):
        return (
            f"a language model with more in the same file: {_towers(tensors)}; "
            "llama.cpp reads those from a file of their own (mmproj)"
        )
    return ""


def ranks(tensors: Iterable[FileTensor]) -> dict[str, int]:
    """The rank of every pair of an adapter that has a B, by the base tensor's name."""
    return {
        tensor.name.removesuffix(".lora_b"): tensor.shape[-1]
        for tensor in tensors
        if tensor.name.endswith(".lora_b") and tensor.shape
    }


def adapter_alpha(metadata: Mapping[str, object]) -> float | None:
    """The alpha of an adapter; None where the file says none, or zero, which llama.cpp takes for none."""
    alpha = metadata.get("adapter.lora.alpha")
    usual = isinstance(alpha, (int, float)) and not isinstance(alpha, bool) and math.isfinite(alpha) and alpha
    return float(alpha) if usual and isinstance(alpha, (int, float)) else None


def adapter_base(metadata: Mapping[str, object]) -> str:
    """What an adapter names as its base: an address or a name, cut to a line's length; empty where it names none."""
    for key in ("repo_url", "name"):
        if isinstance(value := metadata.get(f"general.base_model.0.{key}"), str) and value:
            return value[:120]
    return ""


def _adapter(metadata: Mapping[str, object], tensors: tuple[FileTensor, ...]) -> str:
    """llama.cpp's `llama_adapter_lora_init`: type, alpha and the architecture of the base in the metadata."""
    found = sorted(set(ranks(tensors).values()))
    rank = f"rank {found[0]:,}" if len(found) == 1 else f"ranks {found[0]:,} to {found[-1]:,}" if found else "no rank"
    modules = len({tensor.name.rpartition(".lora_")[0] for tensor in tensors if ".lora_" in tensor.name})
    alpha = adapter_alpha(metadata)
    said = ", no alpha" if alpha is None else f", alpha {alpha:g}"
    architecture = metadata.get("general.architecture")
    of = (
        f"a model of the architecture {architecture[:90]}"
        if isinstance(architecture, str)
        else "a base it does not name"
    )
    return (
        f"an adapter of {parameters(tensors):,} parameters, no model: {rank}{said}, on {modules:,} tensors of "
        f"{adapter_base(metadata) or of}"
    )


def _towers(tensors: Iterable[FileTensor]) -> str:
    counts: dict[str, int] = {}
    for tensor in tensors:
        start = next((start for start in TOWERS if tensor.name.startswith(start)), "")
        if start:
            counts[start] = counts.get(start, 0) + tensor.numel
    return (
        ", ".join(f"{TOWERS[start]} ({start}*) of {count:,} parameters" for start, count in counts.items()) or "nothing"
    )

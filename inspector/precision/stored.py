"""A model's weights just as its files store them, as a scheme beside the predicted ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inspector.checkpoint.against_skeleton import by_target
from inspector.checkpoint.gguf_header import is_computed
from inspector.checkpoint.stored_names import is_constant, packed_layers
from inspector.errors import InspectorError
from inspector.precision.base import Piece, Scheme
from inspector.skeleton import DTYPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection

    from inspector.checkpoint import Checkpoint, FileTensor
    from inspector.skeleton import Module, Skeleton, Tensor

NAME = "stored"


@dataclass(frozen=True)
class Stored(Scheme):
    """What each parameter takes in the files. Buffers that are computed on loading take nothing there."""

    found: dict[str, tuple[Piece, ...]] = field(default_factory=dict)

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """Whether it is stored in another dtype than most of the unquantized weights."""
        pieces = self.found.get(tensor.name, ())
        return tensor.is_parameter and bool(pieces) and (len(pieces) > 1 or pieces[0].dtype != self.rest)

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """What the files have of it."""
        return self.found[tensor.name]

    def pieces(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """What the files have of any tensor; nothing of a missing one."""
        # A piece of no bytes, not none at all: reports read the dtype of the first.
        return self.found.get(tensor.name) or (Piece("weight", self.rest, 0),)


def stored(checkpoint: Checkpoint | None, skeleton: Skeleton) -> Stored:
    """The scheme of a checkpoint. Raises InspectorError when there is none, or it fits the skeleton nowhere."""
    if checkpoint is None:
        raise InspectorError(f"{skeleton.model_id} has no files here to be stored in", hint="name a folder or a file")
    targets = gguf_targets(checkpoint, skeleton) if checkpoint.format == "gguf" else by_target(checkpoint, skeleton)
    known = {tensor.name for tensor in skeleton.own_tensors}
    packed = packed_layers(checkpoint)
    found = {name: _pieces(tensors, packed) for name, tensors in targets.items() if name in known}
    # A vocabulary alone is a good file of GGUF.
    if not found and not (checkpoint.format == "gguf" and not checkpoint.tensors):
        raise InspectorError(f"no tensor in the files of {skeleton.model_id} is one of its architecture's")
    plain = Counter[str]()
    for pieces in found.values():
        if len(pieces) == 1 and pieces[0].dtype in {"float32", "bfloat16", "float16"}:
            # By bytes: many a model in bfloat16 has more, and tiny, norms in float32.
            plain[pieces[0].dtype] += pieces[0].nbytes
    rest = plain.most_common(1)[0][0] if plain else "bfloat16"
    # From the whole, as files mix types; at least 1, as they may hold a small part of the model.
    bits = max(1, round(8 * checkpoint.tensor_bytes / max(1, skeleton.num_parameters)))
    return Stored(NAME, bits, f"as its {checkpoint.format} files store it", rest, "the files themselves", found)


def _pieces(tensors: list[FileTensor], packed: Collection[str]) -> tuple[Piece, ...]:
    """One piece for each role and dtype; a dtype of no whole bytes is counted in bytes."""
    sizes: Counter[tuple[str, str]] = Counter()
    for tensor in tensors:
        role = tensor.name.rpartition(".")[2] if is_constant(tensor.name, packed) else "weight"
        dtype = tensor.dtype if tensor.dtype in DTYPE_BYTES else "uint8"
        sizes[role, dtype] += tensor.nbytes
    return tuple(Piece(role, dtype, nbytes // DTYPE_BYTES[dtype]) for (role, dtype), nbytes in sizes.items())


def gguf_targets(checkpoint: Checkpoint, skeleton: Skeleton) -> dict[str, list[FileTensor]]:
    """GGUF's tensors by the skeleton's names; the two fused by transformers go to one."""
    # Such a skeleton was made from the files themselves, so its names are theirs.
    if skeleton.architecture == "unknown":
        return {tensor.name: [tensor] for tensor in checkpoint.tensors}
    from inspector.precision.gguf import gguf_names

    targets: dict[str, list[FileTensor]] = {}
    for name, ours in gguf_names(skeleton).items():
        both: tuple[str, ...] = (ours, ours.replace("ffn_gate_exps", "ffn_up_exps")) if "gate_up" in name else (ours,)
        if "gate_up" in name and (fused := ours.replace("ffn_gate_exps", "ffn_gate_up_exps")) in checkpoint.by_name:
            both = (fused,)  # newer conversions leave them in one (Gemma 4)
        if ours not in checkpoint.by_name and ".ssm_in." in ours:  # Qwen 3 Next's, which newer files have in two
            both = (ours.replace("ssm_in", "attn_qkv"), ours.replace("ssm_in", "attn_gate"))
        elif ours not in checkpoint.by_name and ".ssm_" in ours:
            both = (ours.removesuffix(".weight"),)  # Mamba's A and D have no last word
        if "attn_kv_b" in ours:  # newer files split MLA's projection in two (llama.cpp's conversion of DeepSeek)
            both = (ours, ours.replace("attn_kv_b", "attn_k_b"), ours.replace("attn_kv_b", "attn_v_b"))
        if tensors := [checkpoint.by_name[part] for part in dict.fromkeys(both) if part in checkpoint.by_name]:
            targets[name] = tensors
    # Factors of rotary embeddings are a buffer in transformers: with it they are in the sum of the files' bytes.
    computed = [tensor for tensor in checkpoint.tensors if is_computed(tensor.name)]
    buffer = next((tensor.name for tensor in skeleton.own_tensors if tensor.name.endswith("inv_freq")), None)
    if computed and buffer:
        targets[buffer] = computed
    return targets

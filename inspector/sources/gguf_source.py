"""A GGUF file as a source: its header's model where the tensors bear it out, else the tensors alone."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inspector.checkpoint.gguf_header import Announced, is_computed
from inspector.checkpoint.gguf_layout import BLOCK
from inspector.config_json import published_dtype
from inspector.errors import InspectorError
from inspector.precision.stored import gguf_targets
from inspector.skeleton.vocabulary import refuse_resizing, wanted_vocabulary
from inspector.sources.source import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.checkpoint import Checkpoint, FileTensor
    from inspector.skeleton import Skeleton, Tensor


@dataclass(frozen=True)
class GgufSource(Source):
    """What all GGUF files have in common, wherever they lie.

    ``beside`` says what lies by the file and is no part of it, a sentence each.
    """

    beside: tuple[str, ...] = field(default=(), kw_only=True)

    @cached_property
    @abstractmethod
    def stored(self) -> Checkpoint:
        """What the file, and the splits beside it, store."""

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """What the file, and the splits beside it, store."""
        return replace(self.stored, notes=(*self.stored.notes, *self.beside)) if self.beside else self.stored

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """The config that transformers reads from its metadata; None where that is not the model of its tensors."""
        return self.stored.config if self._announced.built else None

    @cached_property
    def runnable(self) -> dict[str, Any]:
        """The config. Raises InspectorError where none describes what the file holds."""
        if not self._announced.built:
            raise InspectorError(
                f"{self.name}: {self._announced.doubt or 'transformers has no config for it'}",
                hint=f"only its tensors are known: inspector checkpoint {self.where}",
            )
        return super().runnable

    @cached_property
    def skeleton(self) -> Skeleton:
        """The skeleton of the config where the file's tensors are its parameters, else of the tensors themselves."""
        found = self._skeleton
        # A header names no dtype to compute in: that of nearly all models since GGUF.
        if self._announced.built and not published_dtype(self.stored.config or {}):
            found = replace(found, facts=replace(found.facts, dtype="bfloat16"))
        return replace(found, notes=(*found.notes, *self.beside)) if self.beside else found

    @cached_property
    def _skeleton(self) -> Skeleton:
        built, doubt = self._announced.built, self._announced.doubt
        if built and not doubt:
            return built if wanted_vocabulary() is None else super().skeleton
        refuse_resizing(f"{self.where}, read off its tensors' names,")
        from inspector.sources.unknown_architecture import READ_OFF, bare_skeleton

        bare = bare_skeleton(self.stored, self.where)
        if not built:
            return replace(bare, notes=(*([doubt] if doubt else ()), *bare.notes))
        # Its config does build; what is told is the file all the same.
        return replace(bare, facts=built.facts, notes=(doubt, READ_OFF, *bare.notes[1:]))

    @cached_property
    def _announced(self) -> _Announced:
        from inspector.store.skeletons import kept_skeleton

        if self.stored.holds:
            return _Announced(None, self.stored.holds)
        if not self.stored.config:
            return _Announced(None)
        try:
            built = kept_skeleton(self.stored.config, self.name, self.where)
        except InspectorError as error:
            return _Announced(None, f"what its header announces cannot be built ({error.message[:200]})")
        if disagreement := _disagreement(self.stored, built):
            return disagreement
        return _Announced(built)


@dataclass(frozen=True, slots=True)
class _Announced:
    """The model of the header's config, if the file can be one, and the doubt, if its tensors have other names."""

    built: Skeleton | None
    doubt: str = ""


def _beside_the_parameters(
    checkpoint: Checkpoint, skeleton: Skeleton, left: Mapping[str, FileTensor], alone: Mapping[str, Tensor]
) -> str:
    """What a file stores beside the parameters of the model, in a sentence, where that is all of what is ``left``.

    Buffers of transformers' class, layers that draft tokens, and keys and values of layers that take those of an
    earlier one: transformers does not load them. They are counted as the file has them; what runs is the model.
    ``alone`` are parameters without a name in llama.cpp, each of which one of the tensors left is.
    """
    announced = Announced(checkpoint.metadata)
    first = (announced.size("block_count") or 0) - (announced.size("attention.shared_kv_layers") or 0)
    layers = skeleton.facts.num_layers
    drafting = {name for name in left if (block := BLOCK.match(name)) and int(block[1]) >= layers}
    shared = {
        name
        for name in left.keys() - drafting
        if (block := BLOCK.match(name)) and int(block[1]) >= first and block[2].startswith(("attn_k", "attn_v"))
    }
    buffers = [tensor for tensor in skeleton.own_tensors if not tensor.is_parameter and tensor.persistent]
    rest = sorted(tensor.numel for name, tensor in left.items() if name not in shared | drafting)
    if not left or rest != sorted(tensor.numel for tensor in (*alone.values(), *buffers)):
        return ""
    said = [f"{len(shared):,} keys and values of layers that share others' ({min(shared)[:80]})"] if shared else []
    said += [f"{len(drafting):,} of layers that draft tokens ({min(drafting)[:80]})"] if drafting else []
    said += [f"{len(buffers):,} buffers ({buffers[0].name[:80]})"] if buffers else []
    return f"of its tensors {' and '.join(said)} are no parameters in transformers" if said else ""


def _disagreement(checkpoint: Checkpoint, skeleton: Skeleton) -> _Announced | None:
    """Where a file's tensors and the parameters of its header's model differ; None where nowhere."""
    try:
        targets, why = gguf_targets(checkpoint, skeleton), ""
    except InspectorError as error:
        targets, why = {}, error.message[:200]
    left = {tensor.name: tensor for tensor in checkpoint.tensors if not is_computed(tensor.name)}
    alone = {}
    for tensor in skeleton.own_tensors:
        if not tensor.is_parameter:
            continue
        stored = [left.pop(item.name) for item in targets.get(tensor.name, []) if item.name in left]
        if not stored:
            alone[tensor.name] = tensor
        elif sum(item.numel for item in stored) != tensor.numel:
            shapes = ", ".join(f"{item.name} {list(item.shape)}" for item in stored[:2])
            return _Announced(
                None,
                f"its header and its tensors disagree: {tensor.name} of {list(tensor.shape)} by the header, "
                f"{shapes[:200]} in the file",
            )
    if beside := _beside_the_parameters(checkpoint, skeleton, left, alone):
        return _Announced(skeleton, beside)
    if sum(tensor.numel for tensor in left.values()) != sum(tensor.numel for tensor in alone.values()):
        without = f"no tensor for {min(alone)[:80]}" if alone else f"none has a place for {min(left, default='')[:80]}"
        return _Announced(None, f"its tensors are not those of the model that its header announces: {without}")
    # The same parameters under names that are not known here.
    return _Announced(skeleton, why or f"no name of its model's is known for {min(left)[:80]}") if left else None

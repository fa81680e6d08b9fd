"""The language model of a skeleton that has towers too: what a GGUF of it holds, under the names of the plain class."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from inspector.skeleton.skeleton import in_tower

if TYPE_CHECKING:
    from inspector.skeleton import Skeleton

_INSIDE = ("model.language_model.", "language_model.model.", "language_model.")
_BESIDE = ("projector", "multi_modal", "connector")


def language_part(skeleton: Skeleton) -> Skeleton:
    """The language model alone; the skeleton itself where there is nothing else."""
    paths = [module.path for module in skeleton.modules]
    if not any(in_tower(path) for path in paths):
        return skeleton
    prefix = next((inside for inside in _INSIDE if any(path.startswith(inside) for path in paths)), "")
    modules = tuple(
        replace(module, path=_plain(module.path, prefix), layer=_plain(module.layer, prefix) if module.layer else None)
        for module in skeleton.modules if _kept(module.path)
    )  # fmt: skip
    tensors = tuple(
        replace(
            tensor, name=_plain(tensor.name, prefix),
            tied_to=_plain(tensor.tied_to, prefix) if tensor.tied_to else None,
        )
        for tensor in skeleton.tensors if _kept(tensor.name)
    )  # fmt: skip
    facts = replace(
        skeleton.facts, input_embeddings=_plain(skeleton.facts.input_embeddings, prefix),
        output_embeddings=_plain(skeleton.facts.output_embeddings, prefix),
    )  # fmt: skip
    return replace(skeleton, modules=modules, tensors=tensors, facts=facts)


def without_towers(skeleton: Skeleton) -> Skeleton:
    """The same model, every name as it is, without its encoders and what makes their outputs the language model's."""
    modules = tuple(module for module in skeleton.modules if _kept(module.path))
    return replace(skeleton, modules=modules, tensors=tuple(one for one in skeleton.tensors if _kept(one.name)))


def _kept(name: str) -> bool:
    return not in_tower(name) and not any(word in name for word in _BESIDE)


def _plain(name: str, prefix: str) -> str:
    if prefix and name.startswith(prefix):
        return f"model.{name.removeprefix(prefix)}"
    return name.removeprefix("language_model.")  # Llama 4's head lies beside its layers

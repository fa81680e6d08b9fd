"""The parts of a model put together: one skeleton and one checkpoint, every name below its part's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.checkpoint import Checkpoint
from inspector.sources.file_tree import inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inspector.skeleton import Skeleton


def below(skeleton: Skeleton, prefix: str) -> Skeleton:
    """A skeleton as a part of a larger one: every path begins with ``prefix``."""
    if not prefix:
        return skeleton

    def moved(path: str) -> str:
        return f"{prefix}.{path}" if path else prefix

    modules = tuple(
        replace(module, path=moved(module.path), layer=moved(module.layer) if module.layer else None)
        for module in skeleton.modules
    )
    tensors = tuple(
        replace(tensor, name=moved(tensor.name), tied_to=moved(tensor.tied_to) if tensor.tied_to else None)
        for tensor in skeleton.tensors
    )
    return replace(skeleton, modules=modules, tensors=tensors)


def joined_checkpoint(name: str, parts: Mapping[str, Checkpoint], config: dict[str, Any]) -> Checkpoint | None:
    """The files of all parts as one checkpoint, each tensor below its part; None where no part has files."""

    def files(part: str, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(file if file.startswith(f"{part}/") else inside(part, file) for file in names)

    if not parts:
        return None
    tensors = tuple(
        # The transformer of a chain has no name of its own before its tensors': it is what the config is of.
        replace(tensor, name=f"{part}.{tensor.name}" if part else tensor.name, file=files(part, (tensor.file,))[0])
        for part, checkpoint in parts.items()
        for tensor in checkpoint.tensors
    )
    return Checkpoint(
        name,
        "safetensors",
        tensors,
        tuple(file for part, checkpoint in parts.items() for file in files(part, checkpoint.files)),
        sum(checkpoint.file_bytes for checkpoint in parts.values()),
        config,
        tuple(note for checkpoint in parts.values() for note in checkpoint.notes),
    )

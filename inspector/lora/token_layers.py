"""Whose rows ``trainable_token_indices`` train: the layers it names, and those that are tied to the embedding.

Source: peft/utils/other.py, ``set_additional_trainable_modules``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lora.matching import saved_modules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.lora.spec import LoraSpec
    from inspector.skeleton import Skeleton


def tied_ends(skeleton: Skeleton) -> set[str]:
    """Paths of the modules whose weight is the input embedding's."""
    end = skeleton.facts.input_embeddings
    first = {tensor.name for tensor in skeleton.tensors if end and tensor.owner == end}
    return {tensor.owner for tensor in skeleton.tensors if tensor.tied_to in first}


def token_layers(skeleton: Skeleton, spec: LoraSpec) -> Mapping[str, tuple[int, ...]]:
    """The layers that get rows of their own, by path; no tokens for those that share the embedding's.

    Raises InspectorError for a name that no layer has.
    """
    end, tied = skeleton.facts.input_embeddings, tied_ends(skeleton)
    # PEFT copies whole modules first, and nothing is tied to a copy.
    if any(module.path == end for module in saved_modules(skeleton, spec)):
        tied = set()
    wanted = {name or end: indices for name, indices in spec.trainable_token_indices}
    of_ties = [name for name in wanted if end.endswith(name) or any(_means(name, path) for path in tied)]
    alike = len({wanted[name] for name in of_ties}) < 2
    found: dict[str, tuple[int, ...]] = {}
    for name, indices in wanted.items():
        paths = [module.path for module in skeleton.modules if module.path and name and module.path.endswith(name)]
        if not paths:
            raise InspectorError(f"{skeleton.model_id} has no layer {name!r} to train tokens of")
        # The rows of both ends are one where they are the same tokens; PEFT looks for whole paths.
        if not (tied and len(of_ties) > 1 and alike and name in tied):
            found.update(dict.fromkeys(paths, indices))
    if tied and end in found and alike:
        found = {**dict.fromkeys(tied, ()), **found}
    return found


def _means(name: str, path: str) -> bool:
    return path.endswith(name) or name in path.split(".")

"""Checkpoints in an older layout, such as one tensor an expert: transformers' own conversions, one target at a time.

Imports torch and transformers. Sources: transformers ``conversion_mapping.py`` (``get_model_conversion_mapping``) and
``core_model_loading.py`` (``rename_source_key``, ``WeightConverter``, ``convert_and_load_state_dict_in_model``).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Sources:
    """What a tensor of the model is made of: stored names with the pattern each matched, and how (None: renamed)."""

    names: tuple[tuple[str, str], ...]
    converter: Any = None

    def made(self, target: str, model: PreTrainedModel, read: Callable[[str], torch.Tensor]) -> torch.Tensor:
        """The tensor, from sources that are read only now and let go when it is made."""
        if self.converter is None:
            return read(self.names[0][1])
        # A converter collects its sources in itself, and one serves every layer.
        converter = copy.deepcopy(self.converter)
        for pattern, stored in self.names:
            converter.add_tensor(target, stored, pattern, lambda stored=stored: read(stored))
        made: Mapping[str, Any] = converter.convert(target, model=model, config=model.config)
        value = made[target]
        result: torch.Tensor = value[0] if isinstance(value, list) else value
        return result


def sources_of(model: PreTrainedModel, stored: Iterable[str]) -> dict[str, Sources]:
    """Which stored tensors each tensor of a meta model is made of, where transformers renames or converts."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, dot_natural_key, rename_source_key

    mapping = get_model_conversion_mapping(model)
    converters = [each for each in mapping if isinstance(each, WeightConverter)]
    renamings = [each for each in mapping if not isinstance(each, WeightConverter)]
    by_pattern = {pattern: each for each in converters for pattern in each.source_patterns}
    known = model.state_dict()
    found: dict[str, list[tuple[str, str]]] = {}
    # As transformers sorts them: expert 10 is stacked after expert 2.
    for name in sorted(stored, key=dot_natural_key):
        target, pattern = rename_source_key(name, renamings, converters, model.base_model_prefix, known)
        if target in known:
            found.setdefault(target, []).append((pattern or "", name))
    return {
        target: Sources(tuple(names), by_pattern.get(names[0][0]) if names[0][0] else None)
        for target, names in found.items()
        # Several stored tensors under one name, with nothing to make one of them: which is meant is not known.
        if names[0][0] or len(names) == 1
    }

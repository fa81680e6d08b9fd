"""A `LoraSpec` as the keywords of ``peft.LoraConfig``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspector.lora.spec import LoraSpec


def peft_fields(spec: LoraSpec) -> dict[str, Any]:
    """What a script would write for a spec: every field that decides what is trained, but the task type.

    What is empty is None, as it is where a script leaves it out; but no targets are an empty list, as PEFT takes None
    for its own choice.
    """
    tokens = {name: list(indices) for name, indices in spec.trainable_token_indices}
    return {
        "r": spec.r,
        "lora_alpha": spec.alpha,
        "target_modules": _names(spec.target_modules) or [],
        "target_parameters": _names(spec.target_parameters),
        "exclude_modules": _names(spec.exclude_modules),
        "layers_to_transform": list(spec.layers_to_transform) or None,
        "layers_pattern": _names(spec.layers_pattern),
        "rank_pattern": dict(spec.rank_pattern),
        "alpha_pattern": dict(spec.alpha_pattern),
        # The input embedding's have no name in PEFT's list.
        "trainable_token_indices": (tokens[""] if set(tokens) == {""} else tokens) or None,
        "use_dora": spec.use_dora,
        "use_rslora": spec.use_rslora,
        "modules_to_save": _names(spec.modules_to_save),
        "bias": spec.bias,
    }


def _names(names: tuple[str, ...] | str) -> str | list[str] | None:
    return (names if isinstance(names, str) else list(names)) or None

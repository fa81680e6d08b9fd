"""LoRA's setup as the ``LoraConfig`` that a script would write, and what PEFT says of it in one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.libraries import need
from inspector.errors import CannotSimulateError, in_one_line
from inspector.lora.peft_fields import peft_fields
from inspector.simulate.program.heads import heads_to_name, task_type
from inspector.simulate.program.stored.adapted import adapters_of_packed_layers
from inspector.simulate.setup.training import LoraSetup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from inspector.simulate.setup.training import PeftSetup

_NO_DEFAULT = ("specify `target_modules`", "No `target_modules` passed", "Please specify", "incompatible with Mamba")
"""What PEFT says when it names no targets for an architecture, or none that it accepts."""

_NOTHING_LEFT = ("not found in the base model", "No modules were targeted", "All modules were excluded")
"""What it says when no target matches, or each that does is left out."""

_MENDED = ("fan_in_fan_out is set to", "Unsupported layer type")
"""Warnings of what PEFT puts right by itself, and of our own stand-ins for layers of libraries that are not needed."""

_SET = re.compile(r"\{('[^{}]*')\}")


def lora_config(model: nn.Module, setup: LoraSetup, *, everything_but: Sequence[str] | None = None) -> Any:
    """LoRA's config; nothing is initialized, as values do not matter.

    ``everything_but`` takes every linear layer without these paths, in the place of the setup's targets.
    """
    need("peft")
    from peft import LoraConfig

    fields = peft_fields(setup.counted) | {
        "lora_dropout": setup.dropout,
        **({} if setup.target_modules else {"target_modules": None}),
        "modules_to_save": [*setup.modules_to_save, *heads_to_name(model)] or None,
        "task_type": task_type(model) or None,
    }
    if everything_but is not None:
        fields |= {"target_modules": "all-linear", "exclude_modules": _excluded(setup, everything_but)}
    config = LoraConfig(**fields, init_lora_weights=False)
    # PEFT looks for the classes of libraries that are not needed here: ours stand for them.
    if packed := adapters_of_packed_layers(model):
        config._register_custom_module(packed)
    return config


def check_saved(model: nn.Module, names: tuple[str, ...]) -> None:
    """Refuse modules to save that are not there; PEFT trains none (``_set_trainable``, peft/utils/other.py)."""
    paths = [path for path, _ in model.named_modules()]
    if missing := [name for name in names if not any(path.endswith(name) for path in paths)]:
        raise CannotSimulateError(
            f"modules_to_save {', '.join(missing)} match nothing in this model",
            hint="`inspector layers` lists its modules",
        )


def check_tokens(model: Any, tokens: tuple[tuple[str, tuple[int, ...]], ...]) -> None:
    """Refuse tokens that an embedding has no row of: without data PEFT does not look (``TrainableTokensLayer``)."""
    # A model for sound or images has no embedding to ask for.
    if not tokens:
        return
    named = dict(model.named_modules())
    first = next((path for path, each in named.items() if each is model.get_input_embeddings()), "")
    for name, indices in tokens:
        found = {path: each for path, each in named.items() if path and path.endswith(name or first)}
        if not found:
            raise CannotSimulateError(
                f"this model has no layer {name or 'of input embeddings'!r} to train tokens of",
                hint="`inspector layers` lists its modules",
            )
        for path, module in found.items():
            rows = module.weight.shape[0] if isinstance(getattr(module, "weight", None), torch.Tensor) else 0
            if max(indices) >= rows:
                raise CannotSimulateError(
                    f"{path} has no token {max(indices):,}: it has {rows:,} rows",
                    hint="--resize-vocab grows it as resize_token_embeddings does",
                )


def has_no_default(setup: LoraSetup | PeftSetup, error: Exception) -> bool:
    """Whether PEFT was asked to choose targets and says that it names none for the architecture."""
    asked = isinstance(setup, LoraSetup) and not setup.target_modules
    return asked and any(text in str(error) for text in _NO_DEFAULT)


def worth_saying(warnings: Sequence[str]) -> list[str]:
    """PEFT's warnings as notes of a dry run; names that it prints as a set come in an order of their own each time."""
    said = [line for line in warnings if not line.startswith(_MENDED)]
    return [f"PEFT: {_sorted(line)}" for line in said]


def peft_refuses(error: TypeError | ValueError, setup: LoraSetup | PeftSetup) -> CannotSimulateError:
    """What PEFT refuses, with what to do about it."""
    said = " ".join(str(error).split())
    narrowed = isinstance(setup, LoraSetup) and bool(setup.exclude_modules or setup.layers_to_transform)
    if any(text in said for text in _NOTHING_LEFT) and narrowed:
        return CannotSimulateError(
            f"no target is left, PEFT says: {_sorted(in_one_line(error))}",
            hint="`inspector layers` lists the model's modules",
        )
    if any(text in said for text in _NOTHING_LEFT):
        named = setup.target_modules if isinstance(setup, LoraSetup) else dict(setup.fields).get("target_modules", ())
        return CannotSimulateError(
            f"target_modules {named if isinstance(named, str) else ', '.join(named)} match nothing in this model",
            hint="`inspector layers` lists its modules; all-linear takes every linear layer",
        )
    if "No `target_modules` passed" in said and isinstance(setup, LoraSetup) and setup.target_modules:
        return CannotSimulateError(
            "PEFT's all-linear takes nn.Linear alone, and this model's packed layers are none",
            hint="name them, as --target-modules q_proj,v_proj",
        )
    if "trainable_token_indices cannot be applied" in said:
        return CannotSimulateError("PEFT cannot train tokens of a layer on which LoRA is put too", hint="leave one out")
    if "cannot be applied to modules of type" in said:
        return CannotSimulateError(
            "PEFT trains a task's head whole, and cannot where LoRA is put on it too",
            hint="name the head and what ends like it with --modules-to-save, or name other targets",
        )
    if "specify `target_modules`" in said:
        return CannotSimulateError(
            "PEFT has no default targets for this architecture", hint="use --target-modules all-linear"
        )
    return CannotSimulateError(f"PEFT refuses this setup: {in_one_line(error)}")


def _excluded(setup: LoraSetup, more: Sequence[str]) -> str | list[str] | None:
    if isinstance(setup.exclude_modules, str):
        # An expression is held against whole paths, so theirs are further alternatives.
        return "|".join([f"({setup.exclude_modules})", *map(re.escape, more)])
    return [*setup.exclude_modules, *more] or None


def _sorted(line: str) -> str:
    return _SET.sub(lambda found: ", ".join(sorted(found[1].split(", "))), line)

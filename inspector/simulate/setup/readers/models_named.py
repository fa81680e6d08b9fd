"""What the name of a model in a trainer's file says: which bundled model it is, its dtype, PEFT's own targets."""

from __future__ import annotations

import json
import re
from functools import cache

from inspector.config_json import published_dtype
from inspector.lora.matching import PEFT_TABLES
from inspector.sources.bundled import bundled_config, model_ids

MIRRORS = frozenset({"nousresearch", "unsloth", "alpindale", "meta-llama", "huggingfacetb", "huggyllama"})
"""Accounts that publish others' weights under the same names, and two that have renamed theirs."""
_QUANTIZED = re.compile(r"-(bnb-4bit|unsloth-bnb-4bit|gptq|awq)", re.IGNORECASE)


def bundled_as(name: str) -> str | None:
    """The bundled model that a hub name is: its own id, or that of the model it is a mirror or a checkpoint of."""
    owner, _, model = name.rpartition("/")
    ids = {one.lower(): one for one in model_ids()}
    if name.lower() in ids:
        return ids[name.lower()]
    if owner.lower() not in MIRRORS or _QUANTIZED.search(model):
        return None
    plain = _plain(model)
    # Llama 3 is called Meta-Llama-3 in its own repository, Llama 3.1 was, too.
    return next((one for one in ids.values() if _plain(one.rpartition("/")[2]) == plain), None)


def mirror_of(name: str) -> str | None:
    """The original's hub id of a mirror, whether or not it is bundled; None for a name that is its own."""
    owner, _, model = name.rpartition("/")
    if found := bundled_as(name):
        return found if found.lower() != name.lower() else None
    if (
        owner.lower() in {"nousresearch", "unsloth"}
        and _plain(model).startswith("llama")
        and not _QUANTIZED.search(model)
    ):
        return f"meta-llama/{model}"
    return None


def _plain(model: str) -> str:
    return model.lower().removeprefix("meta-").removesuffix("-checkpoints")


def checkpoint_dtype(name: str) -> str | None:
    """The dtype a bundled model is published in; None for one that is not bundled."""
    found = bundled_as(name)
    return (published_dtype(bundled_config(found)) or None) if found else None


@cache
def _defaults() -> dict[str, list[str] | str]:
    found: dict[str, list[str] | str] = json.loads(PEFT_TABLES.read_text(encoding="utf-8"))["default_targets"]
    return found


def own_targets(name: str) -> list[str] | str | None:
    """The modules PEFT adapts of itself in a bundled model; None where the model is not known."""
    found = bundled_as(name)
    return _defaults().get(str(bundled_config(found).get("model_type"))) if found else None

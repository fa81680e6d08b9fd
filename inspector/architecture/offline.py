"""A fence around building: no line of code and no byte from the network, whatever a config names. Imports torch."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from inspector.patched import patched

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUNTIME = frozenset({
    "attn_implementation", "_attn_implementation", "_attn_implementation_internal", "_attn_implementation_autoset",
    "experts_implementation", "_experts_implementation", "_experts_implementation_internal", "kernel_config",
})  # fmt: skip
"""How a model is run, not what it is made of; the first may name a kernel on the hub, which transformers would fetch
and run (transformers/modeling_utils.py, ``_check_and_adjust_attn_implementation``)."""

_PRETRAINED = ("use_pretrained_backbone", "pretrained_backbone")
"""Fields that have a part's weights downloaded while the module tree is made."""


def without_runtime(config: object) -> Any:
    """A copy of a config, nested ones included, without the fields that choose kernels or fetch weights."""
    if isinstance(config, dict):
        kept = {name: without_runtime(value) for name, value in config.items() if name not in _RUNTIME}
        return kept | {name: False for name in _PRETRAINED if name in kept}
    return [without_runtime(item) for item in config] if type(config) is list else config


@contextlib.contextmanager
def closed() -> Iterator[None]:
    """Nothing this thread does inside the block reaches the hub through huggingface_hub, or runs a kernel from there.

    Backbones ask the hub for their config while a config is read (transformers/backbone_utils.py), and functions may
    ask for kernels (transformers/integrations/hub_kernels.py, ``lazy_load_kernel``).
    """
    with patched({
        "huggingface_hub.constants.HF_HUB_OFFLINE": True,
        "transformers.integrations.hub_kernels._kernels_enabled": False,
    }):  # fmt: skip
        yield

"""What a process is, as far as a guest could change it."""

from __future__ import annotations

import logging
import random
import sys
import warnings
from importlib.util import find_spec
from pkgutil import resolve_name

import pytest

GONE = object()
OPTIONAL = {name for name in ("deepspeed",) if find_spec(name) is None}
"""Libraries that need not be installed, and are not."""
TINY = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128, "dtype": "bfloat16",
}  # fmt: skip


def names():
    """Every name of the inventory, as it is: the object itself, or that it is only inherited."""
    from inspector.patched import PATCHES

    return {key: vars(resolve_name(patch.owner)).get(patch.name, GONE) for key, patch in PATCHES.items()
            if patch.library not in OPTIONAL}  # fmt: skip


def settings():
    """What is no name: levels, filters, hooks, numbers drawn, dtypes, contents of mappings."""
    import numpy as np
    import torch
    from accelerate.state import AcceleratorState, PartialState

    from inspector.patched import PATCHES

    loggers = {"": logging.getLogger(), **logging.root.manager.loggerDict}
    functional = sys.modules.get("bitsandbytes.functional")
    mappings = {key: dict(value) for key, value in names().items() if hasattr(value, "keys")}
    assert len(mappings) >= 6
    assert PATCHES
    return {
        "levels": {name: (each.level, each.disabled, tuple(each.filters))
                   for name, each in loggers.items() if isinstance(each, logging.Logger) and name in KNOWN},
        "warnings": (id(warnings.filters), list(warnings.filters), warnings.showwarning, warnings.warn),
        "default": (torch.get_default_dtype(), torch.get_default_device()),
        "torch": torch.get_rng_state().tolist(),
        "python": (random.getstate(), repr(np.random.get_state())),  # noqa: NPY002 -- the one that libraries share
        "autocast": [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")],
        "hooks": torch._C._autograd._top_saved_tensors_default_hooks(True),
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "module": (torch.nn.Module.__call__, torch.nn.init.ones_, torch.nn.init.kaiming_uniform_),
        "layer norm": torch.nn.LayerNorm(4).weight.tolist(),
        "mappings": {key: {name: id(each) for name, each in value.items()} for key, value in mappings.items()},
        "accelerate": (dict(PartialState._shared_state), dict(AcceleratorState._shared_state)),
        "qmap": functional and [(name, each.device.type) for name, each in functional.name2qmap.items()],
    }  # fmt: skip


KNOWN = ("", "transformers", "transformers.modeling_utils", "bitsandbytes", "peft", "accelerate", "huggingface_hub")


@pytest.fixture
def tiny():
    return dict(TINY)


@pytest.fixture
def untouched(fresh_store):
    """Fail when a test leaves the process otherwise than it found it."""
    import bitsandbytes  # noqa: F401 -- what an import does is no dry run's doing
    import transformers
    from accelerate import PartialState

    PartialState(cpu=True)
    transformers.utils.logging.set_verbosity_info()
    logging.getLogger("bitsandbytes").setLevel(logging.INFO)
    before = names(), settings()
    yield
    after = names(), settings()
    changed = [key for key, value in before[0].items() if after[0][key] is not value]
    assert changed == []
    for key, value in before[1].items():
        assert after[1][key] == value, key
    transformers.utils.logging.set_verbosity_warning()


@pytest.fixture
def fresh_store(tmp_path, monkeypatch):
    """Nothing is kept from other tests: every question is simulated."""
    monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path / "store"))

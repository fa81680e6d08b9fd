"""A save after the last step: what it takes on the card, what it writes, and what the host holds meanwhile.

Sources: transformers/trainer.py, 5.23, ``_save_checkpoint`` and ``_load_best_model``; modeling_utils.py,
``save_pretrained`` (a shard is on the host whole: safetensors brings it there before it writes); peft/peft_model.py,
0.21, ``save_pretrained`` and ``load_adapter``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture import build_config, build_model
from inspector.memory_kinds import MemoryKind
from inspector.simulate.program.load import load_dtype
from inspector.simulate.program.merging import merge
from inspector.simulate.program.saved_files import state_bytes, tensors_bytes, weights_files
from inspector.simulate.reports.saved import OnHost, Saved, SavedFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peft import PeftModel
    from torch import nn

    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer

    Tensors = Mapping[str, torch.Tensor]

ON_CARD = "cuda:0"


def save(
    model: PeftModel, optimizer: torch.optim.Optimizer, config: Mapping[str, Any], setup: TrainSetup, tracer: Tracer
) -> Saved:
    """Save, and load again where that is asked for; ``model`` is PEFT's where it has adapters."""
    asked = setup.saving
    assert asked is not None
    tracer.mark("save", setup.loop.steps - 1, reset=True)
    adapted = setup.adapters is not None
    files: list[SavedFile] = []
    host: list[OnHost] = []
    if asked.what == "merged":
        files += _merged(model, config, setup, tracer, host)
    elif adapted:
        weights = _adapter_tensors(model)
        files.append(SavedFile("adapter_model.safetensors", tensors_bytes(weights)))
    else:
        files += weights_files(_saved_tensors(model), _parameters(model))
    host.append(OnHost("weights on their way to the disk, a file at a time", max(file.nbytes for file in files)))
    if asked.what == "checkpoint" and not asked.only_model:
        # As it is on the card: a file says of each tensor where it was.
        state = optimizer.state_dict()
        with torch.utils._python_dispatch._disable_current_modes():
            files.append(SavedFile("optimizer.pt", state_bytes(state, ON_CARD)))
        host.append(OnHost("the largest tensor of the optimizer's state, as it is written", _largest(state)))
    if asked.load_best:
        host.append(_load_best(model, tracer, adapted=adapted, weights=files[0]))
    if setup.load.via_cpu and setup.load.quantization is None:
        held = sum(_bytes(each) for each in _distinct(model) if tracer.kind_of(each) is not MemoryKind.ADAPTERS)
        host.append(OnHost("the model as it is loaded, before it goes to the card", held))
    if tracer.paged_bytes:
        host.append(OnHost("paged optimizer state, where the card has no room for it", tracer.paged_bytes))
    return Saved(tuple(files), tuple(host), max(asked.total_limit, 1))


def _merged(
    model: PeftModel, config: Mapping[str, Any], setup: TrainSetup, tracer: Tracer, host: list[OnHost]
) -> tuple[SavedFile, ...]:
    """``merge_and_unload`` and ``save_pretrained``: on the card as the model stands there, or on the host, anew."""
    assert setup.saving is not None
    parsed: Any = config if hasattr(config, "to_dict") else build_config(config)
    if setup.saving.merge_on == "cpu":
        with torch.utils._python_dispatch._disable_current_modes():
            plain = build_model(parsed, load_dtype(parsed, setup.load))
            weights = _saved_tensors(plain)
        layers = max(_adapted_elements(model), default=0)
        held = sum(map(_bytes, weights.values())) + sum(map(_bytes, _adapter_tensors(model).values()))
        # peft/tuners/lora/layer.py, ``get_delta_weight``: in float32 on a CPU, once more as it is scaled.
        host.append(OnHost("the base model, its adapters, and the largest layer's change, merged", held + 8 * layers))
        return weights_files(weights, _parameters(plain))
    # Layers one after the other, and their adapters only when all are merged.
    merge(model, tracer)
    base = model.unload()
    return weights_files(_saved_tensors(base), _parameters(base))


def _saved_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state that is written: of what is tied one name alone, and weights by the names that the checkpoint had."""
    from transformers.core_model_loading import revert_weight_conversion

    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    state = {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
    with torch.utils._python_dispatch._disable_current_modes():
        found: dict[str, torch.Tensor] = revert_weight_conversion(model, state)
    return found


def _adapter_tensors(model: PeftModel) -> dict[str, torch.Tensor]:
    from peft.utils import get_peft_model_state_dict
    from peft.utils.constants import EMBEDDING_LAYER_NAMES

    # "auto" asks a hub whether the vocabulary has grown; that the layers are targets is said here.
    targets = getattr(model.active_peft_config, "target_modules", None) or ()
    embeddings = any(name in targets for name in EMBEDDING_LAYER_NAMES)
    with torch.utils._python_dispatch._disable_current_modes():
        found: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=embeddings)
    return found


def _adapted_elements(model: nn.Module) -> list[int]:
    """Of each layer that adapters are put on, how many elements its weight has."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    sizes = [(getattr(each, "in_features", 0), getattr(each, "out_features", 0)) for each in layers]
    return [rows * columns for rows, columns in sizes if isinstance(rows, int) and isinstance(columns, int)]


def _load_best(model: PeftModel, tracer: Tracer, *, adapted: bool, weights: SavedFile) -> OnHost:
    """The best checkpoint again: adapters come to the card beside those there, all weights stay on the host."""
    if adapted:
        loaded = [torch.empty_like(tensor) for tensor in _adapter_tensors(model).values()]
        for tensor in loaded:
            tracer.label(tensor, MemoryKind.ADAPTERS, "")
        del loaded
        return OnHost("the best adapters, as they are read", weights.nbytes)
    return OnHost("the best model, until it is copied to the card", weights.nbytes)


def _distinct(model: nn.Module) -> list[torch.Tensor]:
    return list({id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}.values())


def _parameters(model: nn.Module) -> int:
    return sum(tensor.numel() for tensor in model.parameters())


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _largest(state: object) -> int:
    if isinstance(state, torch.Tensor):
        return _bytes(state)
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return max(map(_largest, inner), default=0)

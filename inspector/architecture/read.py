"""Read a `Skeleton` off a transformers model on the meta device."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.architecture.facts import language_config, notes_on, read_facts
from inspector.architecture.limits import bounded
from inspector.architecture.meta_model import build_config, build_model
from inspector.architecture.parts import part_of
from inspector.architecture.resized import resized_note, vocabulary_of
from inspector.config_json import is_mlx, published_dtype
from inspector.skeleton import Module, Pinned, Skeleton, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch
    from torch import nn
    from transformers import PreTrainedModel

_NUMBERED = re.compile(r"^(.*?\.\d+)(?:\.|$)")


def build_skeleton(config: Mapping[str, Any], *, model_id: str, source: str = "") -> Skeleton:
    """The skeleton of a ``config.json``'s content, through the real transformers class on the meta device."""
    parsed = build_config(config)
    text = parsed.get_text_config(decoder=True)  # as transformers looks (`get_hf_quantizer`)
    quantization = getattr(parsed, "quantization_config", None) or getattr(text, "quantization_config", None) or {}
    quantization = quantization if isinstance(quantization, dict) else quantization.to_dict()
    # Before it is built: building writes into the config the dtype that it is built in.
    own = str(getattr(parsed, "dtype", None) or "").removeprefix("torch.")
    # Built in two dtypes: what differs follows the dtype a user loads in, what does not is pinned by its author.
    with bounded():
        full, half = (build_model(parsed, dtype, said=config) for dtype in ("float32", "bfloat16"))
    method = "mlx" if is_mlx(config) else str(quantization.get("quant_method") or "")
    # A config that says none is of a plain checkpoint older than the field, or of one whose weights are packed.
    dtype = published_dtype(config) or own or ("bfloat16" if method else "float32")
    skeleton = read_skeleton(full, half, model_id=model_id, source=source, dtype=dtype, quantization=method)
    notes = notes_on(config, parsed, method, full)
    if vocabulary_of(config):
        before, after = getattr(language_config(parsed), "vocab_size", 0), skeleton.facts.vocab_size
        # PEFT compares the number on top of a config, where there is one (save_and_load.py, `save_embedding_layers`).
        known = before if getattr(full.config, "vocab_size", None) else 0
        notes, facts = (resized_note(before, after), *notes), replace(skeleton.facts, resized_from=known)
        skeleton = replace(skeleton, facts=facts)
    return replace(skeleton, notes=notes)


def read_skeleton(
    full: PreTrainedModel,
    half: PreTrainedModel,
    *,
    model_id: str,
    source: str = "",
    dtype: str = "float32",
    quantization: str = "",
) -> Skeleton:
    """The skeleton of a model, given as built in float32 and in bfloat16 (both on the meta device)."""
    facts = read_facts(full.config, full, dtype, quantization)
    return Skeleton(
        model_id=model_id,
        architecture=type(full).__name__,
        facts=facts,
        modules=tuple(_modules(full, facts.output_embeddings)),
        tensors=tuple(_tensors(full, half)),
        source=source,
        built_with=_versions(),
    )


def _modules(model: PreTrainedModel, output_embeddings: str) -> Iterator[Module]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import HfQuantizer
    from transformers.quantizers.quantizers_utils import should_convert_module

    bases: tuple[type, ...] = (nn.Linear, Conv1D, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    kept = HfQuantizer.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)
    stacks = {f"{path}." for path, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    for path, module in model.named_modules():
        base = next((base.__name__ for base in bases if isinstance(module, base)), "")
        layer = layer_of(path, stacks)
        cls = type(module).__name__
        part = part_of(path, cls, base, layer, output_embeddings)
        keep = not should_convert_module(path, kept)
        yield Module(path, cls, part, layer, base, keep, transposed=bool(getattr(module, "is_transposed", False)))


def layer_of(path: str, stacks: set[str]) -> str | None:
    """The outermost numbered child of a ModuleList around a path: ``model.layers.3`` for all that is in it."""
    match = _NUMBERED.match(path)
    if match and match[1].rpartition(".")[0] + "." in stacks:
        return match[1]
    return None


def _tensors(full: PreTrainedModel, half: PreTrainedModel) -> Iterator[Tensor]:
    import torch

    in_half = {name: tensor.dtype for name, tensor in _named(half)}
    fp16_plan = full._get_dtype_plan(torch.float16)
    bf16_plan = full._get_dtype_plan(torch.bfloat16)

    def pinned(name: str, tensor: torch.Tensor, persistent: bool) -> Pinned:
        # The same in both builds: its author pinned it, or it holds whole numbers.
        if in_half[name] == tensor.dtype or (persistent and _planned(bf16_plan, name)):
            return "always"
        return "float16" if persistent and _planned(fp16_plan, name) else "never"

    return tensors_of(full, pinned)


def tensors_of(model: nn.Module, pinned: Callable[[str, torch.Tensor, bool], Pinned]) -> Iterator[Tensor]:
    """Parameters then buffers of each module, in the order of ``named_modules()``.

    Args:
        model: built in float32.
        pinned: when a tensor ignores the dtype a model is loaded in, from its name, itself, and whether it is saved.
    """
    # By identity: a tied tensor is the same object under a second name, and the first one owns it.
    first: dict[int, str] = {}
    for name, tensor, persistent, is_parameter in _entries(model):
        owner = first.setdefault(id(tensor), name)
        yield Tensor(
            name=name,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            role="parameter" if is_parameter else "buffer",
            persistent=persistent,
            tied_to=owner if owner != name else None,
            pinned=pinned(name, tensor, persistent),
        )


def _entries(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor, bool, bool]]:
    """Name, tensor, whether it is saved, whether it is a parameter: of each module in turn, tied ones too."""
    # Duplicates too: a module that is shared has its tensors under both of its names.
    for path, module in model.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        for name, parameter in module._parameters.items():
            if parameter is not None:
                yield prefix + name, parameter, True, True
        for name, buffer in module._buffers.items():
            if buffer is not None:
                yield prefix + name, buffer, name not in module._non_persistent_buffers_set, False


def _named(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _planned(plan: Mapping[str, Any], name: str) -> bool:
    """Whether transformers' dtype plan names a tensor; its patterns are globs searched for anywhere in the name."""
    return any(re.search(pattern.replace("*", ".*"), name) for pattern in plan)


def _versions() -> str:
    import transformers

    return f"transformers {transformers.__version__}"

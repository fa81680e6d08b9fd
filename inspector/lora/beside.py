"""What PEFT trains and saves beside A and B: biases, whole copies, rows of tokens, embeddings.

Sources, in peft: ``_get_learnable_bias_state_dict``, ``_mark_only_adapters_as_trainable`` (``tuners/tuners_utils.py``),
``AuxiliaryTrainingWrapper`` (``utils/other.py``), ``get_peft_model_state_dict`` (``utils/save_and_load.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lora.matching import peft_tables, saved_modules
from inspector.lora.tensor import PREFIX, AdapterTensor
from inspector.lora.token_layers import token_layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.lora.spec import LoraSpec
    from inspector.skeleton import Skeleton


def beside(skeleton: Skeleton, asked: LoraSpec, spec: LoraSpec, targeted: set[str]) -> Iterator[AdapterTensor]:
    """Every such tensor; ``asked`` is the config before PEFT converts it, ``targeted`` the modules that LoRA is on."""
    yield from _biases(skeleton, spec, targeted)
    yield from _copies(skeleton, spec)
    yield from _token_rows(skeleton, spec)
    yield from _embeddings_saved_along(skeleton, asked, targeted)


def _biases(skeleton: Skeleton, spec: LoraSpec, targeted: set[str]) -> Iterator[AdapterTensor]:
    """Biases that ``bias`` unfreezes: all of the model, or those of the adapted modules; and those it only saves."""
    if spec.bias == "none":
        return
    copied = [module.path for module in saved_modules(skeleton, spec)]
    # What a copy was made of trains no more, nor what is tied to it.
    frozen = {tensor.name for tensor in skeleton.tensors if _below(tensor.owner, copied)}
    frozen |= {tensor.tied_to for tensor in skeleton.tensors if tensor.name in frozen and tensor.tied_to}
    rows = token_layers(skeleton, spec)
    for tensor in skeleton.tensors:
        owner, dtype = tensor.owner, tensor.loaded_dtype(spec.base_dtype)
        if not tensor.is_parameter or not tensor.name.endswith(".bias"):
            continue
        # PEFT has moved a targeted module there, below the layer that took its place.
        place, dtypes = f"{owner}.base_layer" if owner in targeted else owner, list[str]()
        if owner in rows and spec.bias == "all" and owner in copied:
            inner = f"{owner}.token_adapter.base_layer"
            places, dtypes = [f"{inner}.modules_to_save", f"{inner}.original_module"], [spec.adapter_dtype, dtype]
        elif owner in rows:
            # The layer of its rows is a tuner's layer too, so its bias is saved, whatever is on it.
            places = [f"{place}.token_adapter.base_layer"]
        elif spec.bias == "all" and (of := _below(owner, copied)):
            # Of a copy and of what it was made of the bias is saved, beside the copy's own.
            places = [f"{of}.{name}{owner[len(of) :]}" for name in ("modules_to_save", "original_module")]
        elif spec.bias == "all" or owner in targeted:
            places = [place]
        else:
            continue
        # All are walked over once, a target's own whatever it is tied to.
        once = tensor.tied_to is None and tensor.name not in frozen if spec.bias == "all" else owner in targeted
        for name, kept in zip(places, dtypes or [dtype] * len(places), strict=True):
            yield AdapterTensor(f"{PREFIX}{name}.bias", tensor.shape, kept, owner, trainable=once, new=False)


def _below(owner: str, paths: list[str]) -> str:
    """The first of some modules that a module is, or lies below; "" for none."""
    return next((path for path in paths if owner == path or owner.startswith(f"{path}.")), "")


def _copies(skeleton: Skeleton, spec: LoraSpec) -> Iterator[AdapterTensor]:
    """Whole copies of ``modules_to_save``, trained and saved in the base model's dtype; a tied head gets its own."""
    rows = token_layers(skeleton, spec)
    for module in saved_modules(skeleton, spec):
        for tensor in skeleton.tensors:
            if tensor.is_parameter and tensor.name.startswith(f"{module.path}."):
                name, dtype = tensor.name, tensor.loaded_dtype(spec.base_dtype)
                if module.path in rows:
                    # A layer of rows lies around the copy, and makes all that trains in it an adapter's dtype.
                    leaf = name[len(module.path) :]
                    name, dtype = f"{module.path}.token_adapter.base_layer{leaf}", spec.adapter_dtype
                yield AdapterTensor(f"{PREFIX}{name}", tensor.shape, dtype, module.path)


def _token_rows(skeleton: Skeleton, spec: LoraSpec) -> Iterator[AdapterTensor]:
    """The rows of ``trainable_token_indices``: a layer's own, and shared by what is tied to it."""
    first = {tensor.owner: tensor for tensor in reversed(skeleton.tensors) if tensor.is_parameter}
    for path, indices in token_layers(skeleton, spec).items():
        if not indices:
            continue
        weight = first.get(path)
        if weight is None or len(weight.shape) != 2 or max(indices) >= weight.shape[0]:
            rows = f"its weight is {weight.shape}" if weight else "it has no weight"
            raise InspectorError(f"{path} has no token {max(indices):,}", hint=f"{rows}; say others")
        name = f"{PREFIX}{path}.token_adapter.trainable_tokens_delta"
        yield AdapterTensor(name, (len(indices), weight.shape[1]), spec.adapter_dtype, path)


def _embeddings_saved_along(skeleton: Skeleton, asked: LoraSpec, targeted: set[str]) -> Iterator[AdapterTensor]:
    """Base weights PEFT writes into the file when an embedding is targeted (``save_embedding_layers="auto"``)."""
    names = peft_tables()["embedding_layer_names"]
    # By names alone, as in PEFT (save_and_load.py, `get_peft_model_state_dict`): with all-linear it does not look.
    if isinstance(asked.target_modules, str):
        named = asked.target_modules.lower() != "all-linear" and any(
            path.rpartition(".")[2] in names for path in targeted
        )
    else:
        named = any(name in names for name in asked.target_modules)
    # Rows are trained to save a whole table's place, so PEFT writes none (`using_trainable_tokens`).
    if not named or asked.trainable_token_indices:
        yield from _resized_embeddings(skeleton, asked)
        return
    for path in (skeleton.facts.input_embeddings, skeleton.facts.output_embeddings):
        for tensor in skeleton.tensors if path in targeted else ():
            leaf = tensor.name.rpartition(".")[2]
            # A head's bias too; where biases train it is in the file already.
            if tensor.owner == path and tensor.is_parameter and (leaf != "bias" or asked.bias == "none"):
                dtype = tensor.loaded_dtype(asked.base_dtype)
                name = f"{PREFIX}{path}.base_layer.{leaf}"
                yield AdapterTensor(name, tensor.shape, dtype, path, trainable=False, new=False)


def _resized_embeddings(skeleton: Skeleton, asked: LoraSpec) -> Iterator[AdapterTensor]:
    """Embedding and head of a resized vocabulary, which PEFT writes into the file too: no base model has such rows.

    Of one that is copied whole, both the copy and the original, beside the copy under its own name.
    """
    if skeleton.facts.resized_from in {0, skeleton.facts.vocab_size}:
        return
    copied = {module.path for module in saved_modules(skeleton, asked)}
    for path in dict.fromkeys((skeleton.facts.input_embeddings, skeleton.facts.output_embeddings)):
        for tensor in skeleton.tensors:
            if path and tensor.owner == path and tensor.is_parameter:
                leaf = tensor.name.rpartition(".")[2]
                for inner in ("modules_to_save.", "original_module.") if path in copied else ("",):
                    name, dtype = f"{PREFIX}{path}.{inner}{leaf}", tensor.loaded_dtype(asked.base_dtype)
                    yield AdapterTensor(name, tensor.shape, dtype, path, trainable=False, new=False)

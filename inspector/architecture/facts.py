"""The facts of a config under one name each, through transformers' own attribute maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.architecture.classes import is_auto
from inspector.architecture.own_code import is_trusted, said_classes
from inspector.architecture.quantizers import unknown_method
from inspector.architecture.ties import TIE_DOUBT, are_known, notes_on_ties
from inspector.skeleton import ConfigFacts
from inspector.skeleton.skeleton import OF_THE_ARCHITECTURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from transformers import PretrainedConfig, PreTrainedModel

_NUM_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_EXPERTS_PER_TOKEN = (
    "num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk", "moe_k", "top_k_experts",
)  # fmt: skip


def language_config(config: PretrainedConfig) -> PretrainedConfig:
    """The part of a config that is the language model's, or its decoder's; the whole where it has no such part."""
    return config.get_text_config(decoder=True)


def read_facts(config: PretrainedConfig, model: PreTrainedModel, dtype: str, quantization: str) -> ConfigFacts:
    """Facts of the language model in a config; ``dtype`` is the one the checkpoint is published in."""
    text = language_config(config)
    heads = _number(text, "num_attention_heads")
    hidden = _number(text, "hidden_size", "d_model")
    embeddings, head = _embeddings(model)
    return ConfigFacts(
        model_type=config.model_type,
        dtype=dtype,
        hidden_size=hidden,
        intermediate_size=_number(text, "intermediate_size", "ffn_dim", "d_ff") or _gpt_inner(text, hidden),
        # Two names each, or more: not every class maps its own to the usual one.
        num_layers=_number(text, "num_hidden_layers", "num_layers"),
        num_attention_heads=heads,
        num_key_value_heads=_number(text, "num_key_value_heads", "num_kv_heads") or heads,
        head_dim=_number(text, "head_dim") or (hidden // heads if heads else 0),
        vocab_size=_number(text, "vocab_size"),
        context_length=_number(text, "max_position_embeddings", "n_positions", "max_sequence_length"),
        num_experts=(experts := _number(text, *_NUM_EXPERTS)),
        experts_per_token=_number(text, *_EXPERTS_PER_TOKEN) if experts else 0,
        hidden_act=str(getattr(text, "hidden_act", None) or getattr(text, "hidden_activation", None) or ""),
        input_embeddings=embeddings,
        output_embeddings=head,
        quantization=quantization,
    )


def notes_on(
    raw: Mapping[str, Any], config: PretrainedConfig, quantization: str, model: PreTrainedModel
) -> tuple[str, ...]:
    """Doubts that belong to every number: what the config leaves to transformers, and what it was not read for."""
    said = [*_class_notes(raw, config, type(model)), *_tie_notes(raw, config, model)]
    if missing := _left_to_defaults(raw, config):
        said.append(f"not in the config, so transformers' defaults: {', '.join(missing)}")
    if quantization:
        # Another library's format, which transformers refuses for want of a method (`get_hf_quantizer`).
        meant = unknown_method(quantization)
        other = "" if meant is None else ", which transformers does not load" + (f" ({meant})" if meant else "")
        said.append(f"the checkpoint is published in {quantization}{other}{OF_THE_ARCHITECTURE}")
    elif raw.get("quantization_config"):
        said.append(f"quantization_config names no quant_method, so transformers does not load it{OF_THE_ARCHITECTURE}")
    return tuple(said)


def _class_notes(raw: Mapping[str, Any], config: PretrainedConfig, cls: type[PreTrainedModel]) -> Iterator[str]:
    """Where the class that was built is not simply the one the config names, as its type."""
    wanted, named = raw.get("model_type"), raw.get("architectures")
    if is_trusted(raw):
        yield f"built by the model's own code, which was trusted: {cls.__name__}"
        return
    if wanted != config.model_type:
        yield f"transformers knows no {wanted!r}; read as {config.model_type}, the type of the {cls.__name__} it names"
    if brought := said_classes(raw):
        yield f"the model brings its own code ({brought}), which was not run: this is transformers' {cls.__name__}"
    if not isinstance(named, list) or not (cls.__name__ in named or any(map(is_auto, named))):
        wrong = named[0] if isinstance(named, list) and named else None
        other = f"names {wrong!s:.60}, which transformers does not have for it" if wrong else "names no class"
        yield f"the config {other}: built as {cls.__name__}, the usual one of its type"


def _tie_notes(raw: Mapping[str, Any], config: PretrainedConfig, model: PreTrainedModel) -> Iterator[str]:
    """Whether the head is tied is in doubt where a wrapper ties by default and its language model's type does not.

    Mistral-Small-3.1 is published so, with a head of its own: transformers unties it when it finds both in the files.
    """
    yield from notes_on_ties(model)
    if are_known(config):
        return
    text = language_config(config)
    named = [raw, *(part for part in raw.values() if isinstance(part, dict))]
    # Said anywhere in the config it is no doubt; a config without parts has no second default.
    if text is config or any("tie_word_embeddings" in part for part in named):
        return
    try:
        head, usual = model.get_output_embeddings(), type(text)().tie_word_embeddings
        tied = head is not None and head.weight is model.get_input_embeddings().weight
    except Exception:  # noqa: BLE001 -- a type without such a head, or without defaults: no doubt to be had
        return
    if tied and not usual:
        whole = sum(parameter.numel() for parameter in model.parameters()) + head.weight.numel()
        yield (
            f"{TIE_DOUBT}: {config.model_type} ties it by default, "
            f"{text.model_type} does not; with a head of its own it has {whole:,} parameters"
        )


def _left_to_defaults(raw: Mapping[str, Any], config: PretrainedConfig) -> list[str]:
    """Deciding sizes that the language model's part of the config does not name, each with the value it got."""
    text = language_config(config)
    parts = [raw, *(part for part in raw.values() if isinstance(part, dict))]
    missing = []
    # The five that decide most of a model's size; every other default is the class's own.
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        value = _value(text, name)
        names = {name, text.attribute_map.get(name, name)}
        if isinstance(value, int) and not any(alias in part for part in parts for alias in names):
            missing.append(f"{name} {value:,}")
    return missing


def _number(config: PretrainedConfig, *names: str) -> int:
    values = (_value(config, name) for name in names)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), 0)


def _value(config: PretrainedConfig, name: str) -> Any:
    """A field; where it varies from layer to layer, transformers refuses one answer: that of the most layers."""
    try:
        return getattr(config, name, None)
    except Exception:  # noqa: BLE001 -- AmbiguousGlobalPerLayerAttributeError; properties of configs may raise anything
        values = [getattr(layer, name, None) for layer in config.per_layer_config]
        return max(values, key=values.count)


def _gpt_inner(text: PretrainedConfig, hidden: int) -> int:
    """GPT-2 and BLOOM leave the MLP's width unsaid: four times the hidden size."""
    return 4 * hidden if text.model_type in {"gpt2", "bloom", "falcon", "gpt_neo", "gptj", "codegen"} else 0


def _embeddings(model: PreTrainedModel) -> tuple[str, str]:
    """Paths of the input and output embeddings, as the model itself answers; empty where it has none."""

    def path_of(module: object, named: Iterable[tuple[str, object]]) -> str:
        return next((path for path, candidate in named if candidate is module), "") if module is not None else ""

    try:
        embeddings = model.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        embeddings = None
    return path_of(embeddings, model.named_modules()), path_of(model.get_output_embeddings(), model.named_modules())

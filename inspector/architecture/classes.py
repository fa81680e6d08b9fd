"""Which transformers class a config is for: the one it names, else the one of its type. Imports transformers."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from inspector.architecture.own_code import own_model_class
from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PretrainedConfig, PreTrainedModel

_TELLING = (
    "IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM", "SPEECH_SEQ_2_SEQ", "TEXT_TO_WAVEFORM", "TEXT_TO_SPECTROGRAM",
    "SEQ_TO_SEQ_CAUSAL_LM", "MASKED_LM", "CAUSAL_LM",
)  # fmt: skip
"""Auto mappings whose heads belong to the architecture, the most telling first: whole multimodal models before their
language models, a masked-LM head before a causal one (an encoder that can also decode). Then the base model; heads of a
task (labels, boxes) come last, for the types that have no base model."""


def model_class(config: PretrainedConfig) -> type[PreTrainedModel]:
    """The class that the config names, or the right one of its type when it names none of that type.

    ``architectures`` wins over the Auto classes because these reject Mistral3 and build Llama-4 as text only. Where the
    user trusts the model's own code, that comes first.

    Raises InspectorError when transformers has no class for the type.
    """
    chosen: type[PreTrainedModel] | None = own_model_class(config) or named_class(config)
    chosen = chosen or next((classes[0] for _auto, classes in classes_of(config)), None)
    chosen = chosen or next(iter(_classes_beside(config)), None)
    if chosen is not None:
        return chosen
    import transformers

    raise InspectorError(
        f"transformers {transformers.__version__} has no model class for {config.model_type!r}",
        hint="it is the config of a part, built only inside its whole model; or a newer transformers has a class",
    )


def named_class(config: PretrainedConfig) -> Any:
    """The first of ``architectures`` that is a transformers model for this type of config; else None.

    An Auto class may stand there too (``AutoModel``): whoever loads a part of a larger model chooses by it.
    """
    import transformers

    names = config.architectures if isinstance(config.architectures, list) else []
    for name in names:
        mapping = getattr(getattr(transformers, name, None), "_model_mapping", None) if is_auto(name) else None
        if mapping is not None and type(config) in mapping:
            found = mapping[type(config)]
            return found[0] if isinstance(found, (list, tuple)) else found
        model = transformers_class(name)
        if model is not None and isinstance(config, model.config_class):
            return model
    return None


def is_auto(name: object) -> bool:
    """Whether a name is that of an Auto class of models."""
    return isinstance(name, str) and name.startswith("AutoModel")


def transformers_class(name: object) -> type[PreTrainedModel] | None:
    """A model class that transformers exports by that name, else None; an abstract base, without layers, is none."""
    import transformers

    found: Any = getattr(transformers, name, None) if isinstance(name, str) else None
    is_model = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
    # A family's base (LlamaPreTrainedModel) has a config, and nothing that makes layers of it.
    makes = is_model and found.__init__ is not transformers.PreTrainedModel.__init__
    return found if makes and getattr(found, "config_class", None) is not None else None


def classes_of(config: PretrainedConfig) -> Iterator[tuple[str, list[type[PreTrainedModel]]]]:
    """Auto mappings that know the type of a config, the most telling first, each with its classes."""
    from transformers.models.auto import modeling_auto as auto

    # An encoder that its config makes a decoder (BERT, Reformer) has the causal head and not the masked one.
    decoder = getattr(config, "is_decoder", False) is True and not getattr(config, "is_encoder_decoder", False)
    first = [f"MODEL_FOR_{name}_MAPPING" for name in _TELLING if not (decoder and name == "MASKED_LM")]
    rest = sorted(name for name in vars(auto) if name.startswith("MODEL_FOR_") and name.endswith("_MAPPING"))
    for name in dict.fromkeys((*first, "MODEL_MAPPING", *rest)):
        mapping = getattr(auto, name)
        if type(config) in mapping:
            found = mapping[type(config)]
            yield name, list(found) if isinstance(found, (list, tuple)) else [found]


def _classes_beside(config: PretrainedConfig) -> list[Any]:
    """Models of a config that no Auto class knows (parts of a whole): those whose config it is, ``...Model`` first."""
    import importlib

    import transformers

    # Only where transformers keeps both side by side: code from elsewhere is not imported by guessing its name.
    home = type(config).__module__
    if not home.startswith("transformers.models."):
        return []
    name = home.replace(".configuration_", ".modeling_")
    try:
        classes: list[Any] = [cls for _, cls in inspect.getmembers(importlib.import_module(name), inspect.isclass)]
    except ModuleNotFoundError:  # a config without a model, used by other models
        return []
    found = [
        cls
        for cls in classes
        if issubclass(cls, transformers.PreTrainedModel)
        and cls.__module__ == name
        and cls.config_class is type(config)
        and not cls.__name__.endswith("PreTrainedModel")
        # It says so itself, as an attribute or as `config: XConfig`: else it has its whole model's config.
        and ("config_class" in vars(cls) or "config" in inspect.get_annotations(cls))
    ]
    # ...Model is the whole part; others of a module put heads on it.
    return sorted(found, key=lambda cls: not cls.__name__.endswith("Model"))

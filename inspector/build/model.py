"""A config as the real transformers model, with shapes and no weights. Imports torch and transformers."""

from __future__ import annotations

import contextlib
import copy
import warnings
from typing import TYPE_CHECKING, Any

from inspector.build.bounds import bounded
from inspector.build.sanity import check_sizes
from inspector.errors import InspectorError, UnknownArchitectureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transformers import PretrainedConfig, PreTrainedModel


def build_config(config: Mapping[str, Any]) -> PretrainedConfig:
    """The transformers config object of a ``config.json``.

    Raises InspectorError for an unknown ``model_type``, absurd sizes, or fields transformers refuses.
    """
    check_sizes(config)  # before the libraries are imported: absurd sizes are refused at once
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise InspectorError("the config names no model_type", hint="is this the config.json of a transformers model?")

    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING:
        raise _unknown_architecture(model_type, list(CONFIG_MAPPING))
    with _quiet(), _config_mistakes(model_type):
        return CONFIG_MAPPING[model_type].from_dict(copy.deepcopy(dict(config)))


def model_class(config: PretrainedConfig) -> type[PreTrainedModel]:
    """The transformers class that the config names, or the right Auto class of its type when it names none.

    ``architectures`` wins over the Auto classes because these reject Mistral3 and build Llama-4 as text only.
    """
    import transformers

    named_classes = config.architectures if isinstance(config.architectures, list) else []
    for name in named_classes:
        named = getattr(transformers, name, None) if isinstance(name, str) else None
        if isinstance(named, type) and issubclass(named, transformers.PreTrainedModel):
            model: type[PreTrainedModel] = named
            if model.config_class is not None:  # the abstract base has none
                return model
    for mapping in _auto_classes():
        if type(config) in mapping:
            found: type[PreTrainedModel] = _first(mapping[type(config)])
            return found
    raise InspectorError(
        f"transformers {transformers.__version__} has no model class for {config.model_type!r}",
        hint="a newer transformers may have one",
    )


def _auto_classes() -> tuple[Any, ...]:
    """Auto mappings, the most telling first: a type with a masked-LM head is an encoder even if it can also decode."""
    from transformers.models.auto import modeling_auto as auto

    return (
        auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING,
        auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
        auto.MODEL_FOR_MASKED_LM_MAPPING,
        auto.MODEL_FOR_CAUSAL_LM_MAPPING,
        auto.MODEL_MAPPING,
    )


def build_model(config: Mapping[str, Any] | PretrainedConfig, dtype: str = "float32") -> PreTrainedModel:
    """The real model on the meta device, as ``from_pretrained(..., dtype=dtype)`` would shape it.

    Args:
        config: the content of a ``config.json``, or a transformers config.
        dtype: torch's name for the dtype to load in, such as ``bfloat16``.

    Raises:
        InspectorError: when the config is unusable; nothing is allocated before its sizes were checked.
    """
    import torch

    parsed: Any = config if hasattr(config, "to_dict") else build_config(config)
    if hasattr(parsed, "quantization_config"):
        # from_config ignores it anyway, and some configs of quantized checkpoints then warn or fail.
        del parsed.quantization_config
    cls = model_class(parsed)
    with _quiet(), _config_mistakes(parsed.model_type), bounded(), torch.device("meta"):
        return cls._from_config(parsed, dtype=getattr(torch, dtype))


def _first(cls: Any) -> Any:
    return cls[0] if isinstance(cls, (list, tuple)) else cls


def _unknown_architecture(model_type: str, known: list[str]) -> UnknownArchitectureError:
    import difflib

    import transformers

    close = difflib.get_close_matches(model_type, known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "a newer transformers may know it"
    message = f"transformers {transformers.__version__} knows no architecture {model_type!r}"
    return UnknownArchitectureError(message, hint=hint)


@contextlib.contextmanager
def _config_mistakes(model_type: str) -> Iterator[None]:
    """A config that its own class refuses is the user's input, not our bug: say what the class said, in one line."""
    try:
        yield
    except InspectorError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise InspectorError(f"this {model_type} config cannot be built: {said}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No advice from transformers while building: it is about running a model, and goes to stderr."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)

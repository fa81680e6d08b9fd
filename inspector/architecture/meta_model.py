"""A config as the real transformers model, with shapes and no weights. Imports torch and transformers."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inspector.architecture.at_odds import at_odds
from inspector.architecture.classes import model_class, transformers_class
from inspector.architecture.error_origin import is_of_the_model
from inspector.architecture.libraries import does_not_import, need
from inspector.architecture.limits import bounded
from inspector.architecture.no_number import no_number
from inspector.architecture.offline import closed, without_runtime
from inspector.architecture.own_code import is_trusted, own_config, said_classes
from inspector.architecture.own_random import own_random_numbers
from inspector.architecture.quiet import quiet
from inspector.architecture.resized import resize, vocabulary_of
from inspector.architecture.sanity import check_sizes
from inspector.architecture.ties import assume_own_head, untie
from inspector.architecture.unknown_words import unknown_word
from inspector.errors import InspectorError, UnknownArchitectureError, closest, in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PretrainedConfig, PreTrainedModel


def build_config(config: Mapping[str, Any]) -> PretrainedConfig:
    """The transformers config object of a ``config.json``.

    A type that transformers does not know is read as that of the class in ``architectures``, where it has that class
    (Kimi K2 is DeepSeek-V3 under a name of its own). A config without a type, but with such a class, likewise.

    Raises InspectorError for an unknown ``model_type``, absurd sizes, or fields transformers refuses.
    """
    check_sizes(config)  # before the libraries are imported: absurd sizes are refused at once
    need("torch", "transformers")
    parsed = _parsed(config)
    assume_own_head(parsed, config)
    return parsed


def _parsed(config: Mapping[str, Any]) -> PretrainedConfig:
    said = config.get("model_type")
    model_type = said if isinstance(said, str) else ""
    content = without_runtime(copy.deepcopy(dict(config)))
    with _fenced(model_type, config):
        if is_trusted(config) and (own := own_config(content)):
            return own

        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

        if model_type in CONFIG_MAPPING:
            return CONFIG_MAPPING[model_type].from_dict(content)
        if stand_in := _stand_in(config):
            return stand_in.from_dict({**content, "model_type": stand_in.model_type})
    if not model_type:
        own = (
            "a diffusers model: point at its folder" if "_class_name" in config else "is it a transformers config.json?"
        )
        raise InspectorError("the config names no model_type", hint=own)
    raise _unknown_architecture(config, model_type, list(CONFIG_MAPPING))


def _stand_in(config: Mapping[str, Any]) -> type[PretrainedConfig] | None:
    """The config class of the first of ``architectures`` that transformers has; its own code must not say otherwise."""
    named, brought = config.get("architectures"), said_classes(config)
    names = [name for name in named if not brought or name in brought.split(", ")] if isinstance(named, list) else []
    models = [transformers_class(name) for name in names]
    return next((model.config_class for model in models if model is not None), None)


def build_model(
    config: Mapping[str, Any] | PretrainedConfig, dtype: str = "float32", *, said: Mapping[str, Any] | None = None
) -> PreTrainedModel:
    """The real model on the meta device, as ``from_pretrained(..., dtype=dtype)`` would shape it.

    Args:
        config: the content of a ``config.json``, or a transformers config.
        dtype: torch's name for the dtype to load in, such as ``bfloat16``.
        said: what a transformers config was parsed from, whose fields an error names.

    Raises:
        InspectorError: when the config is unusable; nothing is allocated before its sizes were checked.
    """
    need("torch", "transformers")
    import torch

    from inspector.architecture.default_dtype import own_default_dtype

    parsed: Any = config if hasattr(config, "to_dict") else build_config(config)
    if hasattr(parsed, "quantization_config"):
        # from_config ignores it anyway, and some configs of quantized checkpoints then warn or fail.
        del parsed.quantization_config
    if said is None:
        said = config if isinstance(config, Mapping) else parsed.to_dict()
    vocabulary = vocabulary_of(parsed)
    if vocabulary:
        # Resizing writes the new size into the model's config, which is the very object: a second build starts anew.
        parsed = copy.deepcopy(parsed)
    with _fenced(parsed.model_type, said), bounded(), own_default_dtype():
        cls = model_class(parsed)
        with torch.device("meta"):
            model = cls._from_config(parsed, dtype=getattr(torch, dtype))
    if not hasattr(model, "all_tied_weights_keys"):  # a few parts of models never call post_init, which sets it
        model.all_tied_weights_keys = {}
    _without_data(model)
    untie(model)
    if vocabulary:
        with _fenced(parsed.model_type, said), own_default_dtype(), torch.device("meta"):
            resize(model, vocabulary)
    return model


def _without_data(model: PreTrainedModel) -> None:
    """Parameters that ``torch.FloatTensor(...)`` makes are on the CPU whatever the device is (XLNet, ImageGPT)."""
    import torch

    moved: dict[int, Any] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and not parameter.is_meta:
                fresh = torch.nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
                module._parameters[name] = moved.setdefault(id(parameter), fresh)  # a tied one stays one


def _unknown_architecture(config: Mapping[str, Any], model_type: str, known: list[str]) -> UnknownArchitectureError:
    import transformers

    message = f"transformers {transformers.__version__} knows no architecture {model_type!r}"
    if brought := said_classes(config):
        return UnknownArchitectureError(
            f"{message}; the model brings its own code ({brought}), which was not run",
            hint="read that code; if you trust it, --trust-remote-code runs it",
        )
    # Three, so that the line stays a line.
    close = closest(model_type, known, most=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "a newer transformers may know it"
    return UnknownArchitectureError(message, hint=hint)


@contextlib.contextmanager
def _fenced(model_type: str, config: Mapping[str, Any]) -> Iterator[None]:
    """The libraries' code, quiet, without a network or the caller's random numbers; what they refuse is one line."""
    with quiet(), closed(), own_random_numbers(), config_mistakes(model_type, config):
        yield


@contextlib.contextmanager
def config_mistakes(model_type: str, config: Mapping[str, Any]) -> Iterator[None]:
    """A config that its own class refuses is the user's input, not our bug: say what the class said, in one line.

    Of a word that is not known: which field of ``config`` says it, and what is known.
    """
    try:
        yield
    except InspectorError:
        raise
    except Exception as error:
        said = in_one_line(error)
        # First, for it is huggingface_hub that refuses, wherever a config led it.
        if "offline mode is enabled" in said:
            raise InspectorError(
                f"this {model_type} config names a part on the hub, which building a skeleton does not fetch",
                hint="write the part's config into it, as backbone_config",
            ) from error
        if not is_of_the_model(error):
            raise
        needed = re.search(r"requires the (\S+) library|following packages? .*: ([\w, -]+)|named '(\w+)", said)
        if isinstance(error, ImportError) and needed:
            name = next(filter(None, needed.groups()))
            raise InspectorError(
                f"this {model_type} model needs {name.partition('. ')[0]}, which is not installed",
                hint="install it beside Inspector",
            ) from error
        if isinstance(error, ImportError) or said.startswith("Failed to import"):  # transformers imports as it goes
            raise does_not_import("transformers", error) from error
        if word := unknown_word(error, config):
            raise InspectorError(f"this {model_type} config cannot be built: {word.message}", hint=word.hint) from error
        if fields := no_number(error, config):
            raise InspectorError(
                f"this {model_type} config cannot be built: {fields}", hint=f"its class says: {said[:120]}"
            ) from error
        if fields := at_odds(error, config):
            raise InspectorError(
                f"this {model_type} config cannot be built: {fields}", hint="mend the config.json"
            ) from error
        # What transformers' checks of a config put before what they have found.
        said = re.sub(r"^Class validation error for validator '\w+': \w+: ", "", said)
        raise InspectorError(f"this {model_type} config cannot be built: {said}") from error

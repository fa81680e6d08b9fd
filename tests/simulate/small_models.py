"""A small valid config for every type of model that transformers knows, by the class that a task's Auto class names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulate.families import OVERRIDES

if TYPE_CHECKING:
    from collections.abc import Iterator

LAYERS = 4
_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers",
           "num_decoder_layers", "num_sparse_encoder_layers", "num_sparse_decoder_layers")  # fmt: skip


def classes_by_task() -> Iterator[tuple[str, str, str]]:
    """Task, model type and class of every ``MODEL_FOR_..._MAPPING``, in their order."""
    from transformers.models.auto import modeling_auto as auto

    for name in sorted(vars(auto)):
        if name.startswith("MODEL_FOR_") and name.endswith("_MAPPING_NAMES"):
            for model_type, classes in getattr(auto, name).items():
                for cls in classes if isinstance(classes, list | tuple) else [classes]:
                    yield name.removeprefix("MODEL_FOR_").removesuffix("_MAPPING_NAMES"), model_type, cls


def small_config(model_type: str, cls: str) -> dict[str, Any]:
    """The type's default config, of four layers a stack where such a config is one, that names the class."""
    from inspector.architecture import build_config, build_model
    from inspector.errors import InspectorError

    whole = _default(model_type, cls)
    cut = _default(model_type, cls)
    _cut(cut)
    try:
        build_model(build_config(cut))
    except InspectorError:
        return whole
    return cut


def _default(model_type: str, cls: str) -> dict[str, Any]:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[model_type](**OVERRIDES.get(model_type, {}), **TASKS.get(cls, {}))
    return {**config.to_dict(), "architectures": [cls]}


TASKS: dict[str, dict[str, Any]] = {
    "Wav2Vec2ConformerForCTC": {"vocab_size": 32},
    "Wav2Vec2BertForCTC": {"vocab_size": 32},
    **{f"Blip2For{what}": {"image_token_index": 30000} for what in ("ConditionalGeneration", "ImageTextRetrieval")},
    "ReformerForQuestionAnswering": {"is_decoder": False, "axial_pos_shape": [8, 4]},
    "ReformerModelWithLMHead": {"axial_pos_shape": [8, 4]},
}
"""Fields without which the default config of a type is none for the class."""


def _cut(config: dict[str, Any]) -> None:
    for inner in config.values():
        if isinstance(inner, dict):
            _cut(inner)
    for name in _COUNTS:
        before = config.get(name)
        if isinstance(before, int) and before > LAYERS:
            config[name] = LAYERS
            for key, value in config.items():
                if isinstance(value, list) and len(value) == before:
                    config[key] = _kinds_first(value)


def _kinds_first(values: list[Any]) -> list[Any]:
    """As many entries of a list with one for each layer, every kind among them and the last one in its place."""
    kinds = [*dict.fromkeys(value for value in values[:-1] if isinstance(value, str) and value != values[-1])]
    first = (kinds + values)[: LAYERS - 1]
    return [*first, values[-1]]

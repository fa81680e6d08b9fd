"""What a model looks at: token ids, an image, sound, in the size that its processor makes, which the config knows."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from inspector.errors import CannotSimulateError
from inspector.skeleton.tasks import head_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from transformers import PretrainedConfig, PreTrainedModel

    from inspector.simulate.setup.training import BatchSetup

    Shape = tuple[int, ...]

CHOICES = 4
"""Answers of a multiple-choice question, as in SWAG and RACE; no config says it."""

_IMAGE = 224
"""Pixels of an image's side where a config has none (ResNet): what image processors crop to by default."""


@dataclass(frozen=True, slots=True)
class Input:
    """One tensor of a batch."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.int64


def main_input(model: PreTrainedModel) -> str:
    """The name of what a model looks at: token ids wherever it takes them, as a model for images in a text does too."""
    return "input_ids" if "input_ids" in taken(model) else str(model.main_input_name)


def reads_tokens(model: PreTrainedModel) -> bool:
    """Whether a model's input is token ids, and not an image or sound."""
    return main_input(model) == "input_ids"


def taken(model: PreTrainedModel) -> Mapping[str, inspect.Parameter]:
    """What a model's forward takes, by name."""
    return inspect.signature(model.forward).parameters


def is_encoder_decoder(model: PreTrainedModel) -> bool:
    """Whether a model answers what an encoder of its own has read."""
    return bool(getattr(model.config, "is_encoder_decoder", False))


def contrasts(model: PreTrainedModel) -> bool:
    """Whether a model tells which text belongs to which image or sound of a batch: CLIP, SigLIP and their like."""
    return {"input_ids", "return_loss"} <= taken(model).keys()


def text_length(model: PreTrainedModel, batch: BatchSetup) -> int:
    """Tokens of a text: as said; beside an image, at most what the model's processor cuts it to."""
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None) if contrasts(model) else None
    return min(batch.seq_len, most) if isinstance(most, int) else batch.seq_len


def looked_at(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    """What the model looks at. Raises CannotSimulateError for an input that no config sizes."""
    name = main_input(model)
    if name == "input_ids":
        shape: Shape = (batch.size, text_length(model, batch))
        if head_of(type(model).__name__) == "MultipleChoice":
            shape = (batch.size, CHOICES, batch.seq_len)
        found = {name: Input(shape)}
        if batch.padding_mask:
            found["attention_mask"] = Input(shape)
        if batch.packed:
            found["position_ids"] = Input(shape)
        others = ("pixel_values", "input_features") if contrasts(model) else ()
        return found | {other: _processed(model, other, batch) for other in others if other in taken(model)}
    return {name: _processed(model, name, batch)}


def _processed(model: PreTrainedModel, name: str, batch: BatchSetup) -> Input:
    config = model.config
    for wanted, fields, shape_of in _PROCESSED:
        # The model's own, or of the part that it looks with.
        part = _part_with(config, fields) if wanted == name else None
        if part is not None:
            return Input(shape_of(part, batch), torch.float32)
    raise CannotSimulateError(
        f"{type(model).__name__} takes {name}, and its config does not say how large its processor makes them"
    )


def _part_with(config: PretrainedConfig, fields: Iterable[str]) -> PretrainedConfig | None:
    parts = (config, *(getattr(config, name, None) for name in ("vision_config", "audio_config", "encoder")))
    return next(
        (part for part in parts if part is not None and all(getattr(part, name, None) for name in fields)), None
    )


def _mel(config: Any, batch: BatchSetup) -> Shape:
    # The encoder halves the frames (its second convolution), and refuses any other number of them.
    return batch.size, config.num_mel_bins, 2 * config.max_source_positions


def _waves(config: Any, batch: BatchSetup) -> Shape:
    # Sound has no length of its own: as many frames as a text would have tokens, each of so many samples.
    return batch.size, batch.seq_len * prod(config.conv_stride)


def _spectrogram(config: Any, batch: BatchSetup) -> Shape:
    return batch.size, config.max_length, config.num_mel_bins


def _filterbanks(config: Any, batch: BatchSetup) -> Shape:
    return batch.size, batch.seq_len, config.input_feat_per_channel * config.input_channels


def _stacked(config: Any, batch: BatchSetup) -> Shape:
    return batch.size, batch.seq_len, config.feature_projection_input_dim


def sides(config: Any) -> Shape:
    """Height and width of an image, in pixels."""
    size = getattr(config, "image_size", None) or _IMAGE
    return (size, size) if isinstance(size, int) else tuple(size)


def _image(config: Any, batch: BatchSetup) -> Shape:
    return batch.size, getattr(config, "num_channels", 3), *sides(config)


def _video(config: Any, batch: BatchSetup) -> Shape:
    return batch.size, config.num_frames, getattr(config, "num_channels", 3), *sides(config)


_PROCESSED: tuple[tuple[str, tuple[str, ...], Callable[[Any, BatchSetup], Shape]], ...] = (
    ("input_features", ("num_mel_bins", "max_source_positions"), _mel),
    ("input_features", ("input_feat_per_channel", "input_channels"), _filterbanks),
    ("input_features", ("feature_projection_input_dim",), _stacked),
    ("input_values", ("conv_stride",), _waves),
    ("input_values", ("max_length", "num_mel_bins"), _spectrogram),
    ("pixel_values", ("num_frames", "image_size"), _video),
    ("pixel_values", ("image_size",), _image),
    ("pixel_values", (), _image),
)
"""Inputs that are no text: name, the fields of a config that decide their size, and the size. The first that fits.

In order: Whisper (a fixed window), Speech2Text, Wav2Vec2-BERT; Wav2Vec2, HuBERT and WavLM; spectrogram transformers;
VideoMAE and its like; images, padded or cropped to the config's size as their processors do.
"""

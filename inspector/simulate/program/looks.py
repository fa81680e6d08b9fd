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
    from collections.abc import Callable, Collection, Iterable, Mapping

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
    if "input_ids" in taken(model):
        return "input_ids"
    # A wrapper of any encoder calls it ``inputs`` (SpeechEncoderDecoderModel), and takes it by the encoder's name.
    inner = getattr(getattr(model, "encoder", None), "main_input_name", "")
    return str(inner if inner in taken(model) else model.main_input_name)


def reads_tokens(model: PreTrainedModel) -> bool:
    """Whether a model's input is token ids, and not an image or sound."""
    return main_input(model) == "input_ids"


def taken(model: PreTrainedModel) -> Mapping[str, inspect.Parameter]:
    """What a model's forward takes, by name."""
    return inspect.signature(model.forward).parameters


def check_forward(model: PreTrainedModel) -> None:
    """Refuse a class that only keeps other models together. Raises CannotSimulateError."""
    if type(model).forward is torch.nn.Module.forward:
        parts = ", ".join(name for name, _ in model.named_children())
        raise CannotSimulateError(
            f"{type(model).__name__} has no forward: it keeps {parts} together, which are called one by one",
            hint="take the config of the part in question",
        )


def needed(model: PreTrainedModel, given: Collection[str], batch: BatchSetup) -> dict[str, Input]:
    """What a forward cannot do without and is not given yet. Raises CannotSimulateError where it has no known size."""
    check_forward(model)
    wanted = [
        name
        for name, said in taken(model).items()
        if said.default is said.empty and said.kind not in {said.VAR_POSITIONAL, said.VAR_KEYWORD} and name not in given
    ]
    if unknown := [name for name in wanted if name not in _SIZED]:
        raise CannotSimulateError(
            f"{type(model).__name__} takes {' and '.join(unknown)} as well, which is data that no config sizes"
        )
    return {name: _processed(model, name, batch) for name in wanted}


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
    found = {name: _processed(model, name, batch)}
    if name == "input_features" and _part_with(model.config, ("num_mel_bins", "subsampling_conv_stride")):
        # These processors always say which frames are padding, and their models count the others.
        found["attention_mask"] = Input(found[name].shape[:2], torch.bool)
    return found


def _processed(model: PreTrainedModel, name: str, batch: BatchSetup) -> Input:
    config = model.config
    for wanted, fields, shape_of in _PROCESSED:
        # The model's own, or of the part that it looks with.
        part = _part_with(config, fields) if wanted == name else None
        if part is not None:
            return Input(shape_of(part, batch), torch.float32)
    if name == "input_values" and (samples := _samples_a_frame(model)) > 1:
        return Input((batch.size, batch.seq_len * samples), torch.float32)
    raise CannotSimulateError(
        f"{type(model).__name__} takes {name}, and its config does not say how large its processor makes them"
    )


def _samples_a_frame(model: PreTrainedModel) -> int:
    """Of how many samples of a wave a frame is made, where no config says it (Moonshine): by the strides themselves."""
    return prod(module.stride[0] for module in model.modules() if isinstance(module, torch.nn.Conv1d))


_PARTS = ("vision_config", "audio_config", "encoder_config", "encoder")


def _part_with(config: PretrainedConfig, fields: Iterable[str]) -> PretrainedConfig | None:
    parts = (config, *(getattr(config, name, None) for name in _PARTS))
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


def _subsampled(config: Any, batch: BatchSetup) -> Shape:
    return batch.size, batch.seq_len * config.subsampling_factor, config.num_mel_bins


def _halved(config: Any, batch: BatchSetup) -> Shape:
    # Two convolutions, as Lasr's subsampling has.
    return batch.size, batch.seq_len * config.subsampling_conv_stride**2, config.num_mel_bins


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


def _clip(config: Any, batch: BatchSetup) -> Shape:
    side = config.crop_size
    return batch.size, config.frames_per_clip, getattr(config, "in_chans", 3), side, side


_PROCESSED: tuple[tuple[str, tuple[str, ...], Callable[[Any, BatchSetup], Shape]], ...] = (
    ("input_features", ("num_mel_bins", "max_source_positions"), _mel),
    ("input_features", ("input_feat_per_channel", "input_channels"), _filterbanks),
    ("input_features", ("feature_projection_input_dim",), _stacked),
    ("input_features", ("num_mel_bins", "subsampling_factor"), _subsampled),
    ("input_features", ("num_mel_bins", "subsampling_conv_stride"), _halved),
    ("input_values", ("conv_stride",), _waves),
    ("input_values", ("max_length", "num_mel_bins"), _spectrogram),
    ("pixel_values_videos", ("frames_per_clip", "crop_size"), _clip),
    ("pixel_values_videos", ("num_frames", "image_size"), _video),
    ("pixel_values", ("num_frames", "image_size"), _video),
    ("pixel_values", ("image_size",), _image),
    ("pixel_values", (), _image),
)
"""Inputs that are no text: name, the fields of a config that decide their size, and the size. The first that fits.

In order: Whisper (a fixed window), Speech2Text, Wav2Vec2-BERT, Parakeet and its like, Lasr; Wav2Vec2, HuBERT and WavLM;
spectrogram transformers; V-JEPA, VideoPrism, VideoMAE and its like; images, padded or cropped to the config's size as
their processors do.
"""

_SIZED = frozenset(name for name, _, _ in _PROCESSED)

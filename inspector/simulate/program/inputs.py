"""What a model's forward is given when it trains: tensors by name, from its signature and its config, as shapes alone.

Two questions make a batch. What does the model look at (token ids, an image, sound): that is its ``main_input_name``,
sized by what its processor makes, which the config knows. What is it told (labels): that is what its class puts on top.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.facts import language_config
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
    return "input_ids" if "input_ids" in _taken(model) else str(model.main_input_name)


def reads_tokens(model: PreTrainedModel) -> bool:
    """Whether a model's input is token ids, and not an image or sound."""
    return main_input(model) == "input_ids"


def _taken(model: PreTrainedModel) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(model.forward).parameters


def trains_next_tokens(model: PreTrainedModel) -> bool:
    """Whether the loss is that of the next token of the input itself: of a language model, not of a task's labels."""
    return reads_tokens(model) and not is_encoder_decoder(model) and head_of(type(model).__name__) not in _TOLD


def training_inputs(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    """What the forward takes for one micro-batch, by its own names.

    Raises CannotSimulateError for an input that no config sizes, a label that is no tensor, and packed sequences of
    what is no language model.
    """
    if batch.packed and not trains_next_tokens(model):
        raise CannotSimulateError(
            f"{type(model).__name__} takes no packed sequences", hint="only language models do: leave out --packed"
        )
    seen, told = looked_at(model, batch), _told(model, batch)
    if not trains_next_tokens(model):
        told = {name: value for name, value in told.items() if name in _taken(model)}
    # What it looks at, its labels, masks: in the order in which a collator makes them.
    first = main_input(model)
    return {first: seen.pop(first), **told, **seen}


def target_length(model: PreTrainedModel, batch: BatchSetup) -> int:
    """Tokens of a decoder's labels: as said, else as many as the input has and the decoder takes.

    The limit is ``max_target_positions`` of speech models, else ``max_position_embeddings`` of the decoder's config.
    """
    if batch.target_len:
        return batch.target_len
    text = language_config(model.config)
    limits = (getattr(text, name, None) for name in ("max_target_positions", "max_position_embeddings"))
    return min([batch.seq_len, *(limit for limit in limits if isinstance(limit, int) and limit > 0)])


def described(inputs: dict[str, Input]) -> str:
    """A batch in words: ``input_features 8 x 80 x 3,000, labels 8 x 448``."""
    return ", ".join(
        f"{name} {' x '.join(f'{size:,}' for size in given.shape) or 'scalar'}" for name, given in inputs.items()
    )


def is_encoder_decoder(model: PreTrainedModel) -> bool:
    """Whether a model answers what an encoder of its own has read."""
    return bool(getattr(model.config, "is_encoder_decoder", False))


def looked_at(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    """What the model looks at. Raises CannotSimulateError for an input that no config sizes."""
    name = main_input(model)
    if name == "input_ids":
        shape: Shape = (batch.size, batch.seq_len)
        if head_of(type(model).__name__) == "MultipleChoice":
            shape = (batch.size, CHOICES, batch.seq_len)
        found = {name: Input(shape)}
        if batch.padding_mask:
            found["attention_mask"] = Input(shape)
        if batch.packed:
            found["position_ids"] = Input(shape)
        return found
    config = model.config
    for wanted, fields, shape_of in _PROCESSED:
        # The model's own, or of the part that it looks with.
        part = _part_with(config, fields) if wanted == name else None
        if part is not None:
            return {name: Input(shape_of(part, batch), torch.float32)}
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


def _sides(config: Any) -> Shape:
    size = getattr(config, "image_size", None) or _IMAGE
    return (size, size) if isinstance(size, int) else tuple(size)


def _image(config: Any, batch: BatchSetup) -> Shape:
    return batch.size, getattr(config, "num_channels", 3), *_sides(config)


def _video(config: Any, batch: BatchSetup) -> Shape:
    return batch.size, config.num_frames, getattr(config, "num_channels", 3), *_sides(config)


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


def _told(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    """What the model is told: labels, as its head takes them."""
    head = head_of(type(model).__name__)
    if head in _REFUSED:
        raise CannotSimulateError(f"{type(model).__name__} trains on {_REFUSED[head]}, which no config says")
    if head in _TOLD:
        return _TOLD[head](model, batch)
    tokens = target_length(model, batch) if is_encoder_decoder(model) else batch.seq_len
    return {"labels": Input((batch.size, tokens))}


_REFUSED = {
    "CTC": "transcripts, whose lengths are data",
    "ObjectDetection": "boxes", "InstanceSegmentation": "masks", "UniversalSegmentation": "masks",
    "ImageSegmentation": "masks",
}  # fmt: skip


def _classes(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    """One label a row; a number each where it is a regression, all classes where several may hold.

    Source: transformers/loss/loss_utils.py, ``ForSequenceClassificationLoss``.
    """
    classes = int(model.config.num_labels)
    problem = getattr(model.config, "problem_type", None) or ("regression" if classes == 1 else "")
    if problem == "regression":
        return {"labels": Input((batch.size,) if classes == 1 else (batch.size, classes), torch.float32)}
    if problem == "multi_label_classification":
        return {"labels": Input((batch.size, classes), torch.float32)}
    return {"labels": Input((batch.size,))}


def _spans(_: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    return {name: Input((batch.size,)) for name in ("start_positions", "end_positions")}


def _tokens(_: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    return {"labels": Input((batch.size, batch.seq_len))}


def _rows(_: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    return {"labels": Input((batch.size,))}


def _tokens_and_rows(_: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    rows = Input((batch.size,))
    return {
        "labels": Input((batch.size, batch.seq_len)),
        "next_sentence_label": rows,
        "sentence_order_label": rows,
    }


def _pixels(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    return {"labels": Input((batch.size, *_sides(model.config)))}


_TOLD: dict[str, Callable[[PreTrainedModel, BatchSetup], dict[str, Input]]] = {
    **dict.fromkeys(
        ("SequenceClassification", "ImageClassification", "AudioClassification", "VideoClassification"), _classes
    ),
    **dict.fromkeys(("TokenClassification", "MaskedLM"), _tokens),
    **dict.fromkeys(("QuestionAnswering", "QuestionAnsweringSimple"), _spans),
    **dict.fromkeys(("MultipleChoice", "NextSentencePrediction"), _rows),
    "PreTraining": _tokens_and_rows,
    "SemanticSegmentation": _pixels,
}
"""Labels by what a class puts on its model; where nothing stands here, they are tokens."""


def settle(model: PreTrainedModel) -> tuple[str, ...]:
    """Say what everybody says before training for a task, where a config leaves it open; and what was said.

    A token that pads, which classifiers look for in a batch; the one that a decoder starts with, of the same kind; no
    layer dropped and no frame masked at random, as which one is chance.
    """
    said: list[str] = []
    if trains_next_tokens(model):
        return ()
    config = model.config
    text = language_config(config)
    for part in (config,) if text is config else (config, text):
        if getattr(part, "pad_token_id", None) is None:
            end = getattr(part, "eos_token_id", None)
            # The usual line of scripts: ``pad_token = eos_token``.
            part.pad_token_id = (end[0] if isinstance(end, list) else end) or 0
        if is_encoder_decoder(model) and getattr(part, "decoder_start_token_id", None) is None:
            part.decoder_start_token_id = part.pad_token_id
    # In the config or in the modules: some read the one and some the other.
    dropping: list[Any] = [part for part in (config, *model.modules()) if getattr(part, "layerdrop", None)]
    if dropping:
        said.append("no layer is dropped (layerdrop): which one would be is chance")
    for part in dropping:
        part.layerdrop = 0.0
    if not reads_tokens(model):
        said.append("what cuDNN takes for a convolution while it runs is not counted")
    if getattr(config, "apply_spec_augment", False):
        said.append("no frame is masked (SpecAugment): which one would be is chance")
        config.apply_spec_augment = False
    return tuple(said)

"""What a model is told: labels, as what its class puts on top takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.facts import language_config
from inspector.errors import CannotSimulateError
from inspector.simulate.program.looks import Input, contrasts, is_encoder_decoder, looked_at, main_input, sides, taken
from inspector.skeleton.tasks import head_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

    from inspector.simulate.setup.training import BatchSetup


def target_length(model: PreTrainedModel, batch: BatchSetup) -> int:
    """Tokens of a decoder's labels: as said, else as many as the input has and the decoder takes.

    The limit is ``max_target_positions`` of speech models, else ``max_position_embeddings`` of the decoder's config.
    """
    if batch.target_len:
        return batch.target_len
    text = language_config(model.config)
    limits = (getattr(text, name, None) for name in ("max_target_positions", "max_position_embeddings"))
    return min([batch.seq_len, *(limit for limit in limits if isinstance(limit, int) and limit > 0)])


def told(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    """What the model is told: labels, as its head takes them."""
    if contrasts(model):
        # The pairs are the labels: a batch is asked for its loss.
        return {"return_loss": Input((), torch.bool)}
    head = head_of(type(model).__name__)
    if head in _NO_TENSORS:
        raise CannotSimulateError(f"{type(model).__name__} trains on {_NO_TENSORS[head]}, which no config says")
    if head in TOLD:
        return TOLD[head](model, batch)
    tokens = target_length(model, batch) if is_encoder_decoder(model) else batch.seq_len
    if books := _codebooks(model):
        return _codes(model, batch, tokens, books)
    if head == "TextToSpeech" and "speaker_embeddings" in taken(model):
        raise CannotSimulateError(
            f"{type(model).__name__} trains on spectrograms, whose loss looks at their values for padding"
        )
    return {"labels": Input((batch.size, tokens))}


def _codebooks(model: PreTrainedModel) -> int:
    """Of how many codebooks a decoder of sound says a code at once; 0 for one that says tokens."""
    config: Any = model.config
    parts = (getattr(config, name, None) for name in ("decoder", "decoder_config"))
    for part in parts:
        # Dia calls them channels, as an image's are called, and delays each of them by so many steps.
        said = getattr(part, "num_codebooks", None) or (hasattr(config, "delay_pattern") and part and part.num_channels)
        if said:
            return int(said)
    return 0


def _codes(model: PreTrainedModel, batch: BatchSetup, tokens: int, books: int) -> dict[str, Input]:
    """Codes of sound, one of each codebook a step: the labels alone (MusicGen), or what went before as well (Dia).

    Source: transformers/models/dia/processing_dia.py, ``DiaProcessor.__call__`` with ``output_labels``.
    """
    labels = Input((batch.size, tokens, books))
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        return {"labels": labels}
    return {
        "labels": Input((batch.size * books, tokens)),
        "decoder_input_ids": labels,
        "decoder_attention_mask": Input((batch.size, tokens)),
    }


_NO_TENSORS = {
    # Which of its boxes belongs to which label is found by scipy's ``linear_sum_assignment``, on values.
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


def _transcripts(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    """As long as said: no config knows how much is spoken in a second."""
    if not batch.target_len:
        raise CannotSimulateError(
            f"{type(model).__name__} trains on transcripts, whose lengths are data",
            hint="say how many labels they have: --target-len",
        )
    return {"labels": Input((batch.size, batch.target_len))}


def _spans(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    """Where an answer begins and ends; of a question on a picture the answer itself, or how well each answer fits."""
    if "start_positions" not in taken(model):
        if hasattr(model, "text_decoder"):
            return {"labels": Input((batch.size, batch.target_len or batch.seq_len))}
        return {"labels": Input((batch.size, int(model.config.num_labels)), torch.float32)}
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


def _frames(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    """Which speakers are heard in each frame, one number each, as its loss takes its argmax over them."""
    frames: Any = batch.seq_len
    if hasattr(model, "_get_feat_extract_output_lengths"):
        frames = int(model._get_feat_extract_output_lengths(looked_at(model, batch)[main_input(model)].shape[1]))
    return {"labels": Input((batch.size, frames, int(model.config.num_labels)), torch.float32)}


def _pixels(model: PreTrainedModel, batch: BatchSetup) -> dict[str, Input]:
    return {"labels": Input((batch.size, *sides(model.config)))}


TOLD: dict[str, Callable[[PreTrainedModel, BatchSetup], dict[str, Input]]] = {
    **dict.fromkeys(
        ("SequenceClassification", "ImageClassification", "AudioClassification", "VideoClassification"), _classes
    ),
    **dict.fromkeys(("TokenClassification", "MaskedLM"), _tokens),
    **dict.fromkeys(("QuestionAnswering", "QuestionAnsweringSimple"), _spans),
    **dict.fromkeys(("MultipleChoice", "NextSentencePrediction", "XVector"), _rows),
    "AudioFrameClassification": _frames,
    "CTC": _transcripts,
    "PreTraining": _tokens_and_rows,
    "SemanticSegmentation": _pixels,
}
"""Labels by what a class puts on its model; where nothing stands here, they are tokens."""

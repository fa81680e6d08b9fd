"""A model with a vocabulary of another size, through transformers' own ``resize_token_embeddings``.

What is asked for travels inside the config, so that all that is built, kept or copied from it has the same rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.skeleton.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PretrainedConfig, PreTrainedModel

KEY = "_resized_vocabulary"


def with_vocabulary(config: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """The config of a model whose vocabulary is resized after it is built."""
    said = {"tokens": vocabulary.tokens, "pad_to_multiple_of": vocabulary.pad_to_multiple_of}
    return {**config, KEY: said}


def vocabulary_of(config: Mapping[str, Any] | PretrainedConfig) -> Vocabulary | None:
    """What a config, as a dict or as transformers' object, is to be resized to. Raises InspectorError for nonsense."""
    said = config.get(KEY) if isinstance(config, dict) else getattr(config, KEY, None)
    if not isinstance(said, dict):
        return None
    numbers = [said.get(name) for name in ("tokens", "pad_to_multiple_of")]
    if any(not isinstance(number, int | None) or isinstance(number, bool) for number in numbers):
        raise InspectorError(f"{KEY} holds no sizes", hint="mend the config.json")
    return Vocabulary(*numbers)


def resize(model: PreTrainedModel, vocabulary: Vocabulary) -> None:
    """Give a model on the meta device its vocabulary: rows of embedding and head, ties as they were.

    Raises InspectorError when the model has no input embedding that transformers can resize.
    """
    try:
        # New rows are drawn from the old ones' mean and covariance otherwise: numbers, which a shape has none of.
        model.resize_token_embeddings(vocabulary.tokens, vocabulary.pad_to_multiple_of, mean_resizing=False)
    except (NotImplementedError, AttributeError, TypeError) as error:
        raise InspectorError(
            f"{type(model).__name__} cannot resize its vocabulary", hint="leave out --resize-vocab"
        ) from error


def resized_note(before: int, after: int) -> str:
    """What a page says of it."""
    more = f"{abs(after - before):,} {'more' if after >= before else 'fewer'} than the checkpoint's {before:,}"
    return f"vocabulary resized to {after:,} rows, {more}, as model.resize_token_embeddings does before anything else"

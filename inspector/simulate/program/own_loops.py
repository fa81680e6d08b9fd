"""Classes with a ``generate`` of their own: the usual one around what they are given, or another loop."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from inspector.errors import CannotSimulateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

_WINDOWS = {
    "WhisperForConditionalGeneration": (
        "its own generate calls the usual one on a copy of each window of sound, and begins with a few tokens more"
    )
}
"""Classes whose own ``generate`` is the usual one around it in a way that no return shows."""

_PARTS = ("audio_encoder", "audio_tokenizer", "codec_model", "vocoder", "t2u_model", "depth_decoder", "talker",
          "qformer", "fine_acoustics")  # fmt: skip
"""Parts that loops of their own run beside the language model: what makes sound of codes, or codes of codes."""


def own_loop(model: PreTrainedModel) -> str:
    """What a class's own ``generate`` does around the usual one, which is simulated; "" where it has none.

    Raises CannotSimulateError for a class that generates by a loop of its own.
    """
    from transformers import GenerationMixin

    cls: Any = type(model)
    if cls.generate is GenerationMixin.generate and cls._sample is GenerationMixin._sample:
        return ""
    if cls.__name__ in _WINDOWS:
        return _WINDOWS[cls.__name__]
    if cls._sample is GenerationMixin._sample and _ends_in_the_usual(cls.generate):
        return "its own generate makes something of its input and calls the usual one; the making is not simulated"
    parts = [name for name in _PARTS if getattr(model, name, None) is not None]
    beside = f", with {' and '.join(parts)}" if parts else ""
    raise CannotSimulateError(
        f"{cls.__name__} generates by a loop of its own{beside}, which is not simulated",
        hint="`inspector memory` has its weights and its cache",
    )


def _ends_in_the_usual(generate: Callable[..., Any]) -> bool:
    """Whether a ``generate`` returns what that of its base returns, for text at least (Janus makes images, too)."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(generate))))
    return any(
        isinstance(node, ast.Return)
        and node.value is not None
        and ast.unparse(node.value).startswith("super().generate(")
        for node in ast.walk(tree)
    )

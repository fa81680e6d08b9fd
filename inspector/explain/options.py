"""What `explain` can be told of a run besides its error, typed: the settings of both dry runs. For type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.simulate.setup.options import FinetuneSettingsOptions

if TYPE_CHECKING:
    from inspector.simulate.setup.words import CacheKind


class ExplainOptions(FinetuneSettingsOptions, total=False):
    """Every setting of a fine-tuning or of a generation; one that only generation has makes it a generation.

    ``vram`` is the card by its memory; left out with ``gpu``, it is what the message says the card has. ``recipe`` is
    as in `inspector.simulate.finetune`.
    """

    prompt_len: int | None
    max_new_tokens: int | None
    num_beams: int | None
    cache: CacheKind | None
    vram: str
    recipe: str


GENERATION = frozenset({"prompt_len", "max_new_tokens", "num_beams", "cache"})
"""Settings that only generation has."""

"""What `explain` can be told of a run besides its error, typed: the settings of both dry runs. For type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.simulate.setup.options import FinetuneSettingsOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from inspector.simulate.setup.parallel import Offload
    from inspector.simulate.setup.words import CacheKind


class ExplainOptions(FinetuneSettingsOptions, total=False):
    """Every setting of a fine-tuning or of a generation; one that only generation has makes it a generation.

    ``vram`` is the card by its memory; left out with ``gpu``, it is what the message says the card has. ``recipe`` is
    as in `inspector.simulate.finetune`, and what is of several cards as in `inspector.fit.ways.CardsAsked`.
    """

    prompt_len: int | None
    max_new_tokens: int | None
    num_beams: int | None
    cache: CacheKind | None
    vram: str
    recipe: str
    gpus: int | None
    parallel: str | None
    nodes: int | None
    offload: Offload | None
    config: Sequence[Path | str] | Path | str


GENERATION = frozenset({"prompt_len", "max_new_tokens", "num_beams", "cache"})
"""Settings that only generation has."""
SEVERAL_CARDS = frozenset({"gpus", "parallel", "nodes", "offload", "config"})
"""What is said of several cards."""

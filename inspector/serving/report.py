"""The answer of `inspector serving` as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from inspector.reporting import Report

if TYPE_CHECKING:
    from inspector.serving.figures import Span, Term
    from inspector.serving.weights import Part

Starts = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, slots=True)
class CacheShape:
    """How the cache is cut: bytes a token on a rank, tokens of a block, bytes of a block, groups of layers.

    ``request_bytes`` is what one request of the longest length needs; ``grows`` says whether it is tokens that fill the
    cache, which a hybrid's states make untrue.
    """

    token_bytes: int
    block: int
    block_bytes: int
    groups: int = 1
    request_bytes: int = 0
    state_bytes: int = 0
    padding_percent: float = 0.0
    grows: bool = True


@dataclass(frozen=True)
class ServingReport(Report):
    """One engine, one model, one sort of card. Bytes are of the heaviest rank.

    ``terms`` go from the card's bytes down to the cache; ``kv_bytes`` is what is left. ``max_concurrency`` counts
    hundredths of a request of the longest length, as engines print it with two decimals. ``refusal`` is the engine's
    own sentence where the answer is no. ``not_understood`` are options that were not taken into account;
    ``layers_that_fit`` is of engines that place layer by layer, 0 for others.
    """

    kind: ClassVar[str] = "serving"

    engine: str
    engine_version: str
    model: str
    card: str
    cards: int
    starts: Starts
    refusal: str
    card_bytes: int
    terms: tuple[Term, ...]
    weights: tuple[Part, ...]
    weights_bytes: Span
    kv_bytes: Span
    kv_tokens: Span
    max_model_len: int
    max_concurrency: Span
    largest_max_model_len: Span
    cache: CacheShape
    helps: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    not_understood: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    extra: tuple[tuple[str, int], ...] = ()
    layers_that_fit: int = 0

    @property
    def fits(self) -> bool:
        """Whether it starts for certain."""
        return self.starts == "yes"

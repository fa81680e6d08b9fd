"""What the tokens of a batch make: logits, scores, activations, keys and values; their number known, or solved."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod
from typing import TYPE_CHECKING

from inspector.explain.candidate import WIDTHS, Candidate, formula

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.explain.operators import Family
    from inspector.explain.sizes import Request
    from inspector.skeleton import Skeleton

BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""Sequences at once that a matrix of scores is solved for."""
LONGEST = 10_000_000
"""A length beyond this is no solution: no model takes one."""
SHORTEST = 16


@dataclass(frozen=True, slots=True)
class Batch:
    """What is known of a batch; 0 is "not known"."""

    size: int = 0
    length: int = 0

    @property
    def known(self) -> bool:
        """Whether the tokens can be counted."""
        return self.size > 0 and self.length > 0


@dataclass(frozen=True, slots=True)
class _Width:
    family: Family
    what: str
    features: int


def with_batch(skeleton: Skeleton, request: Request, batch: Batch) -> Iterator[Candidate]:
    """What a known batch makes."""
    for width in _widths(skeleton):
        counts = {batch.size * batch.length: (batch.size, batch.length)}
        if width.family == "logits":
            # A causal model's labels are one shorter than its tokens, where the loss cuts the last ones off.
            counts[batch.size * (batch.length - 1)] = (batch.size, batch.length - 1)
        for tokens, dims in counts.items():
            yield from _made(request, width, tokens, dims)
    heads = skeleton.facts.num_attention_heads
    scores = (batch.size, heads, batch.length, batch.length)
    yield from _known(request, "scores", "attention scores", scores)
    yield from _known(request, "mask", "mask of all pairs of tokens", (batch.size, batch.length, batch.length))


def solved(skeleton: Skeleton, request: Request) -> Iterator[Candidate]:
    """The numbers of tokens with which each of them would ask for that; matching, they prove nothing."""
    for width in _widths(skeleton):
        for each in (4, 2):
            one = width.features * each
            least, most = max(-(-request.low // one), SHORTEST), min(request.high // one, LONGEST)
            if least <= most:
                tokens = roundest(least, most)
                span = f"{least:,} to {most:,} tokens" if most > least else f"{tokens:,} tokens"
                yield Candidate(
                    width.family, f"{width.what} {WIDTHS[each]}", formula(tokens, width.features, width=each),
                    tokens * one, "solved from the size", each, assumes=(f"{span}: batch times length",),
                    oddness=odd_part(tokens), beyond=tokens > skeleton.facts.context_length,
                )  # fmt: skip
    yield from _square(request, skeleton.facts.num_attention_heads, "scores", "attention scores")


def _widths(skeleton: Skeleton) -> Iterator[_Width]:
    facts = skeleton.facts
    rows = next((t.shape[0] for t in skeleton.tensors if t.owner == facts.output_embeddings and len(t.shape) == 2), 0)
    if vocabulary := rows or facts.vocab_size:
        yield _Width("logits", "logits", vocabulary)
    if facts.intermediate_size:
        yield _Width("mlp", "MLP activation", facts.intermediate_size)
    if facts.hidden_size:
        yield _Width("hidden", "hidden states", facts.hidden_size)
    queries = facts.num_attention_heads * facts.head_dim
    if queries and queries != facts.hidden_size:
        yield _Width("attention", "queries of one layer", queries)
    if keys := facts.num_key_value_heads * facts.head_dim:
        yield _Width("cache", "keys (or values) of one layer", keys)


def _made(request: Request, width: _Width, tokens: int, dims: tuple[int, int]) -> Iterator[Candidate]:
    for each in (2, 4):
        nbytes = tokens * width.features * each
        if request.holds(nbytes):
            batch, length = dims
            yield Candidate(
                width.family, f"{width.what} {WIDTHS[each]}", formula(batch, length, width.features, width=each),
                nbytes, "the model's shapes and the settings", each,
                assumes=(f"{batch} x {length:,} tokens",),
            )  # fmt: skip


def _known(request: Request, family: Family, what: str, dims: tuple[int, ...]) -> Iterator[Candidate]:
    for each in (2, 4):
        nbytes = prod(dims) * each
        if nbytes and request.holds(nbytes):
            yield Candidate(
                family, f"{what} {WIDTHS[each]}", formula(*dims, width=each), nbytes,
                "the model's shapes and the settings", each, assumes=(f"{dims[0]} x {dims[-1]:,} tokens",),
            )  # fmt: skip


def _square(request: Request, heads: int, family: Family, what: str) -> Iterator[Candidate]:
    """The roundest length for each batch and width; only one of each width is kept, the roundest of all."""
    for each in (4, 2):
        best: tuple[int, int, int] | None = None
        for batch in BATCHES if heads else ():
            one = batch * heads * each
            least = isqrt(max(request.low - 1, 0) // one) + 1
            most = min(isqrt(request.high // one), LONGEST)
            if SHORTEST <= least <= most:
                length = roundest(least, most)
                # A length of its own for a batch, and the smaller batch where both are as round.
                best = min(best or (LONGEST, 0, 0), (odd_part(length), batch, length))
        if best:
            odd, batch, length = best
            yield Candidate(
                family, f"{what} {WIDTHS[each]}", formula(batch, heads, length, length, width=each),
                batch * heads * length * length * each, "solved from the size", each,
                assumes=(f"{batch} x about {length:,} tokens, and attention that writes its matrix out",), oddness=odd,
            )  # fmt: skip


def roundest(least: int, most: int) -> int:
    """The number between two that is divided most often by two: lengths are made round by people."""
    step = 1
    while (most // (2 * step)) * 2 * step >= least:
        step *= 2
    return most // step * step


def odd_part(number: int) -> int:
    """What is left of a number divided by two as often as that goes: 1 for 32,768, 3 for 3,072."""
    return number // (number & -number)

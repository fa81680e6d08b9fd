"""transformers as an engine: a dry run of ``generate``, so that a page shows all engines alike. Imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.serving.figures import Span, Term
from inspector.serving.report import CacheShape, ServingReport
from inspector.serving.versions import NEWEST
from inspector.serving.weights import Part

if TYPE_CHECKING:
    from inspector.gpus import Gpu


@dataclass(frozen=True, slots=True)
class TransformersSettings:
    """Settings of `inspector simulate generate`, by its words; empty where its default decides."""

    prompt_len: int = 1024
    max_new_tokens: int = 256
    batch_size: int = 1
    dtype: str = "auto"
    scheme: str = ""


def transformers_report(
    reference: str, settings: TransformersSettings, card: Gpu, not_understood: tuple[str, ...] = ()
) -> ServingReport:
    """A generation on the card as a `ServingReport`. Raises InspectorError as `simulate_generate`."""
    from inspector.simulate.generation import simulate_generate

    options: dict[str, Any] = {
        "prompt_len": settings.prompt_len, "max_new_tokens": settings.max_new_tokens, "batch_size": settings.batch_size,
        "dtype": settings.dtype,
    }  # fmt: skip
    if settings.scheme:
        options["scheme"] = settings.scheme
    found = simulate_generate(reference, gpu=card, **options)
    length = settings.prompt_len + settings.max_new_tokens
    peak, weights = found.peaks.reserved, found.weights_bytes
    other = max(peak - weights - found.cache_bytes, 0)
    free = found.gpu.available_bytes
    left = Span.exactly(free - weights - other)
    token = found.cache.token_bytes
    tokens = max(left.value, 0) // token if token else 0
    return ServingReport(
        engine="transformers", engine_version=found.versions.get("transformers", NEWEST["transformers"]),
        model=found.model,
        card=card.name, cards=1, starts="yes" if found.peaks.fits else "no",
        refusal="" if found.peaks.fits else "CUDA out of memory", card_bytes=card.usable_bytes,
        terms=(
            Term("the card, less CUDA's context", Span.exactly(free), "exact", "inspector simulate generate"),
            Term("weights", Span.exactly(weights), "exact", "loaded on shapes"),
            Term("the whole prompt at once", Span.exactly(other), "rule", "peak reserved of a dry run"),
        ),
        weights=(Part("loaded", weights),), weights_bytes=Span.exactly(weights), kv_bytes=left,
        kv_tokens=Span.exactly(tokens), max_model_len=length,
        max_concurrency=Span.exactly(round(100 * tokens / length)),
        largest_max_model_len=Span.exactly(min(tokens, found.context_length or tokens)),
        cache=CacheShape(token, 1, token, request_bytes=found.cache_bytes), not_understood=not_understood,
        notes=("transformers allocates as it goes: tokens are those beside this prompt's own peak",),
    )  # fmt: skip

"""ollama: llama.cpp with a context of its own choosing, and until 0.11 an estimator in Go before it.

Source: ollama llm/memory.go and fs/ggml/ggml.go (``GraphSize``) of 0.3 to 0.11; since PR 11090 the graph is really
allocated, and since 2026-05 llama-server fits itself, so that llama.cpp's own rules count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inspector.serving.kv_layers import kv_layers
from inspector.serving.llamacpp.settings import LlamaCppSettings
from inspector.serving.versions import NEWEST, version_of

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.serving.report import ServingReport
    from inspector.skeleton import ConfigFacts
    from inspector.sources.source import Source

ASKED_ITSELF = (0, 12)
"""From here on nothing is estimated."""


@dataclass(frozen=True, slots=True)
class OllamaSettings:
    """Parameters of a Modelfile and of ``OLLAMA_...``; None where the default decides."""

    scheme: str = ""
    num_ctx: int = 4096
    num_gpu: int = -1
    num_batch: int = 512
    num_parallel: int = 1
    kv_cache_type: str = "f16"
    flash_attention: bool = True


SHORT = {"ctx-size": "num_ctx", "c": "num_ctx", "ngl": "num_gpu", "parallel": "num_parallel"}


def graph_bytes(facts: ConfigFacts, batch: int, context: int) -> int:
    """What the estimator of 0.3 to 0.11 took for the graph of a model that lies on the card as a whole."""
    width, heads, words = facts.hidden_size, facts.num_attention_heads, facts.vocab_size
    logits = 4 * batch * (width + words)
    kind = facts.model_type
    if kind.startswith("gemma"):
        return max(logits, 4 * batch * (2 + context + context * heads + 2 * width + 2 * facts.head_dim * heads))
    if kind.startswith("qwen2"):
        return max(logits, 4 * batch * (1 + 2 * width + context + context * heads))
    return max(4 * batch * (1 + 4 * width + context * (1 + heads)), logits)


def ollama_report(
    source: Source, settings: OllamaSettings, card: Gpu, version: str = "", not_understood: tuple[str, ...] = ()
) -> ServingReport:
    """What ollama makes of a card. Raises InspectorError as `llamacpp_report`."""
    # With its page alone: the settings are asked of whatever engine.
    from inspector.serving.llamacpp.engine import llamacpp_report

    context = settings.num_ctx * settings.num_parallel
    # Without flash attention it keeps a cache of 16 bits, whatever was asked for (llm/server.go).
    kept = settings.kv_cache_type if settings.flash_attention else "f16"
    words = LlamaCppSettings(
        scheme=settings.scheme, ctx_size=context, n_gpu_layers=settings.num_gpu, ubatch_size=settings.num_batch,
        cache_type_k=kept, cache_type_v=kept, parallel=settings.num_parallel,
        flash_attn="on" if settings.flash_attention else "off",
    )  # fmt: skip
    found = llamacpp_report(source, words, card, "", not_understood)
    said = version or NEWEST["ollama"]
    graph = graph_bytes(source.skeleton.facts, settings.num_batch, context)
    notes = [f"-c {context} in llama.cpp's words: num_ctx x num_parallel"]
    if version_of("ollama", said) < ASKED_ITSELF:
        count = sum(1 for layer in kv_layers(source.skeleton.facts, source.runnable) if layer.attends)
        notes.append(f"its estimator takes {graph:,} bytes for the graph and counts {count} layers of cache")
    helps = tuple(line.replace("-ngl", "num_gpu").replace("-c ", "num_ctx ") for line in found.helps)
    return replace(
        found, engine="ollama", engine_version=said, notes=(*found.notes, *notes), helps=helps,
        assumed=tuple(line.replace("-c ", "num_ctx ") for line in found.assumed),
        extra=(*found.extra, ("graph, as ollama 0.3 to 0.11 estimated it", graph)),
    )  # fmt: skip

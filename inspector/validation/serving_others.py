"""What SGLang, llama.cpp and ollama print, beside their rules."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.precision.registry import scheme_named
from inspector.serving.kv_layers import kv_layers
from inspector.serving.language_part import language_part
from inspector.serving.llamacpp.compute import without_flash
from inspector.serving.llamacpp.kv import cells, llamacpp_layers
from inspector.serving.llamacpp.ollama import graph_bytes
from inspector.serving.llamacpp.settings import LlamaCppSettings
from inspector.serving.llamacpp.weights import OUTPUT_FIRST, placed
from inspector.serving.option_words import settings_of
from inspector.serving.sglang.cache import pools
from inspector.serving.sglang.engine import sglang_report
from inspector.serving.sglang.settings import SglangSettings
from inspector.validation.serving_lines import LogLine, of_print

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.serving.llamacpp.kv import Cells
    from inspector.skeleton import Skeleton
    from inspector.validation.serving_records import Log


def sglang_lines(log: Log) -> Iterator[LogLine]:
    """Bytes a token, tokens of what is free, and what loading took; nothing where the model is not known here."""
    if log.source is None:
        return
    names = SglangSettings.__dataclass_fields__
    settings = settings_of(SglangSettings, {name: value for name, value in log.options.items() if name in names})
    facts, config = log.source.skeleton.facts, log.source.runnable
    made = pools(kv_layers(facts, config), settings, "bfloat16")
    if per_token := log.record.get("kv_bytes_per_token_per_rank"):
        found = made.full + made.window
        yield LogLine(log.id, "kv_bytes_per_token", found, found, found, int(per_token))
    tokens, after, load = log.printed("tokens"), log.printed("avail_after_load"), log.printed("load")
    share = log.record.get("mem_fraction_static")
    if tokens is not None and after is not None and load is not None and share and not settings.max_total_tokens:
        doubt = log.doubt("avail_after_load")
        bounds = tuple(
            made.tokens(int(after + way * doubt - (after + load + 2 * way * doubt) * (1 - share))) for way in (-1, 0, 1)
        )
        yield of_print(log.id, "tokens", bounds, tokens, "tokens")  # type: ignore[arg-type]
    size = sum(filter(None, (log.printed("k"), log.printed("v")))) or log.printed("kv")
    if tokens is not None and size and not made.state:
        found = (tokens + (settings.page_size if log.record.get("plus_page") else 0)) * (made.full + made.window)
        yield LogLine(log.id, "kv", found, found, found, size, 2 * max(log.doubt("k"), log.doubt("kv")))
    if load is not None and log.card is not None and "CPU" not in str(log.record.get("model")):
        span = sglang_report(log.source, settings, log.card, log.version).weights_bytes
        yield LogLine(log.id, "weights", span.value, span.low, span.high, load, log.doubt("load"))


def _llama(log: Log) -> LlamaCppSettings:
    record, found = log.record, {}
    for ours, theirs in (
        ("ctx_size", "n_ctx"), ("ubatch_size", "n_ubatch"), ("cache_type_k", "cache_type_k"),
        ("cache_type_v", "cache_type_v"),
    ):  # fmt: skip
        if record.get(theirs) is not None:
            found[ours] = record[theirs]
    options: dict[str, Any] = found
    return settings_of(LlamaCppSettings, options)


def llamacpp_lines(log: Log) -> Iterator[LogLine]:
    """Caches, and the compute buffer where scores are kept."""
    if log.source is None or not log.record.get("n_ctx"):
        return
    skeleton, settings = language_part(log.source.skeleton), _llama(log)
    layers = llamacpp_layers(skeleton.facts, log.source.runnable)
    closed = log.record.get("kv_closed_form") or {}
    if any(layer.kind == "latent" for layer in layers) and closed.get("v_width"):
        return  # before latents were kept as such
    made = cells(layers, settings, settings.ctx_size or 0)
    pairs = [("kv_total", made.nbytes)]
    if not made.window:
        nothing = replace(settings, cache_type_v="f16")
        key = sum(cells(tuple(replace(layer, value=0) for layer in layers), nothing, settings.ctx_size or 0).layers)
        pairs += [("kv_k", key), ("kv_v", made.nbytes - key)]
    for name, found in pairs:
        if (printed := log.printed(name)) is not None:
            yield LogLine(log.id, name, found, found, found, printed, log.doubt(name))
    yield from _of_weights(log, skeleton, made)
    if log.record.get("flash_attn") is False and not made.window:
        for name in ("compute_cpu", "compute_metal", "compute_cuda0"):
            found = without_flash(
                skeleton.facts, made, settings.ubatch_size, build=_build(log), host=name == "compute_cpu"
            )
            alone = name != "compute_cpu" or log.printed("compute_metal") is None
            if (printed := log.printed(name)) is not None and alone:
                yield LogLine(log.id, "compute", found, found, int(found * 1.07), printed, log.doubt(name))


def _build(log: Log) -> int:
    """The build that a log names; logs that name none are of 2025 and before."""
    found = re.search(r"\bb?(\d{4,6})\b(?!-)", log.version)
    number = int(found[1]) if found else 0
    return 0 if 2020 <= number <= 2030 else number


def _of_weights(log: Log, skeleton: Skeleton, made: Cells) -> Iterator[LogLine]:
    """The model's buffers, and all that lies on one card, where the log says how the file is packed."""
    count = log.record.get("n_gpu_layers")
    try:
        there = placed(skeleton, scheme_named(f"gguf:{str(log.record.get('quantization')).lower()}"))
        there = replace(there, output_first=_build(log) >= OUTPUT_FIRST)
    except InspectorError:  # a mixture of one's own, or none that is named
        return
    if count is None:
        return
    card = there.on_card(int(count), (0,) * len(there.layers))
    host = there.whole - card + (there.embedding if there.output == there.embedding and card else 0)
    for name, found in (
        ("model_cuda0", card),
        *((name, host) for name in ("model_cpu", "model_cpu_mapped")),
    ):
        if (printed := log.printed(name)) is not None:
            yield LogLine(log.id, "model", found, found, found, printed, log.doubt(name))
    parts = [log.printed(name) for name in ("model_cuda0", "kv_total", "compute_cuda0")]
    if (
        int(count) > len(there.layers)
        and all(part is not None for part in parts)
        and log.record.get("flash_attn") is False
    ):
        buffer = without_flash(skeleton.facts, made, _llama(log).ubatch_size, build=_build(log))
        found = card + made.nbytes + buffer
        doubt = sum(log.doubt(name) for name in ("model_cuda0", "kv_total", "compute_cuda0"))
        yield LogLine(log.id, "on the card", found, found, int(found + 0.07 * buffer), sum(filter(None, parts)), doubt)


def ollama_lines(log: Log) -> Iterator[LogLine]:
    """The cache and the graph that ollama's estimator printed."""
    if log.source is None or not log.record.get("n_ctx"):
        return
    skeleton = language_part(log.source.skeleton)
    context = int(log.record["n_ctx"])
    made = cells(llamacpp_layers(skeleton.facts, log.source.runnable), LlamaCppSettings(ctx_size=context), context)
    if (printed := log.printed("kv_total")) is not None:
        yield LogLine(log.id, "kv_total", made.nbytes, made.nbytes, made.nbytes, printed, log.doubt("kv_total"))
    if (printed := log.printed("graph_full")) is not None:
        found = graph_bytes(skeleton.facts, int(log.record.get("n_batch") or 512), context)
        yield LogLine(log.id, "graph", found, found, found, printed, log.doubt("graph_full"))

"""What a vLLM log prints, beside the rules: of its own memory, and of its command line alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.serving.figures import Span
from inspector.serving.option_words import settings_of
from inspector.serving.vllm.engine import vllm_report
from inspector.serving.vllm.settings import VllmSettings
from inspector.validation.serving_lines import LogLine, of_print
from inspector.validation.serving_models import first_weights, like_card
from inspector.validation.serving_unsloth import is_of_unsloth, unsloth_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.gpus import Gpu
    from inspector.serving.report import ServingReport
    from inspector.validation.serving_records import Log


def vllm_lines(log: Log) -> Iterator[LogLine]:
    """Each printed figure beside the predicted one; nothing where the model is not known here."""
    if log.source is None:
        return
    card = log.card or like_card(log.record)
    asked = _asked(log, card)
    if (per_token := log.record.get("kv_bytes_per_token_per_rank")) and log.record.get("consistent") is not False:
        found = asked.cache.token_bytes
        yield LogLine(log.id, "kv_bytes_per_token", found, found, found, int(per_token))
    if (weights := log.printed("weights")) is not None and "VL" not in str(log.record.get("model")):
        span, more = asked.weights_bytes, first_weights(log.source, log.version, log.record)
        if log.options.get("enable_lora") and not log.options.get("max_lora_rank"):
            smaller, larger = (_report(log, card, max_lora_rank=rank).weights_bytes for rank in RANKS)
            span = Span(smaller.low, span.value, larger.high)
        yield LogLine(
            log.id, f"weights{_adapters(log)}", span.value + more, span.low + more, span.high + more, weights,
            log.doubt("weights"),
        )  # fmt: skip
    if (needed := log.printed("kv_needed")) is not None and log.record.get("max_model_len"):
        found = asked.cache.request_bytes
        yield LogLine(log.id, "kv_needed", found, found, found, needed, log.doubt("kv_needed"))
    if (block := log.printed("attn_block")) is not None:
        yield LogLine(log.id, "block", asked.cache.block, asked.cache.block, asked.cache.block, block, unit="tokens")
    yield from _of_memory(log, card)
    yield from _of_the_command_line(log, asked)


def _of_memory(log: Log, card: Gpu) -> Iterator[LogLine]:
    """Blocks, tokens and concurrency of the cache's printed bytes."""
    left = log.printed("kv")
    if left is None or left <= 0 or log.record.get("consistent") is False:
        return
    ends = [_report(log, card, left + way * log.doubt("kv")) for way in (-1, 0, 1)]
    if (blocks := log.printed("blocks")) is not None:
        found = tuple(_blocks(report) for report in ends)
        yield of_print(log.id, "blocks", found, blocks, "blocks")  # type: ignore[arg-type]
    if (tokens := log.printed("tokens")) is not None and log.record.get("max_model_len"):
        found = tuple(report.kv_tokens.value for report in ends)
        yield of_print(log.id, "tokens", found, tokens, "tokens")  # type: ignore[arg-type]
    said = log.record["figures"].get("conc", {}).get("value")
    if said is not None and log.record.get("max_model_len"):
        found = tuple(report.max_concurrency.value for report in ends)
        line = of_print(log.id, "concurrency", found, round(100 * said), "hundredths")  # type: ignore[arg-type]
        yield replace(line, doubt=line.doubt + 1)


def _of_the_command_line(log: Log, asked: ServingReport) -> Iterator[LogLine]:
    """The pool of the card and the options alone, and whether it starts."""
    left = log.printed("kv")
    unlike = "ROCm" in str(log.record.get("card")) or "VL" in str(log.record.get("model"))
    if not log.card_said or log.record.get("gpu_memory_utilization") is None or unlike:
        return
    if log.record.get("consistent") is False:
        return
    # V0 samples on the first rank alone, and such a log does not say whose figures it prints.
    some = " of one rank" if "V0" in log.version and (log.record.get("tensor_parallel") or 1) > 1 else ""
    if (peak := log.printed("act")) is not None:
        span = next(term.span for term in asked.terms if term.name == "activation peak")
        yield LogLine(log.id, f"activation peak{some}", span.value, span.low, span.high, peak, log.doubt("act"))
    if left is not None and left > 0:
        span = asked.kv_bytes
        plain = asked.cards == 1 and not log.options.get("enable_lora") and not _adapters(log)
        yield LogLine(
            log.id, f"pool{_adapters(log)}{some}", span.value, span.low, span.high, left, log.doubt("kv"),
            of_card=asked.card_bytes if plain else 0,
        )  # fmt: skip
    if log.record.get("outcome") in {"started", "refused"} and log.record.get("max_model_len"):
        said = {"yes": 1, "no": 0, "unknown": -1}[asked.starts]
        truth = int(log.record["outcome"] == "started")
        unsure = said < 0
        yield LogLine(
            log.id, "starts", truth if unsure else said, 0 if unsure else said, 1 if unsure else said, truth, unit="yes"
        )


def _adapters(log: Log) -> str:
    """What a figure's name has after it where a log does not say what decides it.

    That is the rank of adapters, or which layers a 4-bit checkpoint of bitsandbytes leaves in 16 bits: Unsloth's leave
    some of every model, and their config.json alone names them.
    """
    if "LoRA" in str(log.record.get("model")) and not log.options.get("max_lora_rank"):
        return " with adapters"
    told = {"quantization_config", "llm_int8_skip_modules"} & set(log.record)
    return " of layers unsaid" if log.options.get("quantization") == "bitsandbytes" and not told else ""


def _blocks(report: ServingReport) -> int:
    return report.kv_bytes.value // report.cache.block_bytes


def _asked(log: Log, card: Gpu) -> ServingReport:
    """What is said of the command line; over the rows of the sampler that may be where V0's log does not say them.

    Notebooks and trainers, which most logs of V0 are of, set them to what they generate at once; Unsloth by its rule.
    """
    if log.options.get("max_num_seqs") or log.source is None:
        return _report(log, card)
    if is_of_unsloth(log.record):
        fewest, usual, most = unsloth_rows(log.record, log.source, card.usable_bytes)
    elif "V0" in log.version:
        fewest, usual, most = 1, 0, 0
    else:
        return _report(log, card)
    least, found, other = (_report(log, card, max_num_seqs=rows) for rows in (most, usual, fewest))
    left = Span(least.kv_bytes.low, found.kv_bytes.value, other.kv_bytes.high)
    terms = tuple(
        replace(one, span=Span(few.span.low, one.span.value, many.span.high))
        for few, one, many in zip(other.terms, found.terms, least.terms, strict=True)
    )
    starts = found.starts if least.starts == found.starts == other.starts else "unknown"
    return replace(found, starts=starts, kv_bytes=left, terms=terms)


RANKS = 8, 64
"""Of adapters whose rank no log says: the least that vLLM takes, and the most of Unsloth's own notebooks."""


def _report(log: Log, card: Gpu, left: int | None = None, **more: int) -> ServingReport:
    if log.source is None:
        raise InspectorError(f"{log.id} is of a model that is not known here")
    names = VllmSettings.__dataclass_fields__
    options: dict[str, Any] = {name: value for name, value in log.options.items() if name in names}
    options |= {name: value for name, value in more.items() if value}
    if left is not None:
        options["kv_cache_memory_bytes"] = left
    positions = max(log.source.skeleton.facts.context_length, 1)
    if (length := options.get("max_model_len")) and length > positions:
        options.pop("max_model_len")
    if not card.bf16 and not log.options.get("quantization"):
        options["dtype"] = "half"
    return vllm_report(log.source, settings_of(VllmSettings, options), card, log.version)

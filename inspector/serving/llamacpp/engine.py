"""llama.cpp's budget: weights of the layers on the card, their caches, the compute buffer, and CUDA's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.config_json import text_fields
from inspector.errors import InspectorError
from inspector.precision.registry import scheme_named
from inspector.precision.stored import stored
from inspector.serving.figures import Span, Term
from inspector.serving.language_part import language_part
from inspector.serving.llamacpp.compute import compute
from inspector.serving.llamacpp.fit import SINCE, fitted_context, fitted_mixture, kept_on_card, layers_that_fit
from inspector.serving.llamacpp.fit import longest as longest_contexts
from inspector.serving.llamacpp.kv import cells, check_caches, llamacpp_layers
from inspector.serving.llamacpp.weights import OUTPUT_FIRST, experts_on_host, placed
from inspector.serving.report import CacheShape, ServingReport
from inspector.serving.versions import NEWEST, version_of
from inspector.serving.weights import Part
from inspector.units import MiB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.gpus import Gpu
    from inspector.precision import Scheme
    from inspector.serving.kv_layers import KvLayer
    from inspector.serving.llamacpp.asked import Asked
    from inspector.serving.llamacpp.kv import Cells
    from inspector.serving.llamacpp.settings import LlamaCppSettings
    from inspector.serving.llamacpp.weights import Placed
    from inspector.skeleton import ConfigFacts, Skeleton
    from inspector.sources.source import Source

USUAL = "gguf:q4_k_m"


def llamacpp_report(
    source: Source, settings: LlamaCppSettings, card: Gpu, version: str = "", not_understood: tuple[str, ...] = ()
) -> ServingReport:
    """What llama.cpp makes of a card. Raises InspectorError for a type of cache or file that is none."""
    skeleton = language_part(source.skeleton)
    facts = skeleton.facts
    layers = llamacpp_layers(facts, source.runnable)
    context = settings.ctx_size or facts.context_length or 4096
    if min(context, settings.batch_size, settings.ubatch_size, settings.parallel) < 1:
        raise InspectorError("a context, a batch, a micro-batch and slots are 1 or more", hint="-c 8192 -ub 512 -np 1")
    scheme = weights_scheme(source, settings)
    build = version_of("llama.cpp", version)[0]
    there = replace(placed(skeleton, scheme), output_first=build >= OUTPUT_FIRST)
    off = experts_on_host(settings, there)
    every = facts.num_layers + 1
    wanted = every if settings.n_gpu_layers < 0 else min(settings.n_gpu_layers, every)
    flash = settings.flash_attn.lower() not in {"off", "0", "false", "disabled"}
    check_caches(facts, settings, flash=flash)

    def buffer_of(made: Cells) -> Span:
        return _buffer(facts, source.runnable, made, settings.ubatch_size, flash=flash, build=build)

    def need_of(size: int) -> int:
        made = cells(layers, settings, size)
        return there.on_card(every, off) + sum(kept_on_card(made, facts.num_layers, settings)) + buffer_of(made).value

    notes: list[str] = []
    if settings.n_gpu_layers < 0 and build >= SINCE and settings.fit.lower() not in {"off", "0", "false"}:
        room = card.usable_bytes - card.context_bytes - settings.fit_target * MiB
        free = f"{settings.fit_target:,} MiB are left free"
        asked = context
        if settings.ctx_size is None:  # -c 0 asks for all of it
            context = fitted_context(context, settings.fit_ctx, need_of, room)
        if context < asked:
            notes.append(f"it fits itself (--fit): -c is lowered from {asked:,} to {context:,}, {free}")
        if need_of(context) > room:
            made = cells(layers, settings, context)
            wanted, off, said = _fitted(there, made, settings, off, room - buffer_of(made).value)
            notes.append(f"it fits itself (--fit): {said}, {free}")
    made = cells(layers, settings, context)
    buffer = buffer_of(made)
    answer = _asked(source, skeleton, scheme, settings, context) if settings.ask_engine else None
    if answer is not None:
        value = answer.compute_mib * MiB
        buffer = Span(value, value, max(value + MiB, buffer.high))
    need = there.on_card(wanted, off)
    kept = sum(kept_on_card(made, there.repeating(wanted), settings))
    context_bytes = Span(card.context_bytes, card.context_bytes, int(card.context_bytes * 1.2))
    usable = card.usable_bytes
    left = Span(
        usable - context_bytes.high - need - buffer.high, usable - context_bytes.value - need - buffer.value,
        usable - context_bytes.low - need - buffer.low,
    )  # fmt: skip
    starts = "yes" if left.low >= kept else "no" if left.high < kept else "unknown"
    most = every if settings.n_gpu_layers < 0 else wanted
    fitting = layers_that_fit(there, made, settings, off, left.value + need, most)
    longest = Span(*longest_contexts(layers, settings, there.repeating(wanted), left, facts.context_length))
    total = need + kept + buffer.value
    return ServingReport(
        engine="llama.cpp", engine_version=version or NEWEST["llama.cpp"], model=skeleton.model_id, card=card.name,
        cards=1, starts=starts, refusal="" if starts != "no" else (  # type: ignore[arg-type]
            f"{need / MiB:,.0f} MiB of weights, {kept / MiB:,.0f} MiB of cache and {buffer.value / MiB:,.0f} MiB of "
            "compute buffers are more than the card has free"
        ),
        card_bytes=usable,
        terms=(
            Term("the card, less CUDA's context", Span.exactly(usable - card.context_bytes), "exact", "cudaMemGetInfo"),
            Term("weights", Span.exactly(need), "exact", f"{scheme.title}: {wanted} layers, output included"),
            Term(
                "compute buffer", buffer, "rule" if buffer.is_exact or flash else "exact",
                "the worst graph: a micro-batch against the full cache",
            ),
        ),
        weights=(Part("layers on the card", need), Part("with the host", max(there.whole - need, 0))),
        weights_bytes=Span.exactly(need), kv_bytes=left, kv_tokens=Span.exactly(made.full), max_model_len=context,
        max_concurrency=Span.exactly(100 * settings.parallel), largest_max_model_len=longest,
        cache=CacheShape(
            sum(_token(layer, made, size) for layer, size in zip(layers, made.layers, strict=True)), 1, 0,
            request_bytes=made.nbytes, state_bytes=0, grows=not made.window,
        ),
        helps=() if starts == "yes" else _helps(fitting, every, bool(facts.num_experts), longest),
        assumed=_assumed(source, settings, facts.context_length or 4096), not_understood=not_understood,
        notes=(*notes, *_notes(made, settings), *_said_by(answer)),
        extra=(
            ("KV cache of that context", made.nbytes), ("  of it on the card", kept),
            ("in all on the card", total),
        ),
        layers_that_fit=fitting,
    )  # fmt: skip


def _fitted(
    there: Placed, made: Cells, settings: LlamaCppSettings, off: tuple[int, ...], room: int
) -> tuple[int, tuple[int, ...], str]:
    """Layers on the card, bytes of each with the host, and how that is said."""
    every = len(there.layers) + 1
    if settings.cpu_moe or settings.n_cpu_moe or settings.override_tensor:
        return every, off, "not where tensors are placed by hand, so that all layers are on the card"
    if not any(there.experts):
        count = layers_that_fit(there, made, settings, off, room, every)
        return count, off, f"{count} of {every} layers on the card"
    found = fitted_mixture(there, made, settings, room)
    more = f" and of one more the {found.parted} projection" if found.parted else ""
    said = f"{found.count} of {every} layers on the card, the experts of {found.experts_off} with the host{more}"
    return found.count, found.off, said


def _buffer(
    facts: ConfigFacts, config: Mapping[str, object], made: Cells, ubatch: int, *, flash: bool, build: int
) -> Span:
    """The compute buffer of these caches."""
    text = text_fields(config)
    expert = text.get("moe_intermediate_size")
    return compute(
        facts, made, ubatch, flash=flash, build=build, expert=expert if isinstance(expert, int) else 0,
        normalized=bool(text.get("norm_topk_prob")),
        latent=_latent_queries(text),
    )  # fmt: skip


def _latent_queries(text: Mapping[str, Any]) -> int:
    """Width of a head's queries against a latent, twice, and as they were; 0 for plain attention."""
    if not text.get("kv_lora_rank"):
        return 0
    rope, plain = int(text["qk_rope_head_dim"]), int(text["qk_nope_head_dim"])
    return 2 * (int(text["kv_lora_rank"]) + rope) + plain + rope


def weights_scheme(source: Source, settings: LlamaCppSettings) -> Scheme:
    """How the weights are stored: as the file has them, as ``--scheme`` says, else q4_k_m."""
    if source.checkpoint is not None and not settings.scheme:
        return stored(source.checkpoint, source.skeleton)
    name = settings.scheme or USUAL
    return scheme_named(name if name.startswith(("gguf:", "bf16", "fp16", "fp32")) else f"gguf:{name.lower()}")


def _asked(source: Source, skeleton: Skeleton, scheme: Scheme, settings: LlamaCppSettings, context: int) -> Asked:
    """What the installed engine answers for a header of the model, or for the file. Raises InspectorError."""
    from inspector.serving.llamacpp.asked import ask, ask_file

    path = Path(source.where)
    if path.suffix == ".gguf" and path.is_file():
        return ask_file(path, settings, context)
    file_type = {"bf16": "bf16", "fp16": "f16", "fp32": "f32"}.get(scheme.name, scheme.name.removeprefix("gguf:"))
    return ask(skeleton, source.runnable, file_type, settings, context)


def _said_by(answer: Asked | None) -> tuple[str, ...]:
    if answer is None:
        return ()
    what = f"model {answer.model_mib:,} MiB, context {answer.context_mib:,} MiB, compute {answer.compute_mib:,} MiB"
    return (f"llama.cpp itself (xllamacpp {answer.version}, CPU back end) answers: {what}; compute is taken from it",)


def _token(layer: KvLayer, made: Cells, size: int) -> int:
    """Bytes a token adds to a layer, 0 of a state."""
    count = made.window if layer.kind in {"window", "chunked"} else made.full
    return size // count if layer.attends and count else 0


def _helps(fitting: int, most: int, experts: bool, longest: Span) -> tuple[str, ...]:
    said = [f"-ngl {fitting} of {most} layers fit"] if fitting else []
    if longest.low >= 256:
        said.append(f"-c {longest.low} starts for certain")
    if experts:
        said.append("--cpu-moe leaves the experts with the host")
    return (*said, "-ctk q8_0 -ctv q8_0 make the cache a little more than half")


def _assumed(source: Source, settings: LlamaCppSettings, context: int) -> tuple[str, ...]:
    said = [] if settings.ctx_size else [f"-c {context} is the model's own length"]
    if not settings.scheme and source.checkpoint is None:
        said.append(f"--scheme {USUAL}, what most people download")
    return tuple(said)


def _notes(made: Cells, settings: LlamaCppSettings) -> tuple[str, ...]:
    said = [f"{made.full:,} cells for all {settings.parallel} slots" if settings.parallel > 1 else ""]
    if made.window:
        said.append(f"layers with a window keep {made.window:,} cells")
    said.append("compute buffers are those of llama.cpp's CPU back end; CUDA's kernels may take some per cent more")
    return tuple(line for line in said if line)

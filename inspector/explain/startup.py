"""A pasted start-up log of an engine: each figure beside the predicted one, which term is off, and what to turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from inspector.errors import InspectorError
from inspector.explain.log import decoded, places, plain
from inspector.explain.startup_figures import read_startup
from inspector.precision.gguf_rules import FILE_TYPES
from inspector.reporting import Report
from inspector.serving.answering import serve
from inspector.validation.serving_ledger import lines_of
from inspector.validation.serving_records import log_of

if TYPE_CHECKING:
    from inspector.serving.report import ServingReport
    from inspector.validation.serving_lines import LogLine

_WORDS = {
    "tensor_parallel": "tensor_parallel_size", "pipeline_parallel": "pipeline_parallel_size",
    "n_ctx": "ctx_size", "n_ubatch": "ubatch_size",
}  # fmt: skip
_TAKEN = {
    "vllm": ("max_model_len", "gpu_memory_utilization", "kv_cache_dtype", "max_num_seqs", "max_num_batched_tokens",
             "quantization", "tensor_parallel", "pipeline_parallel", "flashinfer_sampler",
             "v2_model_runner"),
    "sglang": ("mem_fraction_static", "context_length", "page_size", "kv_cache_dtype", "quantization",
               "tensor_parallel"),
    "llama.cpp": ("n_ctx", "n_ubatch", "n_gpu_layers"),
    "ollama": ("n_ctx",),
}  # fmt: skip


@dataclass(frozen=True)
class StartupReport(Report):
    """What a start-up log prints beside what is predicted.

    ``printed`` are its figures as they stand there; ``lines`` those that follow from what it says; ``serving`` is the
    whole prediction, None where no card is known, and ``helps`` what to turn where the engine did not start.
    """

    kind: ClassVar[str] = "startup"

    source: str
    engine: str
    version: str
    model: str
    started: bool
    printed: tuple[tuple[str, str], ...]
    lines: tuple[LogLine, ...]
    serving: ServingReport | None
    helps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def off(self) -> tuple[str, ...]:
        """Figures that lie outside what is predicted."""
        return tuple(line.figure for line in self.lines if line.verdict == "outside")


def is_startup(data: bytes) -> bool:
    """Whether a text is an engine's start-up: two of its figures, and no error of a card's or the host's memory."""
    text = plain(decoded(data))
    found = read_startup(text)
    if found is None or len(found["figures"]) < 2:
        return False
    _, where = places(text)
    return all(place.kind.where == "start" for place in where)


def explain_startup(text: str, model: str = "", *, gpu: str = "", vram: str = "", source: str = "") -> StartupReport:
    """Hold an engine's start-up log to its own rules.

    Args:
        text: the log, or the part with its figures.
        model: the model, where the log's name is none that is known.
        gpu: the card; vLLM V0 prints its size, the others do not.
        vram: its memory in the place of a name.
        source: where the text is from, for the report.

    Raises:
        InspectorError: where no figure of a start-up is in the text, or the model is not known.
    """
    record = read_startup(text)
    if record is None:
        raise InspectorError(
            "no figure of an engine's start-up is in this text", hint="paste the log from its first line"
        )
    if model:
        record["model"] = model
    record["card"] = gpu
    log = log_of(record)
    notes = []
    if log.source is None:
        said = str(record.get("model") or "")
        if model:
            from inspector.sources.resolve import locate

            locate(model)  # raises what is wrong with the name
        what = f"{said} is no model that is kept here" if said else "the log names no model"
        notes.append(f"{what}: name it, inspector explain FILE MODEL")
    serving = None
    if log.source is not None and (gpu or vram or "total" in record["figures"]):
        options = {
            _WORDS.get(name, name): record[name] for name in _TAKEN[log.engine] if record.get(name) is not None
        }  # fmt: skip
        if log.engine == "ollama" and "ctx_size" in options:
            options["num_ctx"] = options.pop("ctx_size")
        if log.engine == "llama.cpp" and (packed := record.get("quantization")) in FILE_TYPES:
            options["scheme"] = f"gguf:{packed}"
        size = record["figures"].get("total", {}).get("bytes")
        serving = serve(
            log.source.name, engine=log.engine, gpu=gpu, vram=vram or ("" if gpu or not size else f"{size}B"),
            engine_version=log.version, **options,
        )  # fmt: skip
    elif log.source is not None:
        notes.append("the card is not in the log: with --gpu the whole budget is predicted too")
    helps = serving.helps if serving is not None and record["outcome"] == "refused" else ()
    longest = record["figures"].get("est_max_len", {}).get("value")
    if longest:
        helps = (f"--max-model-len {longest} is what it names", *helps)
    printed = tuple((name, str(found["printed"])) for name, found in record["figures"].items())
    return StartupReport(
        source, log.engine, log.version, log.source.name if log.source else str(record.get("model") or ""),
        record["outcome"] == "started", printed, tuple(lines_of(log)), serving, helps, tuple(notes),
    )  # fmt: skip

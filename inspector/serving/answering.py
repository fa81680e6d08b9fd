"""From what a user types to a `ServingReport`: the model, the engine, the card, and the engine's own options."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.gpus import Gpu, card_of_size, find_gpu
from inspector.serving.llamacpp.ollama import SHORT as OLLAMA_SHORT
from inspector.serving.llamacpp.ollama import OllamaSettings
from inspector.serving.llamacpp.settings import SHORT as LLAMACPP_SHORT
from inspector.serving.llamacpp.settings import LlamaCppSettings
from inspector.serving.option_words import nearest_option, read_words, settings_of
from inspector.serving.pasted import read_pasted
from inspector.serving.sglang.settings import SHORT as SGLANG_SHORT
from inspector.serving.sglang.settings import SglangSettings
from inspector.serving.transformers_engine import TransformersSettings
from inspector.serving.vllm.settings import VllmSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inspector.serving.report import ServingReport
    from inspector.sources.source import Source

DEFAULT_CARD = "RTX 4090"

ENGINES: dict[str, tuple[type, Mapping[str, str]]] = {
    "vllm": (
        VllmSettings,
        {"tp": "tensor_parallel_size", "pp": "pipeline_parallel_size", "dp": "data_parallel_size", "q": "quantization",
         "dcp": "decode_context_parallel_size", "ep": "enable_expert_parallel", "O0": "enforce_eager"},
    ),
    "sglang": (SglangSettings, SGLANG_SHORT),
    "ollama": (OllamaSettings, OLLAMA_SHORT),
    "transformers": (TransformersSettings, {}),
    "llama.cpp": (LlamaCppSettings, LLAMACPP_SHORT),
}  # fmt: skip
"""By its name: its settings, and other names of its options."""
_NAMES = {
    "llamacpp": "llama.cpp",
    "llama-cpp": "llama.cpp",
    "llama_cpp": "llama.cpp",
    "sgl": "sglang",
    "hf": "transformers",
}


def engine_named(name: str) -> str:
    """An engine by its name. Raises InspectorError for one that is not known."""
    wanted = name.strip().lower()
    wanted = _NAMES.get(wanted, wanted)
    if wanted not in ENGINES:
        raise InspectorError(f"no engine is named {name!r:.40}", hint=f"choose one of {', '.join(ENGINES)}")
    return wanted


def serve(
    model: str, *, engine: str = "vllm", gpu: str | Gpu = "", vram: str = "", engine_version: str = "",
    words: Sequence[str] = (), **options: Any,
) -> ServingReport:  # fmt: skip
    """Whether an engine starts with a model on a card, how many tokens its cache holds, and how many requests.

    >>> import inspector
    >>> inspector.serve("llama-3.1-8b", engine="vllm", gpu="H100").starts
    'yes'

    Args:
        model: a model as everywhere.
        engine: vllm, sglang, llama.cpp, ollama or transformers.
        gpu: the card's name, or the card; an RTX 4090 when left out.
        vram: its memory, such as ``16GiB``, in the place of a name.
        engine_version: the version whose rules count; the newest known when left out.
        words: the engine's own options as on its command line.
        options: the same by their names, with underscores: ``max_model_len=8192``.

    Raises:
        InspectorError: for a model, card or option that is none, and for what the engine refuses before any memory.
    """
    return _served(model, engine, gpu, vram, engine_version, words, options, elsewhere=False)


def _served(
    model: str, engine: str, gpu: str | Gpu, vram: str, engine_version: str, words: Sequence[str],
    options: dict[str, Any], *, elsewhere: bool,
) -> ServingReport:  # fmt: skip
    """`serve`; ``elsewhere`` says that the words are another machine's, whose files are not here."""
    name = engine_named(engine)
    card = chosen_card(gpu, vram)
    kind, short = ENGINES[name]
    report = _rules(name)
    read = read_words(words, kind, short, prefixes=name in {"vllm", "sglang"})
    if read.alone:
        raise InspectorError(f"{read.alone[0]!r:.60} is no option of {name}", hint="name one model, and then options")
    values = {**read.values, **options}
    if name == "transformers":
        return report(model, settings_of(kind, values), card, _said(read.not_understood, kind))
    source, packed, assumed = _source(model, name, elsewhere=elsewhere)
    settings: Any = settings_of(kind, {**packed, **values})
    found = report(source, settings, card, engine_version, _said(read.not_understood, kind))
    return replace(found, assumed=(*assumed, *found.assumed)) if assumed else found


def _rules(engine: str) -> Callable[..., ServingReport]:
    """What answers for an engine. Those of the others are not imported: all of them take a fifth of a page's time."""
    if engine == "vllm":
        from inspector.serving.vllm.engine import vllm_report

        return vllm_report
    if engine == "sglang":
        from inspector.serving.sglang.engine import sglang_report

        return sglang_report
    if engine == "ollama":
        from inspector.serving.llamacpp.ollama import ollama_report

        return ollama_report
    if engine == "transformers":
        from inspector.serving.transformers_engine import transformers_report

        return transformers_report
    from inspector.serving.llamacpp.engine import llamacpp_report

    return llamacpp_report


def _source(model: str, engine: str, *, elsewhere: bool) -> tuple[Source, dict[str, Any], tuple[str, ...]]:
    """The model, else the bundled one that its name says, with how it is packed and what is said of that."""
    from inspector.serving.named_models import namesake
    from inspector.sources.resolve import locate

    try:
        source = locate(model)
        if source.where != "bundled":
            _ = source.runnable  # asks the hub
    except InspectorError:
        of_disk = model.endswith((".gguf", ".json", ".safetensors")) or model.startswith((".", "/", "~"))
        found = None if of_disk and not elsewhere else namesake(model, engine)
        if found is None and of_disk and elsewhere:
            raise InspectorError(
                f"{model:.80} is another machine's, and its name is of no model that is kept here",
                hint="copy its config.json, or the file, and name that: inspector serving config.json ...",
            ) from None
        if found is None:
            raise
        packed: dict[str, Any] = {"scheme": found.file_type, "quantization": found.quantization}
        packed = {key: word for key, word in packed.items() if word}
        how = "".join(f", {word} by its name" for word in packed.values())
        if found.unsaid and engine == "vllm":
            packed["unsaid_layers"] = True
            how += ", which leaves layers in 16 bits that its config.json alone names"
        return locate(found.model), packed, (f"{found.model} for {model}, which is not at hand{how}",)
    return source, {}, ()


def serve_line(
    line: str | Sequence[str], *, gpu: str = "", vram: str = "", engine_version: str = "", engine: str = ""
) -> ServingReport:
    """What `serve` says of a pasted command line, or of a compose or Kubernetes fragment.

    Args:
        line: the text, or its words as a shell has split them.
        gpu: the card, which no such line names.
        vram: its memory in the place of a name.
        engine_version: as in `serve`.
        engine: where the line does not tell.

    Raises:
        InspectorError: where no engine or no model is in it, and as `serve`.
    """
    pasted = read_pasted(line)
    options = {"official_image": True} if pasted.official and engine in {"", "vllm"} else {}
    return _served(
        pasted.model, engine or pasted.engine, gpu, vram, engine_version or pasted.version, pasted.words, options,
        elsewhere=True,
    )  # fmt: skip


def chosen_card(gpu: str | Gpu, vram: str) -> Gpu:
    """The card that was named. Raises InspectorError for two ways at once, or none that is known."""
    if isinstance(gpu, Gpu):
        return gpu
    if gpu and vram:
        raise InspectorError("--gpu and --vram exclude each other", hint="name one card, or its memory")
    return card_of_size(vram) if vram else find_gpu(gpu or DEFAULT_CARD)


def _said(words: tuple[str, ...], kind: type) -> tuple[str, ...]:
    return tuple(f"{word} (did you mean {near}?)" if (near := nearest_option(word, kind)) else word for word in words)

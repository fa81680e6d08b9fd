"""The figures of an engine's start-up log, by its own lines, as a record in the form of the ledger's logs."""

from __future__ import annotations

import re
from typing import Any

GIB, MIB = 2**30, 2**20

_FIRST_CARD = r"(?:CUDA|Vulkan|ROCm|SYCL|MUSA)0"
_SIZES: tuple[tuple[str, str, int], ...] = (
    ("weights", r"Model loading took (-?[\d.]+) ?(?:GiB|GB)", GIB),
    ("weights", r"model weights take (-?[\d.]+) ?GiB", GIB),
    ("non_torch", r"non_torch_memory takes (-?[\d.]+) ?GiB", GIB),
    ("act", r"activation peak memory takes (-?[\d.]+) ?GiB", GIB),
    ("weights", r"Actual usage is (-?[\d.]+) ?GiB for weight", GIB),
    ("act", r"([\d.]+) ?GiB for peak activation", GIB),
    ("outside", r"([\d.]+) ?GiB for non-torch memory", GIB),
    ("graph", r"([\d.]+) ?GiB for CUDAGraph memory", GIB),
    ("graph_est", r"Estimated CUDA graph memory: (-?[\d.]+) ?GiB", GIB),
    ("total", r"Free memory on device[^\n(]{0,20}\([\d.]+/([\d.]+) ?GiB\) on startup", GIB),
    ("kv", r"Available KV cache memory: (-?[\d.]+) ?GiB", GIB),
    ("kv", r"reserved for KV Cache is (-?[\d.]+) ?GiB", GIB),
    ("total", r"total_gpu_memory \(([\d.]+) ?GiB\)", GIB),
    ("graph", r"Graph capturing finished in [^\n]{0,40} took (-?[\d.]+) ?GiB", GIB),
    ("kv_needed", r"\(?([\d.]+) ?GiB KV cache is needed", GIB),
    ("kv", r"larger than the available KV cache memory \(([\d.]+) ?GiB\)", GIB),
    ("avail_after_load", r"Load weight end\.[^\n]{0,400}?avail mem=([\d.]+) ?GB", GIB),
    ("load", r"Load weight end\.[^\n]{0,400}?mem usage=([\d.]+) ?GB", GIB),
    ("k", r"K size: ([\d.]+) ?GB", GIB),
    ("v", r"V size: ([\d.]+) ?GB", GIB),
    ("kv_total", r"KV self size *= *([\d.]+) MiB", MIB),
    ("kv_total", r"llama_kv_cache\w*: size = *([\d.]+) MiB", MIB),
    ("kv_k", r"K \(\w+\): *([\d.]+) MiB", MIB),
    ("kv_v", r"V \(\w+\): *([\d.]+) MiB", MIB),
    ("model_cuda0", rf"{_FIRST_CARD} (?:model )?buffer size = *([\d.]+) MiB", MIB),
    ("model_cpu_mapped", r"CPU_Mapped model buffer size = *([\d.]+) MiB", MIB),
    ("model_cpu", r"(?:CPU|Vulkan_Host|ROCm_Host|CUDA_Host) (?:model )?buffer size = *([\d.]+) MiB", MIB),
    ("compute_cuda0", rf"{_FIRST_CARD} compute buffer size = *([\d.]+) MiB", MIB),
    ("compute_cpu", r"CPU compute buffer size = *([\d.]+) MiB", MIB),
    ("kv_total", r'memory\.required\.kv="([\d.]+) MiB"', MIB),
    ("kv_total", r'memory\.required\.kv="([\d.]+) GiB"', GIB),
    ("graph_full", r'memory\.graph\.full="([\d.]+) MiB"', MIB),
    ("graph_full", r'memory\.graph\.full="([\d.]+) GiB"', GIB),
    ("weights", r'memory\.weights\.total="([\d.]+) MiB"', MIB),
    ("weights", r'memory\.weights\.total="([\d.]+) GiB"', GIB),
    ("required_full", r'memory\.required\.full="([\d.]+) GiB"', GIB),
    ("required_full", r'memory\.required\.full="([\d.]+) MiB"', MIB),
    *(
        (name, rf'msg="{said}" (?:device|buffer)={where} size="([\d.]+) {word}"', unit)
        for name, said, where in (
            ("model_cuda0", "model weights", r"\w+?0"),
            ("model_cpu", "model weights", "CPU"),
            ("kv_total", "kv cache", r"\w+?0"),
            ("compute_cuda0", "compute graph", r"\w+?0"),
        )
        for word, unit in (("MiB", MIB), ("GiB", GIB))
    ),
    ("compute_metal", r"Metal compute buffer size = *([\d.]+) MiB", MIB),
)
_COUNTS: tuple[tuple[str, str], ...] = (
    ("tokens", r"GPU KV cache size: ([\d,]+) tokens"),
    ("tokens", r"#tokens: (\d+)"),
    ("tokens", r"max_total_num_tokens=(\d+)"),
    ("blocks", r"# (?:GPU|cuda|CUDA) blocks: (\d+)"),
    ("conc", r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x"),
    ("attn_block", r"Setting attention block size to (\d+) tokens"),
    ("est_max_len", r"estimated maximum model length is (\d+)"),
)
_SAID: tuple[tuple[str, str, type], ...] = (
    ("tensor_parallel", r"tensor_parallel_size['\"]?[=:] ?(\d+)|\btp_size=(\d+)", int),
    ("pipeline_parallel", r"pipeline_parallel_size['\"]?[=:] ?(\d+)", int),
    (
        "max_model_len",
        r"max_seq_len=(\d+)|max_model_len['\"]?[=:] ?(\d+)|max seq len \((\d+)\)|concurrency for ([\d,]+)",
        int,
    ),
    (
        "gpu_memory_utilization",
        (
            r"gpu_memory_utilization['\"]?[=:] ?([\d.]+)|gpu_memory_utilization \(([\d.]+)\)|"
            r"[Dd]esired GPU memory utilization is \(([\d.]+),|less than desired GPU memory utilization \(([\d.]+),|"
            r"current --gpu-memory-utilization=([\d.]+)"
        ),
        float,
    ),
    ("kv_cache_dtype", r"kv_cache_dtype=['\"]?(\w+)", str),
    ("quantization", r"[ ,{]quantization=['\"]?([\w-]+)", str),
    ("max_num_seqs", r"max_num_seqs['\"]?[=:] ?(\d+)", int),
    ("max_num_batched_tokens", r"max_num_batched_tokens['\"]?[=:] ?(\d+)", int),
    ("mem_fraction_static", r"mem_fraction_static=([\d.]+)", float),
    ("context_length", r"context_length=(\d+)", int),
    ("page_size", r"page_size=(\d+)", int),
    ("n_ctx", r"n_ctx +(?:= +)?(\d+)|n_ctx *= *(\d+)|--ctx-size (\d+)|\bKvSize:(\d+)", int),
    ("n_gpu_layers", r"offloaded (\d+)/\d+ layers to GPU", int),
    ("n_ubatch", r"n_ubatch *= *(\d+)", int),
)
_MODEL = re.compile(
    r"model='([^']{1,200})'|'model(?:_tag)?': '([^']{1,200})'|model_path='([^']{1,200})'|"
    r"general\.name +(?:str +)?(?:= +)?([^\n]{1,100})|Starting to load model ([^\s.]\S{0,200}?)\.\.\."
)
_VERSION = re.compile(
    r"LLM engine \(v([^)\s]{1,40})\)|API server version ([\d.]\S{0,30})|\bbuild: (\d+)|version: (\d+) \("
)
_ENGINES = (
    ("ollama", re.compile(r"memory\.required\.|ollama runner|ollama_llama_server|msg=\"model weights\"")),
    ("sglang", re.compile(r"ServerArgs\(|Load weight (?:begin|end)|max_total_num_tokens")),
    ("llama.cpp", re.compile(r"llama_(?:model|kv|context|new|init)|llm_load|ggml_")),
    ("vllm", re.compile(r"vllm|KV cache (?:memory|size)|# (?:GPU|cuda) blocks|memory_profiling", re.IGNORECASE)),
)
_SAMPLERS = (
    (True, re.compile(r"Using FlashInfer for top-p")),
    (
        False,
        re.compile(
            r"FlashInfer is (?:not available|available, but it is not enabled)|FlashInfer top-p\S* sampling (?:dis|un)"
        ),
    ),
)
"""What vLLM says of its sampler."""
_ERAS = (
    ("0.10.1", re.compile(r"EngineCore_\d+ pid")),
    ("0.16", re.compile(r"EngineCore_DP\d+ pid")),
)
"""Releases by the names of their processes, where no line says the version; those after write ``EngineCore pid``."""
_SECOND = re.compile(
    r"(Using V2 Model Runner|\[model_runner\.py:\d+\] (?:Loading model from scratch|Graph captur))|"
    r"\[gpu_model_runner\.py:"
)
_FIRST = re.compile(r"V1 LLM engine|GiB for peak activation|EngineCore")
_REFUSED = re.compile(
    r"KV cache is needed|No available memory for the cache|Not enough memory. Please try to increase|"
    r"failed to initialize the context|unable to load model"
)
HEAD = 2_000_000
"""Characters of a log that are read: a start-up is at its beginning."""


def read_startup(text: str) -> dict[str, Any] | None:
    """The figures of a start-up, and what the log says of model, version and options; None where it has no figure."""
    text = text[:HEAD]
    figures: dict[str, dict[str, Any]] = {}
    for name, pattern, unit in _SIZES:
        # The first of several ranks alike; a later line of the same name says no more.
        if name not in figures and (found := re.search(pattern, text)):
            figures[name] = _size(found[1], unit)
    for name, pattern in _COUNTS:
        if name not in figures and (found := re.search(pattern, text)):
            plain = found[1].replace(",", "")
            figures[name] = {"printed": found[1], "value": float(plain) if "." in plain else int(plain)}
    if not figures:
        return None
    engine = next((name for name, pattern in _ENGINES if pattern.search(text)), "vllm")
    record: dict[str, Any] = {"id": "the log", "engine": engine, "figures": figures, "tensor_parallel": 1}
    record |= _said(text)
    if found := _MODEL.search(text):
        record["model"] = next(group for group in found.groups() if group).strip()
    if engine == "llama.cpp":
        record |= _of_llamacpp(text)
    if engine == "vllm":
        record |= _of_vllm(text)
    version = _VERSION.search(text)
    runner = " V1" if _FIRST.search(text) else " V0" if "Initializing an LLM engine" in text else ""
    said = next(group for group in version.groups() if group) if version else record.get("version", "")
    record["version"] = f"{said}{runner}"
    record["outcome"] = "refused" if _REFUSED.search(text) else "started"
    return record


def _of_vllm(text: str) -> dict[str, Any]:
    """What its lines say by whose they are: ranks, the model runner, the sampler, and the era of a release unsaid."""
    found: dict[str, Any] = {"version": next((said for said, pattern in _ERAS if pattern.search(text)), "")}
    if "tensor_parallel" not in _said(text):
        found["tensor_parallel"] = _workers(text)
    for by_flashinfer, line in _SAMPLERS:
        if line.search(text):
            found["flashinfer_sampler"] = by_flashinfer
    if second := _SECOND.search(text):
        found["v2_model_runner"] = second[1] is not None
    return found


def _workers(text: str) -> int:
    """Ranks by the processes that write: each of V1's has its number, V0's first is the main one."""
    ranks = {
        int(number)
        for number in re.findall(r"Worker_TP(\d{1,3})\b|VllmWorker(?: rank=|_TP|TP)(\d{1,3})", text)
        for number in number
        if number
    }
    others = set(re.findall(r"VllmWorkerProcess pid=(\d{1,9})", text))
    return max(ranks) + 1 if ranks else len(others) + 1


def _said(text: str) -> dict[str, Any]:
    """The options that the log names."""
    said: dict[str, Any] = {}
    for name, pattern, kind in _SAID:
        if found := re.search(pattern, text):
            word = next(group for group in found.groups() if group)
            if word.lower() not in {"none", "null"}:
                said[name] = kind(word.replace(",", "") if kind is int else word)
    return said


def _of_llamacpp(text: str) -> dict[str, Any]:
    """How the file is packed (``Q4_K - Medium``), and whether scores are kept."""
    found: dict[str, Any] = {}
    if packed := re.search(r"(?:file type|model ftype) *= *(\w+)(?: - (\w))?", text):
        found["quantization"] = "_".join(part for part in packed.groups() if part).lower()
    if flash := re.search(r"flash_attn *= *(0|1|enabled|disabled)", text):
        found["flash_attn"] = flash[1] in {"1", "enabled"}
    return found


def _size(printed: str, unit: int) -> dict[str, Any]:
    digits = len(printed.partition(".")[2])
    return {"printed": printed, "bytes": round(float(printed) * unit), "half_ulp_bytes": int(unit * 0.5 / 10**digits)}

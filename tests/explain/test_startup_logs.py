"""Start-up logs of engines: each figure beside the prediction."""

import json

import pytest

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.explain.startup import explain_startup, is_startup

VLLM = """
(EngineCore_0 pid=1) INFO 09-14 Initializing a V1 LLM engine (v0.10.2) with config: model='google/gemma-3-27b-it', \
tensor_parallel_size=1, pipeline_parallel_size=1, quantization=None, kv_cache_dtype=auto, max_seq_len=4096
INFO Model loading took 51.4 GiB and 20 seconds
INFO Chunked prefill is enabled with max_num_batched_tokens=8192.
INFO Available KV cache memory: 109.86 GiB
INFO GPU KV cache size: 205,696 tokens
INFO Maximum concurrency for 4,096 tokens per request: 50.05x
INFO Graph capturing finished in 20 secs, took 1.02 GiB
"""
V0 = """
INFO Initializing an LLM engine (v0.7.3) with config: model='Qwen/Qwen2.5-1.5B', \
tensor_parallel_size=1, max_seq_len=32768, dtype=torch.float16
the current vLLM instance can use total_gpu_memory (14.56GiB) x gpu_memory_utilization (0.50) = 7.28GiB
model weights take 2.89GiB; non_torch_memory takes 0.01GiB; PyTorch activation peak memory takes 2.02GiB; the rest of \
the memory reserved for KV Cache is 2.36GiB.
# GPU blocks: 5519, # CPU blocks: 9362
Maximum concurrency for 32768 tokens per request: 2.69x
"""
REFUSED = """
INFO Initializing a V1 LLM engine (v0.11.0) with config: model='meta-llama/Llama-3.1-8B', \
tensor_parallel_size=1, max_seq_len=131072
INFO Available KV cache memory: 10.00 GiB
ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is needed, \
which is larger than the available KV cache memory (10.00 GiB). Based on the available memory, the estimated maximum \
model length is 81904.
"""
SGLANG = """
server_args=ServerArgs(model_path='Qwen/Qwen3-14B', tp_size=4, mem_fraction_static=0.8, context_length=40960)
[TP0] Load weight end. type=Qwen3ForCausalLM, dtype=torch.bfloat16, avail mem=16.00 GB, mem usage=7.08 GB.
[TP0] KV Cache is allocated. #tokens: 298447, K size: 5.69 GB, V size: 5.69 GB
"""
LLAMA = """
general.name str = Llama-3.1-8B
llama_init_from_model: n_ctx = 131072
llama_init_from_model: n_ubatch = 512
llama_kv_cache_unified: size = 16384.00 MiB (131072 cells, 32 layers), K (f16): 8192.00 MiB, V (f16): 8192.00 MiB
"""


def lines(report):
    return {line.figure: line.verdict for line in report.lines}


def test_windows_are_printed_as_predicted():
    report = explain_startup(VLLM)
    assert (report.engine, report.version, report.model) == ("vllm", "0.10.2 V1", "google/gemma-3-27b-it")
    assert lines(report)["tokens"] == lines(report)["concurrency"] == "exact"
    assert report.serving is None
    assert "--gpu" in report.notes[0]
    assert explain_startup(VLLM, gpu="H200").serving.starts == "yes"


def test_a_v0_log_names_the_whole_budget():
    report = explain_startup(V0)
    assert lines(report)["blocks"] == "exact"
    assert lines(report)["pool"] == "in range"
    assert report.serving.card_bytes > 14 * 2**30


def test_a_refusal_is_explained_with_what_to_turn():
    report = explain_startup(REFUSED, gpu="RTX 4090")
    assert not report.started
    assert lines(report)["kv_needed"] == "exact"
    assert "81904" in report.helps[0]


def test_sglang_and_llamacpp_logs():
    assert lines(explain_startup(SGLANG)) == {"tokens": "exact", "kv": "exact"}
    assert lines(explain_startup(LLAMA)) == {"kv_total": "exact", "kv_k": "exact", "kv_v": "exact"}


def test_a_model_that_is_not_known_is_named():
    report = explain_startup(VLLM.replace("google/gemma-3-27b-it", "/models/mine"))
    assert not report.lines
    assert "name it" in report.notes[0]
    assert explain_startup(VLLM.replace("google/gemma-3-27b-it", "/models/mine"), "gemma-3-27b-it").lines
    with pytest.raises(InspectorError):
        explain_startup("nothing of the kind")


def test_the_command_tells_a_start_up_from_an_error(tmp_path, capsys):
    (tmp_path / "startup.log").write_text(V0)
    assert run(["explain", str(tmp_path / "startup.log"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "inspector.startup"
    assert found["off"] == []
    assert not is_startup(b"CUDA out of memory. Tried to allocate 2.00 GiB\nModel loading took 3 GiB\n# GPU blocks: 3")


LLAMACPP_FILE = """
print_info: general.name     = Llama 3.2 3B
print_info: file type   = Q6_K
load_tensors: offloaded 29/29 layers to GPU
load_tensors:   CPU_Mapped model buffer size =   308.23 MiB
llama_context: n_ctx         = 8192
llama_context: flash_attn    = 1
llama_kv_cache: size =  896.00 MiB (  8192 cells,  28 layers,  1 seqs), K (f16):  448.00 MiB, V (f16):  448.00 MiB
"""


def test_a_llamacpp_log_says_how_its_file_is_packed():
    report = explain_startup(LLAMACPP_FILE, gpu="RTX 4090")
    assert report.model == "meta-llama/Llama-3.2-3B"
    found = {line.figure: line for line in report.lines}
    assert {name: line.verdict for name, line in found.items()} == dict.fromkeys(found, "exact")
    assert set(found) == {"kv_total", "kv_k", "kv_v", "model"}  # the embedding, with the host
    assert report.serving is not None
    assert any("29 layers" in term.source for term in report.serving.terms)


OLLAMA = (
    'msg="offload to cuda" layers.model=29 memory.required.kv="448.0 MiB" memory.weights.total="934.7 MiB" '
    'memory.graph.full="584.0 MiB"\nmsg="starting llama server" cmd="/usr/bin/ollama runner --ctx-size 16384"'
)


def test_an_ollama_log_and_sglangs_refusal():
    report = explain_startup(OLLAMA, "qwen2.5-1.5b")
    assert (report.engine, report.started) == ("ollama", True)
    assert [line.verdict for line in report.lines if line.figure == "kv_total"] == ["exact"]
    refused = explain_startup(
        "ServerArgs(model_path='Qwen/Qwen3-32B', mem_fraction_static=0.7)\n"
        "Load weight end. type=Qwen3ForCausalLM, avail mem=17.39 GB, mem usage=61.19 GB.\n"
        "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.",
        gpu="H100",
    )
    assert not refused.started
    assert any(line.startswith("--mem-fraction-static 0.") for line in refused.helps)


def test_a_model_is_known_by_what_it_was_made_of():
    log = ("model='/data/Hermes-3-Llama-3.1-8B' max_seq_len=4096", "Model loading took 14.9889 GiB")
    assert explain_startup("\n".join((*log, "Available KV cache memory: 4.00 GiB"))).model == "meta-llama/Llama-3.1-8B"


RANKS = """
(VllmWorkerProcess pid=3280379) INFO worker.py:266] model weights take 30.71GiB; non_torch_memory takes 0.30GiB; \
PyTorch activation peak memory takes 1.26GiB; the rest of the memory reserved for KV Cache is 7.71GiB.
INFO worker.py:266] can use total_gpu_memory (44.42GiB) x gpu_memory_utilization (0.90) = 39.98GiB
INFO executor_base.py:108] # CUDA blocks: 3947, # CPU blocks: 2048
INFO executor_base.py:113] Maximum concurrency for 10000 tokens per request: 6.32x
"""
NEWER = """
(EngineCore pid=4108) INFO [gpu_model_runner.py:6063] Profiling CUDA graph memory: PIECEWISE=51, FULL=35
(EngineCore pid=4108) INFO [gpu_model_runner.py:6142] Estimated CUDA graph memory: 0.52 GiB total
(EngineCore pid=4108) INFO [gpu_worker.py:462] Available KV cache memory: 6.37 GiB
(EngineCore pid=4108) INFO [gpu_worker.py:477] The current --gpu-memory-utilization=0.9764 is equivalent to 0.9543.
(EngineCore pid=4108) INFO [kv_cache_utils.py:1710] GPU KV cache size: 46,368 tokens
(EngineCore pid=4108) INFO [kv_cache_utils.py:1711] Maximum concurrency for 16,384 tokens per request: 2.83x
"""
MARLIN = """
(EngineCore_0 pid=5839) INFO [gpu_model_runner.py:2007] Model loading took 65.9651 GiB and 12.799889 seconds
(EngineCore_0 pid=5839) INFO [gpu_worker.py:276] Available KV cache memory: -2.14 GiB
ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`.
"""


def test_what_the_lines_names_say():
    # Two ranks by their processes (vllm-project/vllm issues/15815).
    report = explain_startup(RANKS, "Qwen/Qwen2.5-32B-Instruct")
    assert lines(report)["weights"] == lines(report)["blocks"] == lines(report)["concurrency"] == "exact"
    assert not report.off
    # The first model runner by its file (LMCache/LMCache issues/3430).
    report = explain_startup(NEWER, "Qwen/Qwen3-8B", gpu="RTX 4090")
    assert lines(report)["tokens"] == lines(report)["concurrency"] == "exact"
    assert lines(report)["pool"] == "in range"
    assert dict(report.printed)["graph_est"] == "0.52"
    # A release by the names of its processes, which decides the kernel (vllm-project/vllm issues/23278).
    report = explain_startup(MARLIN, "openai/gpt-oss-120b", gpu="H100")
    assert (report.version, lines(report)["weights"]) == ("0.10.1 V1", "in range")


def test_what_a_newer_log_says_of_its_terms():
    text = (
        "(EngineCore pid=9) INFO [gpu_worker.py:385] Using V2 Model Runner\nUsing FlashInfer for top-p & top-k.\n"
        "Free memory on device (77.57/79.11 GiB) on startup. Desired GPU memory utilization is (0.92, 72.78 GiB). "
        "Actual usage is 15.27 GiB for weight, 0.9 GiB for peak activation, 0.1 GiB for non-torch memory, and 0.5 GiB "
        "for CUDAGraph memory."
    )
    report = explain_startup(text, "Qwen/Qwen3-8B")
    assert dict(report.printed) == {
        "weights": "15.27",
        "act": "0.9",
        "outside": "0.1",
        "graph": "0.5",
        "total": "79.11",
    }
    assert report.version.endswith("V1")
    assert report.serving is not None
    assert any(term.name == "the sampler's state" for term in report.serving.terms)


def test_cards_that_are_no_cuda_ones():
    text = "print_info: general.name = Qwen3 Next 80B A3B Instruct\nload_tensors: offloaded 49/49 layers to GPU\n"
    text += "load_tensors: Vulkan0 model buffer size = 80885.28 MiB\n"
    text += "load_tensors: Vulkan_Host model buffer size = 593.50 MiB\n"
    assert is_startup(text.encode())
    report = explain_startup(text)
    assert report.model == "Qwen/Qwen3-Next-80B-A3B-Instruct"
    assert dict(report.printed) == {"model_cuda0": "80885.28", "model_cpu": "593.50"}


def test_ollamas_own_engine():
    text = (
        'msg=load request="{Operation:commit Parallel:1 BatchSize:512 KvSize:8192 GPULayers:33[ID:GPU-1]}"\n'
        'msg="model weights" device=CUDA0 size="4.3 GiB"\nmsg="model weights" device=CPU size="281.8 MiB"\n'
        'msg="kv cache" device=CUDA0 size="1.0 GiB"\nmsg="compute graph" device=CUDA0 size="258.5 MiB"\n'
    )
    report = explain_startup(text, "llama-3.1-8b")
    assert report.engine == "ollama"
    assert lines(report) == {"kv_total": "exact"}
    assert dict(report.printed)["model_cpu"] == "281.8"

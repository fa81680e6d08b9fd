"""The errors that are told apart: how each begins, and what it is in plain words. The first that matches is meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Where = Literal["card", "host", "start", "other"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of error. ``where`` is whose memory it is: the card's, the host's, or a server's budget at its start.

    ``says`` is what it means, ``helps`` what to do about it where that does not depend on the figures.
    """

    name: str
    pattern: str
    title: str
    where: Where
    says: str
    helps: tuple[str, ...] = ()


_LATER = "errors of the card are reported late: set CUDA_LAUNCH_BLOCKING=1 to see the line that asked"
_LEAVE = "leave the card some memory: a smaller batch, or torch.cuda.set_per_process_memory_fraction(0.9)"
_ALONE = "see with nvidia-smi what else is on the card, and end it or take another one"
_HOST = "load shards one by one (low_cpu_mem_usage, safetensors), fewer workers, no copy of the model for each process"

KINDS = (
    Kind("cuda", r"CUDA out of memory\.?\s+Tried to allocate", "CUDA out of memory", "card",
         "PyTorch's caching allocator asked the card for memory and got none."),
    Kind("hip", r"HIP out of memory\.?\s+Tried to allocate", "HIP out of memory", "card",
         "PyTorch's caching allocator, the same code on an AMD card, asked for memory and got none."),
    Kind("xpu", r"XPU out of memory\.?\s+Tried to allocate", "XPU out of memory", "card",
         "PyTorch's caching allocator for Intel cards asked for memory and got none."),
    Kind("mps", r"MPS backend out of memory", "MPS out of memory", "card",
         "PyTorch on an Apple chip came to its limit (the high watermark), of memory that the whole system shares.",
         ("close other programs: the memory is the system's own",
          "PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 lifts the limit, and the system swaps or stops instead")),
    Kind("async", r"Allocation on device \d{0,4} ?would exceed allowed memory", "CUDA out of memory", "card",
         "CUDA's own pool (PYTORCH_CUDA_ALLOC_CONF=backend:cudaMallocAsync) asked the card for memory and got none."),
    Kind("vllm_sleep", r"CUDA Error: out of memory at \S*cumem_allocator", "vLLM's sleep mode found no memory", "card",
         "vLLM's own allocator (sleep mode) could not map its memory again: something took it while it slept.",
         (_ALONE, "a smaller --gpu-memory-utilization")),
    Kind("bitsandbytes", r"Error [^\n]{1,80}? at line \d+ in file [^\n]*(?:pythonInterface|ops)\.(?:c|cu|cpp|hip)\b|"
         r"cudaMallocManaged|cget_managed_ptr", "bitsandbytes' own allocation failed", "card",
         "bitsandbytes speaks to CUDA by itself and not through PyTorch's allocator. Its paged optimizers use managed "
         "memory (cudaMallocManaged), which the host backs and some systems do not offer (WSL, vGPU, MIG).",
         ("adamw_bnb_8bit instead of paged_adamw_8bit where managed memory is not offered",
          "more free host memory: paged state lies there when the card is full", _ALONE)),
    Kind("nccl", r"(?:Cuda failure|NCCL WARN)[^\n]{0,60}out of memory|ncclUnhandledCudaError|"
         r"NCCL[^\n]{0,120}unhandled (?:cuda|system) error",
         "NCCL found no memory for its buffers", "card",
         "Several cards talk through NCCL, which allocates its channels' buffers beside PyTorch: PyTorch has taken the "
         "whole card, or another process has.",
         ("NCCL_DEBUG=INFO says what failed: 'out of memory', or something else", _LEAVE,
          "one process a card: two ranks on one card, or all on card 0, fail so (torch.cuda.set_device)")),
    Kind("cublas", r"CUBLAS_STATUS_ALLOC_FAILED|CUBLAS_STATUS_NOT_INITIALIZED[^\n]{0,80}cublasCreate|"
         r"CUBLAS_STATUS_NOT_INITIALIZED|CUDNN_STATUS_ALLOC_FAILED|CUDNN_STATUS_NOT_INITIALIZED|"
         r"(?:HIPBLAS|ROCBLAS)_STATUS_ALLOC_FAILED|CUSOLVER_STATUS_ALLOC_FAILED",
         "a CUDA library found no memory for its workspace", "card",
         "cuBLAS or cuDNN sets up its handle and workspace at the first use, beside PyTorch's allocator: the card was "
         "full by then. NOT_INITIALIZED is most often that too; a token out of range (an embedding's index) is the "
         "other cause.", (_LEAVE, _ALONE, _LATER)),
    Kind("driver", r"CUDA error: out of memory|HIP error: out of memory|cuda runtime error \(2\)|"
         r"cudaErrorMemoryAllocation|hipErrorOutOfMemory|CUDA_ERROR_OUT_OF_MEMORY|UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY|"
         r"UR_RESULT_ERROR_OUT_OF_RESOURCES",
         "the driver had no memory", "card",
         "Not PyTorch's allocator but the driver refused, and says no sizes: to start on the card (a context takes "
         "0.1 to 0.5 GiB), for pinned host memory, or for a kernel. Often the card was full already.",
         (_ALONE, "pinned host memory (pin_memory, offload) fails so too when the host is full", _LATER)),
    Kind("cpu", r"DefaultCPUAllocator:[^\n]{0,80}(?:can't allocate|not enough) memory|"
         r"Errno 12\] Cannot allocate memory|paging file is too small",
         "the host is out of memory", "host",
         "PyTorch asked the host for memory, not the card, and the system refused.", (_HOST,)),
    Kind("array", r"Unable to allocate \d[^\n]{0,60} for an array with shape", "the host is out of memory", "host",
         "numpy asked the host for one array, and the system refused.", (_HOST,)),
    Kind("shm", r"Bus error[^\n]{0,80}shared memory|insufficient shared memory \(shm\)",
         "shared memory (/dev/shm) is full", "host",
         "The data loader's workers hand batches over in /dev/shm, which a container limits to 64 MB by itself.",
         ("docker run --shm-size=8g (or --ipc=host)", "num_workers=0")),
    Kind("killed", r"(?m:^(?:[^\n]{0,120}\s)?Killed(?:\s[^\n]{0,80})?$)|Out of memory: Killed process|oom-kill|"
         r"OOMKilled|exit(?:ed with)?(?: ?code)?[ :=(]{1,3}(?:137|-9)\b|exitcode\s*:\s*-9|signal 9\b|SIGKILL",
         "the system ended the process", "host",
         "Linux's out-of-memory killer, or a container's or a scheduler's limit, ended it (signal 9, exit code 137): "
         "host memory, not the card's. There is no traceback, as nothing ran any more.",
         (_HOST,
          "dmesg says which process was ended; the limit of a container or job may be far below the machine's")),
    Kind("vllm_cache", r"No available memory for the cache blocks",
         "vLLM refuses to start: no room for a KV cache", "start",
         "Weights and activations took all of the card that --gpu-memory-utilization allows; nothing is left for keys "
         "and values.",
         ("a larger --gpu-memory-utilization (it is a share of the whole card)", "a quantized checkpoint",
          "--tensor-parallel-size over more cards", "a smaller --max-num-batched-tokens")),
    Kind("vllm_length", r"model's max seq len \(\d+\) is larger than the maximum number of tokens|"
         r"To serve at least one request with the model'?s'?s? max seq len",
         "vLLM refuses to start: one longest request does not fit", "start",
         "The KV cache that is left does not hold one sequence of --max-model-len tokens.",
         ("--max-model-len at what it names or below", "--kv-cache-dtype fp8, half the bytes a token",
          "a larger --gpu-memory-utilization")),
    Kind("vllm_free", r"Free memory on device[^\n]{0,120}less than desired GPU memory utilization",
         "vLLM refuses to start: the card is not free enough", "start",
         "--gpu-memory-utilization is a share of the whole card, and less than that is free: something else is on it.",
         (_ALONE, "a smaller --gpu-memory-utilization")),
    Kind("vllm_profiling", r"Error in memory profiling", "vLLM's measurement of the card was disturbed", "start",
         "While vLLM measured its peak, another process gave memory back or took some.", (_ALONE,)),
    Kind("vllm_sampler", r"CUDA out of memory occurred when warming up sampler",
         "vLLM refuses to start: no room for the sampler", "start",
         "Sampling sorts a row of logits for each request at once.",
         ("a smaller --max-num-seqs", "a smaller --gpu-memory-utilization")),
    Kind("sglang", r"Not enough memory[^\n]{0,60}mem-fraction-static", "SGLang refuses to start", "start",
         "The weights took the share of the card that --mem-fraction-static gives to weights and KV cache together.",
         ("a larger --mem-fraction-static", "--tp over more cards", "a quantized checkpoint")),
    Kind("llama_cpp", r"allocating \d[^\n]{0,40} on device \d+: cudaMalloc failed|"
         r"cudaMalloc failed: out of memory|"
         r"unable to allocate \w+ buffer|failed to allocate \w+ buffer|"
         r"failed to allocate compute|failed to allocate buffer for kv cache|ErrorOutOfDeviceMemory",
         "llama.cpp found no room for a buffer", "start",
         "llama.cpp allocates its model, KV cache and compute buffers whole, at the start.",
         ("fewer layers on the card (-ngl)", "a shorter context (-c), or -ctk q8_0 -ctv q8_0", "a smaller -ub")),
    Kind("ollama", r"model requires more system memory", "ollama refuses to start", "start",
         "What does not fit the card would lie in host memory, and the host has less free than that.",
         ("a smaller model or quantization", "a smaller num_ctx", "close other programs")),
    Kind("accelerate", r"Some modules are dispatched on the CPU or the disk",
         "the quantized model does not fit the card", "start",
         "device_map placed layers on the CPU or the disk, where bitsandbytes' layers do not run: the card had too "
         "little free for the whole model. Nothing was refused by an allocator.",
         (_ALONE, "device_map={'': 0} loads all of it on the card, or says how much is missing",
          "llm_int8_enable_fp32_cpu_offload=True for inference alone")),
    Kind("xla", r"RESOURCE_EXHAUSTED:[^\n]{0,40}Out of memory|"
         r"failed to allocate [\d.]{1,12}\w{0,4} \(\d{1,20} bytes\) from device", "XLA out of memory", "card",
         "XLA (JAX, TensorFlow, TPU) could not place a program's buffers."),
    Kind("triton", r"out of resource: shared memory", "a Triton kernel is too large for this card", "other",
         "Not the card's memory: the kernel wants more shared memory in a multiprocessor than this card has.",
         ("another attention (sdpa), or a version of the kernel with smaller tiles for this card",)),
    Kind("unsized", r"\bout of memory\b|\bOutOfMemoryError\b|MemoryError\b", "out of memory, without figures", "other",
         "Something says that memory ran out, and no more than that is in this text.",
         ("paste the whole message: its sizes say which memory it was",)),
)  # fmt: skip

BY_NAME = {kind.name: kind for kind in KINDS}
SAYS_ITS_SIZE = frozenset({"cuda", "hip", "xpu", "async", "mps", "cpu", "array"})
"""Those of which two are told apart by their figures; of the others the same said again is the same."""
SIZED = frozenset({"cuda", "hip", "xpu"})
"""Those that PyTorch's caching allocator prints, whose requests it has rounded."""
ANCHORS = (
    "out of memory", "Out of memory", "OutOfMemory", "OutOfDeviceMemory", "OUT_OF", "MemoryError", "MemoryAllocation",
    "oom-kill", "OOMKilled", "Killed", "SIGKILL", "signal 9", "137", "-9", "allocate", "_ALLOC_FAILED",
    "_NOT_INITIALIZED", "NCCL", "nccl", "pythonInterface", "/ops.", "\\ops.", "cudaMallocManaged", "cget_managed_ptr",
    "shared memory", "cache blocks", "max seq len", "memory utilization", "memory profiling", "mem-fraction-static",
    "system memory", "dispatched on", "would exceed allowed memory", "Errno 12]", "paging file",
)  # fmt: skip
"""Each pattern above has one of these in it: finding words takes a hundredth of the time of trying all patterns."""
ANY = re.compile("|".join(f"(?P<{kind.name}>{kind.pattern})" for kind in KINDS))
"""All at once, so that a log is gone through once; where several match at one place, the first is meant."""

"""Errors that look alike are told apart: each in the words of its own library."""

# ruff: noqa: E501 -- messages and lines of code as they are printed

import pytest

import inspector
from inspector.errors import InspectorError
from inspector.explain.kinds import KINDS

SAID = {
    "cuda": "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.79 GiB total capacity;",
    "hip": "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 23.98 GiB",
    "xpu": "torch.OutOfMemoryError: XPU out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.91 GiB",
    "mps": "RuntimeError: MPS backend out of memory (MPS allocated: 17.94 GB, other allocations: 401.14 MB, max allowed: "
           "18.13 GB). Tried to allocate 256.00 MB on private pool. Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable",
    "async": "torch.cuda.OutOfMemoryError: Allocation on device 0 would exceed allowed memory. (out of memory)\n"
             "Currently allocated     : 22.12 GiB\nRequested               : 20.00 MiB\nDevice limit            : 23.69 GiB\n"
             "Free (according to CUDA): 12.69 MiB\nPyTorch limit (set by user-supplied memory fraction)\n : 17179869184.00 GiB",
    "vllm_sleep": "RuntimeError: CUDA Error: out of memory at /workspace/csrc/cumem_allocator.cpp:62",
    "bitsandbytes": "Error out of memory at line 380 in file /mmfs1/home/x/bitsandbytes/csrc/pythonInterface.c",
    "nccl": "torch.distributed.DistBackendError: NCCL error in: ../ProcessGroupNCCL.cpp:1970, unhandled cuda error (run "
            "with NCCL_DEBUG=INFO for details), NCCL version 2.20.5\nncclUnhandledCudaError: Call to CUDA function failed."
            "\nLast error:\nCuda failure 2 'out of memory'",
    "cublas": "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "driver": "RuntimeError: CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
    "cpu": "RuntimeError: [enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you "
           "tried to allocate 6111412224 bytes. Error code 12 (Cannot allocate memory)",
    "array": "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 3.73 GiB for an array with shape (1000000, 500)",
    "shm": "RuntimeError: DataLoader worker (pid 412) is killed by signal: Bus error. It is possible that dataloader's "
           "workers are out of shared memory. Please try to raise your shared memory limit.",
    "killed": "Loading checkpoint shards:  66%|######6   | 2/3 [00:41<00:20, 20.6s/it]\nKilled",
    "vllm_cache": "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when",
    "vllm_length": "ValueError: The model's max seq len (32768) is larger than the maximum number of tokens that can be "
                   "stored in KV cache (15248). Try increasing `gpu_memory_utilization` or decreasing `max_model_len`",
    "vllm_free": "ValueError: Free memory on device (5.23/23.64 GiB) on startup is less than desired GPU memory utilization "
                 "(0.9, 21.28 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
    "vllm_profiling": "AssertionError: Error in memory profiling. Initial free memory 21.0 GiB, current free memory 22.1",
    "vllm_sampler": "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests.",
    "sglang": "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.",
    "llama_cpp": "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4155.99 MiB on device 0: cudaMalloc failed: out of "
                 "memory\nllama_model_load: error loading model: unable to allocate CUDA0 buffer",
    "ollama": "Error: model requires more system memory (8.4 GiB) than is available (5.6 GiB)",
    "accelerate": "ValueError: Some modules are dispatched on the CPU or the disk. Make sure you have enough GPU RAM to fit",
    "xla": "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 "
           "bytes.",
    "triton": "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 147456, Hardware limit: 101376",
    "unsized": "MemoryError",
}  # fmt: skip
MORE = {
    "xla": ["E xla/stream_executor/rocm/rocm_driver.cc:606] failed to allocate 115.19TiB (126656857505792 bytes) from device: HIP_ERROR_OutOfMemory"],
    "killed": ["slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.batch.", "torch.distributed.elastic: failed (exitcode: -9) local_rank: 0", "container exited with code 137",
               "Out of memory: Killed process 4242 (python)", "./run.sh: line 3:   321 Killed     python train.py",
               "reason: OOMKilled"],
    "cublas": ["RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
               "RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"],
    "driver": ["THCudaCheck FAIL\nRuntimeError: cuda runtime error (2) : out of memory at /pytorch/THCStorage.cu:58",
               "torch.AcceleratorError: CUDA error: out of memory", "RuntimeError: HIP error: out of memory",
               "RuntimeError: Native API failed. Native API returns: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"],
    "cpu": ["OSError: [Errno 12] Cannot allocate memory", "RuntimeError: [enforce fail at alloc_cpu.cpp:72] data. DefaultCPUAllocator: not enough memory: you tried to allocate 6111412224 bytes."],
    "bitsandbytes": ["Error operation not supported at line 383 in file /src/csrc/pythonInterface.cpp"],
    "vllm_length": ["ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is needed, which is larger than the available KV cache memory (5.00 GiB). Based on the available memory, the estimated maximum model length is 40960."],
}  # fmt: skip


def test_every_kind_has_its_words():
    assert set(SAID) == {kind.name for kind in KINDS}


@pytest.mark.parametrize("name", SAID)
def test_it_is_told_from_the_others(name):
    for text in (SAID[name], *MORE.get(name, ())):
        report = inspector.explain_error(f"INFO starting\n{text}\n")
        assert report.errors[0].error.name == name, text
        assert report.errors[0].line >= 2
        assert report.errors[0].helps or name in {"cuda", "hip", "xpu", "xla", "async"}


def test_what_helps_is_said_in_the_words_of_the_cards_maker():
    said = (
        "out of memory. Tried to allocate 4.50 GiB. GPU 0 has a total capacity of 15.98 GiB of which 1.40 GiB is free. "
        "Of the allocated memory 1.26 GiB is allocated by PyTorch, and 152.50 MiB is reserved by PyTorch but unallocated."
    )
    for maker, monitor in {"CUDA": "nvidia-smi", "HIP": "amd-smi", "XPU": "xpu-smi"}.items():
        helps = inspector.explain_error(f"torch.OutOfMemoryError: {maker} {said}").errors[0].helps
        assert [word for word in ("nvidia-smi", "amd-smi", "xpu-smi") if word in " ".join(helps)] == [monitor]


def test_their_figures():
    def sizes(name, text=""):
        figures = inspector.explain_error(text or SAID[name]).errors[0].figures
        return {key: size.text for key, size in figures.sizes().items()} | {
            "of": (figures.tokens_wanted, figures.tokens_possible)
        }

    none = (None, None)
    assert sizes("mps") == {"tried": "256.00 MB", "allocated_by_pytorch": "17.94 GB", "other": "401.14 MB",
                            "allowed": "18.13 GB", "of": none}  # fmt: skip
    assert inspector.explain_error(SAID["cpu"]).errors[0].figures.tried.nbytes == 6_111_412_224
    assert sizes("async") == {"tried": "20.00 MiB", "allocated_by_pytorch": "22.12 GiB", "capacity": "23.69 GiB",
                              "free": "12.69 MiB", "of": none}  # fmt: skip
    assert sizes("array") == {"tried": "3.73 GiB", "of": none}
    assert sizes("vllm_length") == {"of": (32_768, 15_248)}
    assert sizes("", MORE["vllm_length"][0]) == {
        "needed": "16.00 GiB",
        "available": "5.00 GiB",
        "of": (131_072, 40_960),
    }
    assert sizes("vllm_free") == {"needed": "21.28 GiB", "free": "5.23 GiB", "capacity": "23.64 GiB", "of": none}
    assert sizes("ollama") == {"needed": "8.4 GiB", "available": "5.6 GiB", "of": none}
    assert sizes("llama_cpp") == {"tried": "4155.99 MiB", "of": none}


@pytest.mark.parametrize("text", [
    "", "\n\n", "hello", "Traceback (most recent call last):\nValueError: shapes do not match", "killed two birds",
    "the process exited with code 1", "memory: 12 GiB", "signal 9000", "exit code 1370",
])  # fmt: skip
def test_what_is_no_such_error_is_refused(text):
    with pytest.raises(InspectorError, match="no out-of-memory error"):
        inspector.explain_error(text)

"""What is known by its name alone: classes and functions that are called, packages that are imported.

Names are those under which the libraries themselves hand them on, and the modules in which they are defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.simulate.script.check.report import Grade


@dataclass(frozen=True, slots=True)
class Rule:
    """What a dry run does about some names, why, and what to do instead."""

    grade: Grade
    what: str
    instead: str
    names: tuple[str, ...]


_ONE_CARD = "name its launcher, as in inspector run --nproc 2 FILE, or leave it out to see what one card takes"
_OFFLINE = "the network is refused unless --network"

CALLED = (
    Rule("refused", "nn.DataParallel", "several cards are not simulated: call the model itself",
         ("torch.nn.DataParallel", "torch.nn.parallel.DataParallel", "torch.nn.parallel.data_parallel.DataParallel",
          "torch.nn.parallel.data_parallel")),
    Rule("refused", "DistributedDataParallel", _ONE_CARD,
         ("torch.nn.parallel.DistributedDataParallel", "torch.nn.parallel.distributed.DistributedDataParallel",
          "torch.nn.DistributedDataParallel", "apex.parallel.DistributedDataParallel")),
    Rule("refused", "FSDP", _ONE_CARD,
         ("torch.distributed.fsdp.FullyShardedDataParallel", "torch.distributed.fsdp.fully_shard",
          "torch.distributed._composable.fsdp.fully_shard", "accelerate.FullyShardedDataParallelPlugin",
          "accelerate.utils.FullyShardedDataParallelPlugin",
          "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel")),
    Rule("refused", "DeepSpeed", _ONE_CARD,
         ("deepspeed.initialize", "deepspeed.init_inference", "accelerate.DeepSpeedPlugin",
          "accelerate.utils.DeepSpeedPlugin", "lightning.pytorch.strategies.DeepSpeedStrategy",
          "pytorch_lightning.strategies.DeepSpeedStrategy")),
    Rule("refused", "a process group", _ONE_CARD,
         ("torch.distributed.init_process_group", "torch.distributed.init_device_mesh",
          "torch.distributed.device_mesh.init_device_mesh")),
    Rule("refused", "tensor parallelism", _ONE_CARD,
         ("torch.distributed.tensor.parallel.parallelize_module", "accelerate.utils.TorchTensorParallelPlugin")),
    Rule("refused", "processes that each take a card", "one process is simulated: call the function itself",
         ("torch.multiprocessing.spawn", "torch.multiprocessing.start_processes", "accelerate.notebook_launcher",
          "accelerate.debug_launcher", "accelerate.launchers.notebook_launcher")),
    Rule("refused", "CUDA graphs", "what a graph keeps in its own pool is not simulated: run without the graph",
         ("torch.cuda.CUDAGraph", "torch.cuda.graph", "torch.cuda.graphs.CUDAGraph", "torch.cuda.graphs.graph",
          "torch.cuda.make_graphed_callables", "torch.cuda.graphs.make_graphed_callables")),
    Rule("refused", "an own CUDA extension", "what it allocates is not known: use PyTorch's operators in its place",
         ("torch.utils.cpp_extension.load", "torch.utils.cpp_extension.load_inline", "torch.ops.load_library",
          "torch.utils.cpp_extension.CUDAExtension", "torch.utils.cpp_extension.CppExtension",
          "torch.classes.load_library", "torch.cuda.memory.CUDAPluggableAllocator",
          "torch.cuda.memory.change_current_allocator")),
    Rule("refused", "flex_attention", "its fused kernel is not simulated: use scaled_dot_product_attention",
         ("torch.nn.attention.flex_attention.flex_attention",)),
    Rule("assumed", "an own Triton kernel", "launched, and computes nothing: what it writes is not known",
         ("triton.jit", "triton.autotune", "triton.heuristics", "torch.library.triton_op")),
    Rule("refused", "a kernel of Numba or CuPy", "what it does is not known: use PyTorch's operators in its place",
         ("numba.cuda.jit", "cupy.RawKernel", "cupy.ElementwiseKernel", "cupy.RawModule")),
    Rule("refused", "SHiRA", "its products are of sparse tensors, which are not simulated: LoRA has as many parameters",
         ("peft.ShiraConfig", "peft.tuners.ShiraConfig", "peft.tuners.shira.ShiraConfig")),
    Rule("assumed", "torch.compile", "run as eager: a compiled graph allocates less, or in another order",
         ("torch.compile", "torch.jit.script", "torch.jit.trace", "torch._dynamo.optimize", "torch.export.export")),
    Rule("skipped", "a login or an upload", _OFFLINE,
         ("huggingface_hub.login", "huggingface_hub.notebook_login", "huggingface_hub.upload_file",
          "huggingface_hub.upload_folder", "huggingface_hub.create_repo", "huggingface_hub.HfApi",
          "huggingface_hub.interpreter_login")),
    Rule("skipped", "a request over the network", _OFFLINE,
         ("requests.get", "requests.post", "requests.Session", "urllib.request.urlopen", "urllib.request.urlretrieve",
          "httpx.get", "httpx.post", "httpx.Client", "aiohttp.ClientSession", "boto3.client", "boto3.resource",
          "gdown.download", "wget.download", "torch.hub.load", "torch.hub.download_url_to_file",
          "torch.hub.load_state_dict_from_url", "nltk.download", "smtplib.SMTP", "socket.create_connection")),
    Rule("assumed", "a program of its own", "it is not seen: what it takes of the card is not counted",
         ("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call", "subprocess.check_output",
          "os.system", "os.popen", "os.execv", "os.execvp")),
    Rule("assumed", "processes of its own", "what they take of the card is not counted",
         ("multiprocessing.Process", "multiprocessing.Pool", "torch.multiprocessing.Process",
          "torch.multiprocessing.Pool", "concurrent.futures.ProcessPoolExecutor", "os.fork")),
)  # fmt: skip
"""By the full name of what is called, decorates or is inherited from."""

_SERVICE = "logging to a service"

IMPORTED = (
    Rule("refused", "unsloth", "it needs a card when it is imported: use transformers and PEFT in its place",
         ("unsloth", "unsloth_zoo")),
    Rule("refused", "vLLM", "its engine and its cache are not simulated: generate with transformers (use_vllm=False)",
         ("vllm",)),
    Rule("refused", "SGLang", "its engine and its cache are not simulated: generate with transformers", ("sglang",)),
    Rule("refused", "DeepSpeed", _ONE_CARD, ("deepspeed",)),
    Rule("refused", "Megatron", _ONE_CARD, ("megatron", "colossalai", "nemo")),
    Rule("refused", "a TPU", "cards of NVIDIA are simulated: run it on cuda", ("torch_xla", "torch_neuronx")),
    Rule("refused", "Transformer Engine", "its kernels are not simulated: use PyTorch's layers",
         ("transformer_engine",)),
    Rule("refused", "apex", "its kernels are not simulated: use PyTorch's optimizers and norms", ("apex", "amp_C")),
    Rule("refused", "TensorRT", "its engines are not simulated", ("tensorrt", "torch_tensorrt", "tensorrt_llm")),
    Rule("assumed", "TensorFlow", "only what PyTorch takes is counted", ("tensorflow", "keras", "tf_keras")),
    Rule("assumed", "JAX", "only what PyTorch takes is counted", ("jax", "flax", "optax")),
    Rule("assumed", "another framework", "only what PyTorch takes is counted", ("paddle", "mxnet", "mlx", "oneflow")),
    Rule("assumed", "arrays on the card that are not PyTorch's", "only what PyTorch takes is counted",
         ("cupy", "cudf", "cuml", "pycuda", "numba.cuda", "cuda")),
    Rule("skipped", _SERVICE, _OFFLINE,
         ("wandb", "mlflow", "comet_ml", "neptune", "clearml", "trackio", "swanlab", "aim")),
    Rule("skipped", "a service", _OFFLINE, ("openai", "anthropic", "google.generativeai", "replicate", "modal")),
)  # fmt: skip
"""By the package that is imported, or what lies in it."""

OF_RANKS = frozenset({
    "DistributedDataParallel", "FSDP", "DeepSpeed", "a process group", "tensor parallelism",
    "a model shared among cards", "a second card",
})  # fmt: skip
"""What a script may do that its launcher starts as one of several."""

FRAMEWORKS = ("TensorFlow", "JAX", "another framework")
"""Of `IMPORTED`, those that stand in PyTorch's place: a script with nothing of PyTorch in it is none of ours."""

OF_PYTORCH = frozenset({
    "torch", "transformers", "peft", "trl", "accelerate", "diffusers", "lightning", "pytorch_lightning", "datasets",
    "sentence_transformers", "bitsandbytes", "timm", "torchvision", "torchtune", "axolotl", "llamafactory", "unsloth",
    "vllm", "deepspeed", "torchao", "fastai", "setfit", "open_clip", "torchaudio", "flash_attn", "xformers",
})  # fmt: skip
"""Packages that are PyTorch or stand on it."""


def called(meant: str) -> Rule | None:
    """The rule for what is called by this full name."""
    return _BY_NAME.get(meant)


def imported(dotted: str) -> Rule | None:
    """The rule for an import: that of the package, or of the nearest that it lies in."""
    parts = dotted.split(".")
    heads = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((_BY_PACKAGE[head] for head in heads if head in _BY_PACKAGE), None)


_BY_NAME = {name: rule for rule in CALLED for name in rule.names}
_BY_PACKAGE = {name: rule for rule in IMPORTED for name in rule.names}

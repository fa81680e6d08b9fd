"""Every foreign name that is replaced in the child: the one list, and the one way to do it.

The child is ours from its first line to its last, so nothing is put back and all of its threads are meant. A name that
a library no longer has is skipped where the replacement only serves a question (``torch.cuda.temperature``).
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from pkgutil import resolve_name
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from inspector.simulate.script.child import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Place:
    """A group of names in one place: why they are replaced, and where that was read."""

    owner: str
    library: str
    versions: str
    why: str
    source: str
    names: frozenset[str] | None = None


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TORCH = ">=2.9,<2.16"
TRANSFORMERS = ">=5.23,<5.25"
PEFT = ">=0.21.2,<0.22"

PLACES: tuple[Place, ...] = (
    Place("torch:Tensor", "torch", TORCH, "tensors without data say where they are, and are moved without a driver",
          "torch/csrc/autograd/python_variable.cpp and python_variable_methods.cpp",
          None),
    Place("torch", "torch", TORCH, "tensors are made on the host and moved", "torch/csrc/utils/tensor_new.cpp",
          None),
    Place("torch:UntypedStorage", "torch", TORCH, "storages without data have a place and an address",
          "torch/csrc/StorageMethods.cpp", _names("data_ptr device is_cuda resize_")),
    Place("torch.nn:Parameter", "torch", TORCH, "parameters on the host have no data: a step's memory needs none",
          "torch/nn/parameter.py", _names("__new__")),
    Place("torch.cuda", "torch", TORCH, "the driver's answers are the card's", "torch/cuda/__init__.py, memory.py"),
    Place("torch.cuda.memory", "torch", TORCH, "the driver's answers are the card's", "torch/cuda/memory.py"),
    Place("torch.cuda.random", "torch", TORCH, "the driver's answers are the card's", "torch/cuda/random.py"),
    Place("torch.cuda.nvtx", "torch", TORCH, "marks for a profiler that is not there", "torch/cuda/nvtx.py"),
    Place("torch.accelerator", "torch", TORCH, "the driver's answers are the card's", "torch/accelerator/__init__.py"),
    Place("torch.version", "torch", TORCH, "libraries read the CUDA version of the build", "torch/version.py",
          _names("cuda")),
    Place("torch.backends.cuda", "torch", TORCH, "the build has CUDA", "torch/backends/cuda/__init__.py",
          _names("is_built is_flash_attention_available")),
    Place("torch.backends.cudnn", "torch", TORCH, "the build has cuDNN", "torch/backends/cudnn/__init__.py",
          _names("is_available version")),
    Place("torch.autograd", "torch", TORCH, "the stage of the step", "torch/autograd/__init__.py",
          _names("_engine_run_backward")),
    Place("torch.utils._foreach_utils", "torch", TORCH, "optimizers take CUDA's kernels", "_foreach_utils.py"),
    Place("torch.optim.optimizer", "torch", TORCH, "optimizers take CUDA's kernels", "torch/optim/optimizer.py"),
    Place("torch.amp.autocast_mode:autocast", "torch", TORCH, "autocast of the card", "torch/amp/autocast_mode.py"),
    Place("torch.nn.utils.clip_grad", "torch", TORCH, "the stage of the step", "torch/nn/utils/clip_grad.py",
          _names("clip_grad_norm_")),
    Place("torch.nn.utils", "torch", TORCH, "the stage of the step", "torch/nn/utils/clip_grad.py",
          _names("clip_grad_norm_")),
    Place("torch.nn:DataParallel", "torch", TORCH, "several cards in one process are not simulated",
          "torch/nn/parallel/data_parallel.py", _names("__init__")),
    Place("torch.nn.parallel:DistributedDataParallel", "torch", TORCH, "several processes are not simulated",
          "torch/nn/parallel/distributed.py", _names("__init__")),
    Place("torch.distributed.fsdp:FullyShardedDataParallel", "torch", TORCH, "several processes are not simulated",
          "torch/distributed/fsdp/fully_sharded_data_parallel.py", _names("__init__")),
    Place("torch.distributed.fsdp", "torch", TORCH, "several processes are not simulated",
          "torch/distributed/fsdp/_fully_shard/_fully_shard.py", _names("fully_shard")),
    Place("torch.distributed.tensor.parallel", "torch", TORCH, "several processes are not simulated",
          "torch/distributed/tensor/parallel/api.py", _names("parallelize_module")),
    Place("torch.cuda.graphs", "torch", TORCH, "what a graph keeps in its pool is not simulated",
          "torch/cuda/graphs.py", _names("make_graphed_callables")),
    Place("torch.cuda.graphs:CUDAGraph", "torch", TORCH, "what a graph keeps in its pool is not simulated",
          "torch/cuda/graphs.py", _names("__new__")),
    Place("torch.cuda.graphs:graph", "torch", TORCH, "what a graph keeps in its pool is not simulated",
          "torch/cuda/graphs.py", _names("__init__")),
    Place("torch.cuda.memory:CUDAPluggableAllocator", "torch", TORCH, "what another allocator hands out is not known",
          "torch/cuda/memory.py", _names("__init__")),
    Place("torch.utils.cpp_extension", "torch", TORCH, "what an extension allocates is not known",
          "torch/utils/cpp_extension.py", _names("load load_inline")),
    Place("torch.distributed", "torch", TORCH, "several processes are not simulated",
          "torch/distributed/distributed_c10d.py",
          _names("init_process_group is_nccl_available Reducer "
                 "all_reduce reduce reduce_scatter reduce_scatter_tensor reduce_scatter_single")),
    Place("deepspeed.ops.op_builder.builder", "deepspeed", ">=0.18,<0.19", "nothing is compiled",
          "deepspeed/ops/op_builder/builder.py", _names("installed_cuda_version")),
    Place("deepspeed.ops.op_builder.builder:OpBuilder", "deepspeed", ">=0.18,<0.19", "nothing is compiled",
          "deepspeed/ops/op_builder/builder.py", _names("load")),
    Place("torch.distributed.fsdp._optim_utils", "torch", TORCH, "other ranks have the states that this one has not",
          "torch/distributed/fsdp/_optim_utils.py", _names("_map_param_key_to_optim_keys _allgather_state_info")),
    Place("torch.distributed.checkpoint.default_planner", "torch", TORCH, "other ranks say what this one says",
          "torch/distributed/checkpoint/default_planner.py", _names("_validate_global_plan")),
    Place("torch._C", "torch", TORCH, "the build has CUDA", "torch/csrc/Module.cpp", _names("_get_accelerator")),
    Place("torch.distributed.distributed_c10d", "torch", TORCH, "a rank's groups are PyTorch's fake ones",
          "torch/distributed/distributed_c10d.py",
          _names("_new_process_group_helper default_pg_nccl_timeout all_reduce "
                 "reduce reduce_scatter reduce_scatter_tensor reduce_scatter_single")),
    Place("torch.distributed.rendezvous", "torch", TORCH, "no other rank is there to be met",
          "torch/distributed/rendezvous.py", _names("_create_c10d_store")),
    Place("torch.nn.parallel.distributed", "torch", TORCH, "no other rank is there to be compared with",
          "torch/nn/parallel/distributed.py", _names("_verify_param_shape_across_processes")),
    Place("torch.nn.parallel.distributed:DistributedDataParallel", "torch", TORCH, "its buckets are made in C++",
          "torch/nn/parallel/distributed.py, reducer.cpp", _names("__init__ _pre_forward")),
    Place("torch.distributed.tensor._sharding_prop:ShardingPropagator", "torch", TORCH, "shapes alone, of nobody's",
          "torch/distributed/tensor/_sharding_prop.py", _names("_propagate_tensor_meta_non_cached")),
    Place("torch.distributed.elastic.rendezvous.registry", "torch", TORCH, "a launcher is asked and starts nothing",
          "torch/distributed/launcher/api.py", _names("get_rendezvous_handler")),
    Place("torch.distributed.elastic.agent.server.local_elastic_agent", "torch", TORCH, "the same",
          "torch/distributed/elastic/agent/server/local_elastic_agent.py", _names("start_processes")),
    Place("torch.distributed.elastic.agent.server.local_elastic_agent:LocalElasticAgent", "torch", TORCH, "the same",
          "torch/distributed/elastic/agent/server/api.py", _names("_initialize_workers")),
    Place("torch.cuda.nccl", "torch", TORCH, "the build has NCCL", "torch/cuda/nccl.py", _names("version")),
    Place("torch.nn.attention.flex_attention", "torch", TORCH, "its fused kernel is not simulated",
          "torch/nn/attention/flex_attention.py", _names("flex_attention")),
    Place("torch._dynamo", "torch", TORCH, "compiled models run as they are", "torch/_dynamo/__init__.py",
          _names("optimize reset")),
    Place("torch.jit", "torch", TORCH, "scripted models run as they are", "torch/jit/_script.py and _trace.py",
          _names("script trace")),
    Place("torch.compiler", "torch", TORCH, "compiled models run as they are", "torch/compiler/__init__.py",
          _names("cudagraph_mark_step_begin")),
    Place("torch.utils.data:DataLoader", "torch", TORCH, "--steps ends a loop, --worst has its order",
          "torch/utils/data/dataloader.py", _names("__iter__ _index_sampler")),
    Place("torch.utils.data.dataloader:_BaseDataLoaderIter", "torch", TORCH, "--steps ends a loop where its data ends",
          "torch/utils/data/dataloader.py", _names("__next__")),
    Place("transformers.trainer:Trainer", "transformers", TRANSFORMERS, "--steps ends its training",
          "transformers/trainer.py", _names("train")),
    Place("torch.serialization", "torch", TORCH, "tensors without data are saved by their size",
          "torch/serialization.py", _names("save load")),
    Place("torch.utils._triton", "torch", TORCH, "the build has Triton", "torch/utils/_triton.py"),
    Place("threading:Thread", "python", ">=3.11,<3.15", "other threads of the script are on the card as well",
          "Lib/threading.py", _names("run")),
    Place("bitsandbytes.functional", "bitsandbytes", ">=0.50,<0.51", "8-bit and paged optimizers without a library",
          "bitsandbytes/functional.py"),
    Place("bitsandbytes.nn:Params4bit", "bitsandbytes", ">=0.50,<0.51", "weights are quantized without a library",
          "bitsandbytes/nn/modules.py"),
    Place("safetensors", "safetensors", ">=0.5", "files of weights are read by their headers",
          "safetensors/__init__.py", _names("safe_open serialize_file")),
    Place("safetensors.torch", "safetensors", ">=0.5", "files of weights are read and written by their headers",
          "safetensors/torch.py", _names("safe_open load_file save_file load save save_model load_model")),
    Place("transformers.integrations.finegrained_fp8", "transformers", TRANSFORMERS,
          "the kernels of FP8 layers come from the hub",
          "transformers/integrations/finegrained_fp8.py, fp8_linear and finegrained_fp8_linear",
          _names("load_finegrained_fp8_kernel is_deepgemm_loadable _apply_if_grad")),
    Place("transformers.integrations.moe", "transformers", TRANSFORMERS, "cards before Ampere have no grouped product",
          "transformers/integrations/moe.py", _names("_can_use_grouped_mm")),
    Place("huggingface_hub", "huggingface_hub", ">=1,<3", "the hub is the bundled models and what is on disk",
          "huggingface_hub/file_download.py, _snapshot_download.py, hf_api.py"),
    Place("huggingface_hub.file_download", "huggingface_hub", ">=1,<3", "the hub is the bundled models",
          "huggingface_hub/file_download.py", _names("hf_hub_download try_to_load_from_cache")),
    Place("huggingface_hub._snapshot_download", "huggingface_hub", ">=1,<3", "the hub is the bundled models",
          "huggingface_hub/_snapshot_download.py", _names("snapshot_download")),
    Place("huggingface_hub.hf_api:HfApi", "huggingface_hub", ">=1,<3", "nothing is sent to the hub",
          "huggingface_hub/hf_api.py"),
    Place("huggingface_hub.hf_api", "huggingface_hub", ">=1,<3", "nothing is sent to the hub",
          "huggingface_hub/hf_api.py"),
    Place("socket:socket", "python", ">=3.11,<3.15", "the network is refused", "Lib/socket.py",
          _names("connect connect_ex sendto sendmsg")),
    Place("sqlite3", "python", ">=3.11,<3.15", "compiled code that opens files by their names",
          "Modules/_sqlite/module.c", _names("connect")),
    Place("pyarrow", "pyarrow", ">=18", "compiled code that opens files by their names", "pyarrow/io.pxi, lib.cpp",
          _names("OSFile memory_map create_memory_map")),
    Place("pyarrow.parquet.core:ParquetWriter", "pyarrow", ">=18", "compiled code that opens files by their names",
          "pyarrow/parquet/core.py", _names("__init__")),
    Place("pyarrow.parquet.core:ParquetFile", "pyarrow", ">=18", "compiled code that opens files by their names",
          "pyarrow/parquet/core.py", _names("__init__")),
    Place("getpass", "python", ">=3.11,<3.15", "nobody is there to be asked", "Lib/getpass.py", _names("getpass")),
    Place("huggingface_hub._login", "huggingface_hub", ">=1,<3", "nothing is sent to the hub",
          "huggingface_hub/_login.py", _names("login notebook_login interpreter_login")),
    Place("shutil", "python", ">=3.11,<3.15", "folders are removed by names, which can be looked up elsewhere",
          "Lib/shutil.py", _names("_use_fd_functions")),
    Place("socket", "python", ">=3.11,<3.15", "the network is refused", "Lib/socket.py",
          _names("getaddrinfo gethostbyname")),
    Place("datasets.load", "datasets", ">=4,<6", "a data set of the hub is what the user gives in its place",
          "datasets/load.py", _names("load_dataset")),
    Place("datasets.arrow_dataset:Dataset", "datasets", ">=4,<6", "processes that are spawned have no world",
          "datasets/arrow_dataset.py", _names("save_to_disk")),
    Place("evaluate.loading", "evaluate", ">=0.4,<0.5", "a metric that is not on this disk is stood in for",
          "evaluate/loading.py", _names("load")),
    Place("subprocess:Popen", "python", ">=3.11,<3.15", "commands of the script are not run", "Lib/subprocess.py",
          _names("__init__")),
    Place("os", "python", ">=3.11,<3.15", "commands are not run, and files are written into the scratch folder",
          "Lib/os.py"),
    Place("builtins", "python", ">=3.11,<3.15", "files are written into the scratch folder", "Python/bltinmodule.c",
          _names("open")),
    Place("bz2", "python", ">=3.11,<3.15", "the same, by a name of its own", "Lib/bz2.py", _names("_builtin_open")),
    Place("tarfile", "python", ">=3.11,<3.15", "the same, by a name of its own", "Lib/tarfile.py",
          _names("bltn_open")),
    Place("tokenize", "python", ">=3.11,<3.15", "the same, by a name of its own", "Lib/tokenize.py",
          _names("_builtin_open")),
    Place("io", "python", ">=3.11,<3.15", "files are written into the scratch folder", "Lib/io.py", _names("open")),
    Place("multiprocessing.popen_spawn_posix:Popen", "python", ">=3.11,<3.15", "a spawned process has no world",
          "Lib/multiprocessing/popen_spawn_posix.py", _names("__init__")),
    Place("multiprocessing.popen_forkserver:Popen", "python", ">=3.11,<3.15", "a spawned process has no world",
          "Lib/multiprocessing/popen_forkserver.py", _names("__init__")),
    Place("transformers.tokenization_utils_tokenizers", "transformers", TRANSFORMERS, "tokenizers' files are opened by "
          "compiled code", "transformers/tokenization_utils_tokenizers.py", _names("TokenizerFast")),
    Place("transformers.tokenization_utils_tokenizers:TokenizersBackend", "transformers", TRANSFORMERS, "the same",
          "transformers/tokenization_utils_tokenizers.py", _names("_save_pretrained")),
    Place("transformers.generation.utils:GenerationMixin", "transformers", TRANSFORMERS,
          "the stage of the run; beams of unknown scores go on until they end, and those are given back",
          "transformers/generation/utils.py", _names("generate _update_finished_beams _check_early_stop_heuristic")),
    Place("transformers.modeling_utils:PreTrainedModel", "transformers", TRANSFORMERS, "the stage of the run",
          "transformers/modeling_utils.py", _names("save_pretrained from_pretrained")),
    Place("peft.utils.other", "peft", PEFT, "the stage of the run", "peft/utils/other.py",
          _names("prepare_model_for_kbit_training")),
    Place("peft.peft_model:PeftModel", "peft", PEFT, "the stage of the run", "peft/peft_model.py",
          _names("__init__ add_adapter load_adapter save_pretrained")),
    Place("peft.tuners.tuners_utils:BaseTuner", "peft", PEFT, "the stage of the run", "peft/tuners/tuners_utils.py",
          _names("inject_adapter merge_and_unload unload merge_adapter")),
    Place("transformers.models.auto.tokenization_auto:AutoTokenizer", "transformers", TRANSFORMERS, "a tokenizer that "
          "stands in is of the general class", "transformers/models/auto/tokenization_auto.py",
          _names("from_pretrained")),
)  # fmt: skip
"""By place; ``names`` None: all names there that a table of ours (such as `cuda_module`) has."""

_by_owner = {place.owner.replace(":", "."): place for place in PLACES}
made: dict[str, Any] = {}
"""What was there, by the full name."""


def replace(key: str, ours: Any, *, optional: bool = False) -> Any:
    """Put ours in the place of ``owner.name`` for good, and return what was there (None where nothing was)."""
    owner, _, name = key.rpartition(".")
    place = _by_owner[owner]
    assert place.names is None or name in place.names, key
    holder: Any = resolve_name(place.owner)
    before = getattr(holder, name, None)
    if before is None and optional:
        return None
    made.setdefault(key, before)
    setattr(holder, name, _signed(before, ours))
    return before


def _signed(before: Any, ours: Any) -> Any:
    """Ours, refusing what the function that was there refuses: what that takes and ours does not is our fault."""
    if not isinstance(before, FunctionType) or not isinstance(ours, (FunctionType, MethodType)):
        return ours

    @functools.wraps(before)
    def called(*args: object, **kwargs: object) -> Any:
        try:
            return ours(*args, **kwargs)
        except TypeError as error:
            if errors.refused_at_once(error):
                _blamed(error, before, args, kwargs)
            raise

    return called


def _blamed(error: TypeError, before: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    try:
        inspect.signature(before).bind(*args, **kwargs)
    except TypeError as said:
        raise errors.emulated(TypeError(f"{before.__name__}() {said}")) from None
    errors.ours(error)


def original(key: str) -> Any:
    """What was there before."""
    return made[key]

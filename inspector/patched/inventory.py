"""Every foreign name that a dry run takes the place of, with its reason, its source and the versions it is known in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TESTED = {
    "torch": ">=2.10,<2.16",
    "transformers": ">=5.23,<5.25",
    "peft": ">=0.21.2,<0.22",
    "bitsandbytes": ">=0.50,<0.51",
    "huggingface_hub": ">=2.0,<3",
    "numpy": ">=2.0,<3",
    "python": ">=3.11,<3.15",
    "deepspeed": ">=0.18.3,<0.19",
}
"""Versions that the replaced names were tested with; of libraries, those that pyproject.toml allows."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A foreign name: where it is (``module`` or ``module:Class``), why it is replaced, and where that was read.

    ``parameters`` are those its replacement counts on, in order; None where Python cannot tell them (functions in C)
    or the name is no function: a flag or a mapping. ``later``: not every supported version has it, and who replaces it
    asks first.
    """

    owner: str
    name: str
    library: str
    why: str
    source: str
    parameters: tuple[str, ...] | None = None
    later: bool = False

    @property
    def key(self) -> str:
        """The full dotted name, by which `patched` is asked for it."""
        return f"{self.owner.replace(':', '.')}.{self.name}"


def _names(
    owner: str, library: str, why: str, source: str, **names: tuple[str, ...] | None
) -> Iterator[tuple[str, Patch]]:
    for name, parameters in names.items():
        patch = Patch(owner, name, library, why, source, parameters)
        yield patch.key, patch


_OFFLINE = "no config makes a library reach the network"
_SEED = "what is drawn, seeded or restored here is not the caller's stream of random numbers"
_CUDA = "optimizers and clipping take the kernels for meta tensors that they take for CUDA's"
_AUTOCAST = "autocast is asked for, entered and left for the device of the tensors, which is meta"
_FA2 = "flash_attention_2 without the package, under a name of our own"
_NUMPY = (
    "beta", "binomial", "bytes", "chisquare", "choice", "dirichlet", "exponential", "f", "gamma", "geometric",
    "get_state", "gumbel", "hypergeometric", "laplace", "logistic", "lognormal", "logseries", "multinomial",
    "multivariate_normal", "negative_binomial", "noncentral_chisquare", "noncentral_f", "normal", "pareto",
    "permutation", "poisson", "power", "rand", "randint", "randn", "random", "random_integers", "random_sample", "ranf",
    "rayleigh", "sample", "seed", "set_state", "shuffle", "standard_cauchy", "standard_exponential", "standard_gamma",
    "standard_normal", "standard_t", "triangular", "uniform", "vonmises", "wald", "weibull", "zipf",
)  # fmt: skip
_RANK = "the wrappers of several cards take tensors without data for a card's, and its streams are ours"
_HOST = "what is offloaded lies on the host, although its tensors are on meta as the card's are"
_MILLION = "the parts of a million ranks, of which two are looked at"
_FSDP = "torch.distributed.fsdp"
_LIMIT = "a config that makes modules without end is stopped"

PATCHES: Mapping[str, Patch] = dict([
    *_names("huggingface_hub.constants", "huggingface_hub", _OFFLINE, "huggingface_hub/utils/_http.py, "
            "hf_request_event_hook", HF_HUB_OFFLINE=None),
    *_names("transformers.integrations.hub_kernels", "transformers", _OFFLINE, "hub_kernels.py, lazy_load_kernel",
            _kernels_enabled=None),
    *_names("logging:Logger", "python", "advice that libraries log about training is not for a dry run",
            "logging/__init__.py", handle=("self", "record")),
    *_names("warnings", "python", "what PEFT warns of as it loads an adapter is an answer, and is heard",
            "Python/_warnings.c, warnings_warn", warn=None),
    *_names("torch", "torch", "a model is made in its own dtype, which is not the caller's default",
            "transformers/modeling_utils.py, local_torch_dtype", set_default_dtype=("d",), get_default_dtype=None),
    *_names("torch.nn.modules.module", "torch", _LIMIT, "torch/nn/modules/module.py, register_module",
            _global_module_registration_hooks=None, _global_parameter_registration_hooks=None,
            _global_buffer_registration_hooks=None),
    *_names("transformers.modeling_utils:AttentionInterface", "transformers", _FA2, "transformers/utils/generic.py, "
            "GeneralInterface", _global_mapping=None),
    *_names("transformers.masking_utils:AttentionMaskInterface", "transformers", _FA2, "transformers/utils/generic.py, "
            "GeneralInterface", _global_mapping=None),
    *_names("transformers.integrations.moe", "transformers", "cards before Ampere have no grouped product",
            "transformers/integrations/moe.py", _can_use_grouped_mm=("input", "weight", "offs")),
    *_names("transformers.integrations.finegrained_fp8", "transformers", "the kernels of FP8 layers come from the hub",
            "integrations/finegrained_fp8.py, fp8_linear and finegrained_fp8_linear", load_finegrained_fp8_kernel=(),
            is_deepgemm_loadable=(), _apply_if_grad=("function", "direct", "input")),
    *_names("torch", "torch", _AUTOCAST, "torch/csrc/autograd/init.cpp", is_autocast_enabled=None,
            get_autocast_dtype=None),
    *_names("torch.amp.autocast_mode:autocast", "torch", _AUTOCAST, "torch/amp/autocast_mode.py",
            __init__=("self", "device_type", "dtype", "enabled", "cache_enabled"), __enter__=("self",),
            __exit__=("self", "exc_type", "exc_val", "exc_tb")),
    *_names("torch", "torch", "bitsandbytes compiles its CPU kernels as it is imported, and none is called",
            "bitsandbytes/backends/default/ops.py", compile=("model",)),
    *_names("torch", "torch", _SEED, "torch/utils/checkpoint.py, fork_rng and set_rng_state", get_rng_state=(),
            set_rng_state=("new_state",), manual_seed=("seed",)),
    *_names("torch.random", "torch", _SEED, "torch/random.py", get_rng_state=(), set_rng_state=("new_state",),
            manual_seed=("seed",), fork_rng=("devices", "enabled", "_caller", "_devices_kw", "device_type")),
    *_names("random", "python", _SEED, "random.py, the functions of its one instance",
            **dict.fromkeys(("random", "getrandbits", "gauss", "seed", "getstate", "setstate"))),
    *_names("random:_inst", "python", _SEED, "random.py, class Random: all others draw by these two",
            random=None, getrandbits=None),
    *_names("numpy.random", "numpy", _SEED, "numpy/random/mtrand.pyx, the methods of _rand", **dict.fromkeys(_NUMPY)),
    *_names("torch:Tensor", "torch", "the name of the expert that runs has a number in it (Switch, NLLB-MoE)",
            "torch/_tensor.py, Tensor.__format__", __format__=("self", "format_spec")),
    *_names("torch:Tensor", "torch", _RANK, "torch/distributed/fsdp/_runtime_utils.py, _reset_flat_param",
            data_ptr=None, record_stream=None),
    *_names("torch:Tensor", "torch", _HOST, "torch/_C/_VariableFunctions, torch/csrc/autograd/python_variable.cpp",
            **dict.fromkeys(("__repr__", "device", "is_cpu", "is_meta", "to", "cpu", "pin_memory", "is_pinned",
                             "new_empty", "new_zeros", "new_ones", "new_full"))),
    *_names("torch", "torch", _HOST, "torch/csrc/autograd/python_torch_functions_manual.cpp",
            **dict.fromkeys(("empty", "zeros", "ones", "full", "rand", "randn", "empty_like", "zeros_like", "ones_like",
                             "full_like"))),
    *_names("torch:UntypedStorage", "torch", _RANK, "torch/distributed/utils.py, _alloc_storage and _free_storage",
            resize_=None, data_ptr=None),
    *_names("torch.accelerator", "torch", _RANK, "fsdp/_fully_shard/_fsdp_param_group.py, finalize_backward",
            current_stream=("device",)),
    *_names("torch.nn.parallel.distributed", "torch", _RANK, "torch/csrc/distributed/c10d/reducer.cpp, "
            "verify_params_across_processes", _verify_param_shape_across_processes=("process_group", "tensors")),
    *(patch for owner in ("_fsdp_collectives", "_fsdp_init", "_fsdp_param_group", "_fsdp_state")
      for patch in _names(f"{_FSDP}._fully_shard.{owner}", "torch", _RANK, "torch/distributed/device_mesh.py",
                          _get_device_handle=("device_type",))),
    *(patch for owner in ("device_mesh", "tensor._random")
      for patch in _names(f"torch.distributed.{owner}", "torch", _RANK, "torch/distributed/device_mesh.py",
                          _get_device_handle=("device_type",))),
    *_names(f"{_FSDP}._fully_shard._fully_shard", "torch", _RANK, "fsdp/_fully_shard/_fsdp_init.py",
            _get_device_from_mesh=("mesh",)),
    *_names(f"{_FSDP}._fully_shard._fsdp_param_group:FSDPParamGroup", "torch", _RANK, "fsdp/_fully_shard/"
            "_fsdp_param_group.py, lazy_init", _validate_no_meta_params=("self",)),
    *_names(f"{_FSDP}._fully_shard._fsdp_param", "torch", _MILLION,
            "fsdp/_fully_shard/_fsdp_param.py, _init_sharded_param", _chunk_with_empty=("tensor", "num_chunks", "dim")),
    *_names(f"{_FSDP}._flat_param:FlatParamHandle", "torch", _MILLION, "fsdp/_flat_param.py",
            _get_unpadded_shard=("tensor", "rank", "world_size")),
    *_names(f"{_FSDP}._runtime_utils", "torch", _MILLION, "fsdp/_runtime_utils.py, _reduce_grad",
            _get_reduce_scatter_tensors=("state", "unsharded_grad")),
    *_names("torch.distributed.device_mesh:DeviceMesh", "torch", "groups that this rank is not in, and a mesh anew for "
            "each weight", "torch/distributed/device_mesh.py", __getitem__=("self", "mesh_dim_names"),
            _concatenate=("device_mesh_list",),
            # Handed on as it comes: since 2.15 it is told whether to keep the ranks' order.
            _init_one_process_group=None),
    *_names("torch.distributed._mesh_layout:_MeshLayout", "torch", "the rows of a mesh that this rank is not in",
            "torch/distributed/device_mesh.py, _init_one_process_group", remap_to_tensor=("self", "rank_map")),
    *_names(f"{_FSDP}._fully_shard._fsdp_param:FSDPParam", "torch", _RANK, "fsdp/_fully_shard/_fsdp_param.py",
            reset_sharded_param=("self",)),
    *_names(f"{_FSDP}._common_utils:_FSDPDeviceHandle", "torch", _RANK, "fsdp/_common_utils.py, from_device",
            __init__=("self", "device", "backend")),
    *_names(f"{_FSDP}._init_utils", "torch", _RANK, "fsdp/_init_utils.py, _init_param_handle_from_module",
            _need_to_materialize_module=("module", "ignored_params", "ignored_modules"),
            _move_module_to_device=("module", "ignored_params", "ignored_buffers", "device_from_device_id")),
    *_names(f"{_FSDP}._fully_shard._fsdp_init", "torch", _RANK, "fsdp/_fully_shard/_fsdp_init.py, _init_param_group",
            _move_states_to_device=("params", "buffers", "device")),
    *(patch for owner in ("_runtime_utils", "_flat_param")
      for patch in _names(f"{_FSDP}.{owner}", "torch", _RANK, "torch/distributed/utils.py",
                          _no_dispatch_record_stream=("tensor", "stream"))),
    *_names("torch.distributed.tensor._sharding_prop:ShardingPropagator", "torch", "what a cut tensor's shape will be "
            "is asked with tensors that no card has", "torch/distributed/tensor/_sharding_prop.py",
            _propagate_tensor_meta_non_cached=("self", "op_schema")),
    ("torch.distributed.tensor._sharding_prop._propagate_use_strided_shard_flag", Patch(
        "torch.distributed.tensor._sharding_prop", "_propagate_use_strided_shard_flag", "torch",
        "a list of tensors is looked at once, not for each of them",
        "torch/distributed/tensor/_sharding_prop.py, propagate_op_sharding_non_cached", ("op_strategy", "op_schema"),
        later=True)),
    *_names("transformers.distributed.tensor_parallel:TensorParallelLayer", "transformers", "a cut tensor's strides "
            "are asked of a meta tensor, which is no card's", "transformers/distributed/tensor_parallel.py",
            _from_local_last_dim_shard=("local", "mesh", "size")),
    *_names("transformers.distributed.expert_parallel:AllToAllEP", "transformers", "how many tokens go to which rank "
            "is data", "transformers/distributed/expert_parallel.py",
            _dispatch_tokens=("self", "hidden_states", "top_k_index", "top_k_weights")),
    *_names("torch:Tensor", "torch", "how many tokens go to which rank is data", "transformers/distributed/"
            "expert_parallel.py, AllToAllEP._dispatch_tokens", tolist=None),
    *(patch for owner in ("partition_parameters", "partitioned_param_coordinator", "stage3")
      for patch in _names(f"deepspeed.runtime.zero.{owner}", "deepspeed", "there are no other ranks to be asked",
                          "deepspeed/runtime/zero/utils.py", assert_ints_same_as_other_ranks=None)),
    *(patch for owner in ("engine", "zero.partition_parameters", "zero.parameter_offload", "zero.stage3",
                          "zero.stage_1_and_2")
      for patch in _names(f"deepspeed.runtime.{owner}", "deepspeed", "it would print the memory of this process",
                          "deepspeed/runtime/utils.py", see_memory_usage=("message", "force"))),
    *_names("deepspeed.runtime.zero.parameter_offload", "deepspeed", "what it prints is not for a dry run",
            "deepspeed/runtime/zero/parameter_offload.py, mark_persistent_parameters", print_rank_0=None),
    *(patch for owner, name in (
        ("adam.fused_adam", "FusedAdamBuilder"), ("adam.cpu_adam", "CPUAdamBuilder"),
        ("lion.fused_lion", "FusedLionBuilder"), ("lion.cpu_lion", "CPULionBuilder"),
        ("adagrad.cpu_adagrad", "CPUAdagradBuilder"),
    ) for patch in _names(f"deepspeed.ops.{owner}", "deepspeed", "no kernel is compiled, and none would run",
                          "deepspeed/ops/op_builder/builder.py", **{name: None})),
    *_names("torch.utils._foreach_utils", "torch", _CUDA, "torch/utils/_foreach_utils.py",
            _get_foreach_kernels_supported_devices=(), _get_fused_kernels_supported_devices=()),
    *_names("transformers.integrations.accelerate", "transformers", "the cards of a device_map offer what was named",
            "transformers/integrations/accelerate.py, get_max_memory", accelerate_max_memory=("max_memory",)),
    *_names("torch.optim.optimizer", "torch", _CUDA, "torch/optim/optimizer.py, _default_to_fused_or_foreach",
            _get_foreach_kernels_supported_devices=(), _get_fused_kernels_supported_devices=()),
    *_names("bitsandbytes", "bitsandbytes", "on a CPU, LLM.int8 trains through whole weights",
            "bitsandbytes/autograd/_functions.py, matmul",
            matmul=("A", "B", "out", "state", "threshold", "bias")),
    *_names("bitsandbytes.nn:Params4bit", "bitsandbytes", "weights are quantized as they arrive on meta, and DoRA "
            "copies them there", "bitsandbytes/nn/modules.py, Params4bit", to=("self", "args", "kwargs"),
            __deepcopy__=("self", "memo")),
    *_names("bitsandbytes.nn:Int8Params", "bitsandbytes", "weights are quantized as they arrive on meta",
            "bitsandbytes/nn/modules.py, Int8Params", to=("self", "args", "kwargs")),
    *_names("bitsandbytes.functional", "bitsandbytes", "the kept code of double quantization is a tensor without data",
            "bitsandbytes/functional.py, quantize_4bit", name2qmap=None),
    *_names("bitsandbytes.functional", "bitsandbytes", "8-bit and paged optimizers work on meta tensors",
            "bitsandbytes/functional.py and optim/optimizer.py, get_state_buffer",
            get_paged=("shape", "dtype", "device"), fill=("A", "value", "device", "prefetch"),
            prefetch_tensor=("A", "to_cpu"), is_on_gpu=("tensors",)),
])  # fmt: skip
"""Every foreign name that is ever replaced, by its full dotted name."""

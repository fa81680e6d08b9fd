"""What vLLM itself makes of a model on a card that is not there: its config, its model on shapes, its planner, as JSON.

Run by its path in any environment that has vLLM: nothing of this package is imported. One argument, a question as JSON:
``folder`` with a config.json, ``options`` of ``EngineArgs``, ``card`` (name, bytes, capability, processors) and
``available``, the bytes for the cache. One line of JSON is the answer. Written for vLLM 0.33.
"""

from __future__ import annotations

import gc
import json
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn
    from vllm.config import VllmConfig


def become(card: tuple[str, int, tuple[int, int], int]) -> None:
    """Be that card from here on, before anything of vLLM is imported."""
    runpy.run_path(str(Path(__file__).with_name("card.py")))["install"](*card)
    import torch
    import torch.distributed as dist
    from vllm.distributed.device_communicators.shm_broadcast import MessageQueue
    from vllm.model_executor.models import registry

    registry._run_in_subprocess = lambda function: function()
    MessageQueue.create_from_process_group = staticmethod(lambda *_, **__: None)
    new_group, fake = dist.new_group, torch.library.Library._register_fake
    dist.new_group = lambda *args, **options: new_group(*args, **{**options, "backend": "fake"})
    # An empty fake of vLLM's own operators would stand for the code that they run.
    library: Any = torch.library.Library
    library._register_fake = lambda self, *args, **options: None if self.ns == "vllm" else fake(self, *args, **options)


def answer(folder: Path, options: dict[str, Any], available: int) -> dict[str, Any]:
    """What vLLM makes of the model of a folder, or ``refused``, in its words."""
    specs: list[Any] = []
    weights: list[int] = []
    try:
        for stage in range(options.get("pipeline_parallel_size", 1)):
            config, made = build(folder, options, stage)
            weights.append(tensors(made))
            specs.append(spec_of(config))
    except (ValueError, AssertionError, NotImplementedError) as error:
        return {"refused": str(error).replace(str(folder), "the model")[:300]}
    step = config.scheduler_config
    found = {
        "weights": max(weights), "batched": step.max_num_batched_tokens, "seqs": step.max_num_seqs,
        "length": config.model_config.max_model_len, "dtype": str(config.model_config.dtype)[6:],
        "quantization": config.model_config.quantization,
    }  # fmt: skip
    if len(weights) > 1:
        found["stages"] = weights
    if options.get("enable_lora"):
        found["slots"] = slots(made)
    found |= planned(config, specs, available)
    packed = config.model_config.quantization or config.model_config.use_mla
    if len(weights) == 1 and not options.get("enable_lora") and packed:
        found["processed"] = processed(config, made)
    del made
    gc.collect()
    return found


def build(folder: Path, options: dict[str, Any], stage: int = 0) -> tuple[Any, Any]:
    """The resolved config and the model on shapes, the first rank of a stage, through vLLM's own calls."""
    import torch
    import torch.distributed as dist
    import vllm.distributed.parallel_state as parallel
    from torch.testing._internal.distributed.fake_pg import FakeStore
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.platforms import current_platform
    from vllm.usage.usage_lib import UsageContext
    from vllm.utils.torch_utils import set_default_torch_dtype

    ranks, stages = options.get("tensor_parallel_size", 1), options.get("pipeline_parallel_size", 1)
    engine = EngineArgs(
        model=str(folder), load_format="dummy", skip_tokenizer_init=True,
        distributed_executor_backend="mp" if ranks * stages > 1 else None, **options,
    )  # fmt: skip
    config = engine.create_engine_config(UsageContext.OPENAI_API_SERVER)
    config.device_config.device, config.device_config.device_type = torch.device("meta"), "meta"
    type(current_platform).device_type = "meta"
    if dist.is_initialized():
        parallel.destroy_model_parallel()
        parallel.destroy_distributed_environment()
    first, world = stage * ranks, ranks * stages
    contexts = options.get("decode_context_parallel_size", 1)
    config.parallel_config.rank = first
    with set_current_vllm_config(config):
        dist.init_process_group("fake", store=FakeStore(), rank=first, world_size=world)
        parallel.init_distributed_environment(world, first, "fake://", 0, "fake")
        parallel.initialize_model_parallel(ranks, stages, decode_context_model_parallel_size=contexts)
        with set_default_torch_dtype(config.model_config.dtype), torch.device("meta"):
            model = initialize_model(vllm_config=config)
        return config, with_slots(config, model) if options.get("enable_lora") else model


def with_slots(config: VllmConfig, model: nn.Module) -> Any:
    """The model with the room that vLLM keeps for adapters."""
    import torch
    from vllm.v1.worker.lora_model_runner_mixin import LoRAModelRunnerMixin

    runner: Any = LoRAModelRunnerMixin()
    return runner.load_lora_model(model, config, torch.device("meta"))


def slots(model: nn.Module) -> int:
    """Bytes of that room: stacked matrices are plain attributes of the layers."""
    found: dict[int, int] = {}
    for module in model.modules():
        for name, value in vars(module).items():
            if name.endswith("_stacked"):
                for tensor in value if isinstance(value, tuple | list) else (value,):
                    found[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
    return sum(found.values())


def tensors(model: nn.Module) -> int:
    """Bytes of all storages of a model."""
    found = {
        tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
        for _, tensor in (*model.named_parameters(), *model.named_buffers())
    }
    return sum(found.values())


def processed(config: VllmConfig, model: nn.Module) -> int | None:
    """Bytes after the weights were repacked for their kernels; None where that asks for data."""
    import torch
    from vllm.config import set_current_vllm_config
    from vllm.model_executor.model_loader.utils import process_weights_after_loading

    try:
        with set_current_vllm_config(config):
            process_weights_after_loading(model, config.model_config, torch.device("meta"))
    except (NotImplementedError, RuntimeError, ValueError):
        return None
    return tensors(model)


def spec_of(config: VllmConfig) -> Any:
    """What each layer of a rank keeps."""
    from vllm.config import set_current_vllm_config
    from vllm.platforms import current_platform
    from vllm.v1.worker.gpu.attn_utils import get_kv_cache_spec

    with set_current_vllm_config(config):
        current_platform.update_block_size_for_backend(config)
        return get_kv_cache_spec(config)


def planned(config: VllmConfig, stages: list[Any], available: int) -> dict[str, Any]:
    """What vLLM's planner makes of the bytes: blocks, groups, concurrency, or its refusal.

    ``stages`` are the layers' specs of each pipeline stage, of one rank.
    """
    from vllm.config import set_current_vllm_config
    from vllm.distributed.kv_transfer.kv_connector.utils import get_current_attn_backends
    from vllm.v1.attention.backends.utils import get_supported_kv_cache_layouts, resolve_kv_cache_layout
    from vllm.v1.core.kv_cache_planning import get_global_kv_cache_groups, get_kv_cache_configs
    from vllm.v1.core.kv_cache_utils import generate_scheduler_kv_cache_config, get_kv_cache_capacity

    with set_current_vllm_config(config):
        ranks = config.parallel_config.world_size
        specs = [spec for spec in stages for _ in range(ranks // len(stages))]
        backends = get_current_attn_backends(config)
        layouts = [layout.name for layout in get_supported_kv_cache_layouts(backends)]
        resolve_kv_cache_layout(config, [layouts] * ranks, [each for spec in stages for each in spec.values()])
        groups = get_global_kv_cache_groups(config, specs)
        try:
            configs = get_kv_cache_configs(config, specs, [available] * ranks, groups)
        except ValueError as error:
            return {"refusal": str(error)}
        made = generate_scheduler_kv_cache_config(configs)
        _, concurrency = get_kv_cache_capacity(config, made)
        block = max(group.kv_cache_spec.block_size for group in made.kv_cache_groups)
        return {
            "blocks": made.num_blocks, "groups": len(made.kv_cache_groups), "block": block,
            "concurrency": round(concurrency, 4), "backend": backends[0].get_name(),
        }  # fmt: skip


def main() -> None:
    """Answer the question of the command line."""
    from importlib.metadata import version

    question = json.loads(sys.argv[1])
    name, size, capability, processors = question["card"]
    become((name, size, (capability[0], capability[1]), processors))
    found = answer(Path(question["folder"]), question["options"], question["available"])
    sys.stdout.write(json.dumps({"version": version("vllm"), **found}) + "\n")


if __name__ == "__main__":
    main()

"""Ask vLLM itself, on cards that are not there, what it makes of bundled models, and keep what it answers.

``ask.py`` asks about every card in a process of its own, goes on where it was stopped, and writes
``inspector/data/serving/vllm_asked.json``. Nothing of vLLM is needed but its Python files and what they import.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PLACE = Path(__file__).parent.parent.parent / "inspector" / "data" / "serving" / "vllm_asked.json"
MODELS = Path(__file__).parent.parent.parent / "inspector" / "data" / "models"
GIB = 2**30
AVAILABLE = 40 * GIB
"""Bytes for the cache that every answer is of."""
CARDS = {
    "H100": ("NVIDIA H100 80GB HBM3", int(79.19 * GIB), (9, 0), 132),
    "T4": ("Tesla T4", int(14.56 * GIB), (7, 5), 40),
    "A100-80GB": ("NVIDIA A100-SXM4-80GB", int(79.25 * GIB), (8, 0), 108),
    "RTX 4090": ("NVIDIA GeForce RTX 4090", int(23.5 * GIB), (8, 9), 128),
}
QUESTIONS = (
    ("H100", 1, "auto", ""), ("H100", 8, "auto", ""), ("T4", 1, "auto", ""), ("H100", 1, "fp8", ""),
    ("A100-80GB", 2, "auto", ""), ("RTX 4090", 4, "fp8", ""), ("RTX 4090", 1, "auto", ""), ("H100", 2, "auto", "lora"),
    ("H100", 4, "auto", "experts"), ("RTX 4090", 1, "auto", "stages"), ("H100", 8, "auto", "contexts"),
)  # fmt: skip
"""Card, ranks, dtype of the cache and what more is said; each is asked of every model that it can be asked of."""
MORE: dict[str, dict[str, Any]] = {
    "": {},
    "lora": {"enable_lora": True, "max_loras": 2, "max_lora_rank": 32},
    "experts": {"enable_expert_parallel": True},
    "stages": {"pipeline_parallel_size": 3},
    "contexts": {"decode_context_parallel_size": 2},
}
"""vLLM's own options, by the word that an answer has under ``more``."""
ASKED = (
    "meta-llama/Llama-3.2-1B", "Qwen/Qwen2.5-7B-Instruct", "google/gemma-3-1b-it", "google/gemma-2-9b",
    "Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-Next-80B-A3B-Instruct", "openai/gpt-oss-20b", "deepseek-ai/DeepSeek-V2-Lite",
    "deepseek-ai/DeepSeek-R1", "mistralai/Mistral-7B-v0.1", "google/gemma-3-12b-it",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct", "microsoft/phi-4", "microsoft/Phi-3-mini-4k-instruct",
    "EleutherAI/pythia-1.4b", "openai-community/gpt2", "facebook/opt-125m", "tiiuae/falcon-7b",
    "CohereLabs/c4ai-command-r7b-12-2024", "allenai/OLMo-2-1124-7B", "allenai/OLMoE-1B-7B-0924",
    "ibm-granite/granite-3.3-2b-instruct", "HuggingFaceTB/SmolLM3-3B", "mistralai/Mixtral-8x7B-v0.1",
    "zai-org/GLM-4.5-Air", "microsoft/phi-2", "google/gemma-2b", "mistralai/Ministral-8B-Instruct-2410",
    "Qwen/Qwen3-0.6B", "Qwen/Qwen2.5-0.5B", "meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-70B", "Qwen/Qwen3-14B",
    "Qwen/Qwen3-235B-A22B", "google/gemma-3-27b-it", "openai/gpt-oss-120b", "moonshotai/Kimi-K2-Instruct",
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503", "ibm-granite/granite-3.0-1b-a400m-base",
    "meta-llama/Llama-2-7b-hf", "mistralai/Mistral-Nemo-Base-2407",
)  # fmt: skip


def build(folder: Path, ranks: int, kept: str, more: str, stage: int = 0) -> tuple[Any, Any]:
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

    engine = EngineArgs(
        model=str(folder), load_format="dummy", skip_tokenizer_init=True, tensor_parallel_size=ranks,
        distributed_executor_backend="mp" if ranks > 1 or more == "stages" else None, kv_cache_dtype=kept, **MORE[more],
    )  # fmt: skip
    config = engine.create_engine_config(UsageContext.OPENAI_API_SERVER)
    config.device_config.device, config.device_config.device_type = torch.device("meta"), "meta"
    type(current_platform).device_type = "meta"
    if dist.is_initialized():
        parallel.destroy_model_parallel()
        parallel.destroy_distributed_environment()
    stages, contexts = (MORE[more].get(f"{name}_size", 1) for name in ("pipeline_parallel", "decode_context_parallel"))
    first, world = stage * ranks, ranks * stages
    config.parallel_config.rank = first
    with set_current_vllm_config(config):
        dist.init_process_group("fake", store=FakeStore(), rank=first, world_size=world)
        parallel.init_distributed_environment(world, first, "fake://", 0, "fake")
        parallel.initialize_model_parallel(ranks, stages, decode_context_model_parallel_size=contexts)
        with set_default_torch_dtype(config.model_config.dtype), torch.device("meta"):
            model = initialize_model(vllm_config=config)
        return config, with_slots(config, model) if more == "lora" else model


def with_slots(config: Any, model: Any) -> Any:
    """The model with the room that vLLM keeps for adapters."""
    import torch
    from vllm.v1.worker.lora_model_runner_mixin import LoRAModelRunnerMixin

    runner: Any = LoRAModelRunnerMixin()
    return runner.load_lora_model(model, config, torch.device("meta"))


def slots(model: Any) -> int:
    """Bytes of that room: stacked matrices are plain attributes of the layers."""
    found: dict[int, int] = {}
    for module in model.modules():
        for name, value in vars(module).items():
            for tensor in (
                () if not name.endswith("_stacked") else value if isinstance(value, tuple | list) else (value,)
            ):
                found[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
    return sum(found.values())


def tensors(model: Any) -> int:
    """Bytes of all storages of a model."""
    found = {
        tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
        for _, tensor in (*model.named_parameters(), *model.named_buffers())
    }
    return sum(found.values())


def processed(config: Any, model: Any) -> int | None:
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


def planned(config: Any, stages: list[Any]) -> dict[str, Any]:
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
            configs = get_kv_cache_configs(config, specs, [AVAILABLE] * ranks, groups)
        except ValueError as error:
            return {"refusal": str(error)}
        made = generate_scheduler_kv_cache_config(configs)
        _, concurrency = get_kv_cache_capacity(config, made)
        block = max(group.kv_cache_spec.block_size for group in made.kv_cache_groups)
        return {
            "blocks": made.num_blocks, "groups": len(made.kv_cache_groups), "block": block,
            "concurrency": round(concurrency, 4), "backend": backends[0].get_name(),
        }  # fmt: skip


def spec_of(config: Any) -> Any:
    """What each layer of a rank keeps."""
    from vllm.config import set_current_vllm_config
    from vllm.platforms import current_platform
    from vllm.v1.worker.gpu.attn_utils import get_kv_cache_spec

    with set_current_vllm_config(config):
        current_platform.update_block_size_for_backend(config)
        return get_kv_cache_spec(config)


def one(model: str, card: str, ranks: int, kept: str, more: str) -> dict[str, Any]:
    """The answer about one model."""
    asked = {"model": model, "card": card, "ranks": ranks, "kept": kept} | ({"more": more} if more else {})
    specs: list[Any] = []
    weights: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        text = (MODELS / f"{model.replace('/', '--')}.json").read_text(encoding="utf-8")
        (Path(folder) / "config.json").write_text(text, encoding="utf-8")
        try:
            for stage in range(MORE[more].get("pipeline_parallel_size", 1)):
                config, made = build(Path(folder), ranks, kept, more, stage)
                weights.append(tensors(made))
                specs.append(spec_of(config))
        except (ValueError, AssertionError, NotImplementedError) as error:
            return {**asked, "refused": str(error).replace(folder, model)[:300]}
        step = config.scheduler_config
        answer = {
            **asked, "weights": max(weights), "batched": step.max_num_batched_tokens, "seqs": step.max_num_seqs,
            "length": config.model_config.max_model_len, "dtype": str(config.model_config.dtype)[6:],
            "quantization": config.model_config.quantization,
        }  # fmt: skip
        if len(weights) > 1:
            answer["stages"] = weights
        if more == "lora":
            answer["slots"] = slots(made)
        answer |= planned(config, specs)
        if len(weights) == 1 and more != "lora" and (config.model_config.quantization or config.model_config.use_mla):
            answer["processed"] = processed(config, made)
    del made
    gc.collect()
    return answer


def child(card: str) -> None:
    """Ask everything about one card, a line each."""
    import torch.distributed as dist
    from card import install

    install(*CARDS[card])
    import torch
    from vllm.distributed.device_communicators.shm_broadcast import MessageQueue
    from vllm.model_executor.models import registry

    registry._run_in_subprocess = lambda function: function()
    MessageQueue.create_from_process_group = staticmethod(lambda *_, **__: None)
    new_group, fake = dist.new_group, torch.library.Library._register_fake
    dist.new_group = lambda *args, **options: new_group(*args, **{**options, "backend": "fake"})
    # An empty fake of vLLM's own operators would stand for the code that they run.
    torch.library.Library._register_fake = lambda self, *args, **options: (
        None if self.ns == "vllm" else fake(self, *args, **options)
    )
    there = kept_answers()
    for each, ranks, kept, more in QUESTIONS:
        for model in ASKED if each == card else ():
            if (model, card, ranks, kept, more) not in there and askable(model, kept, more):
                print(json.dumps(one(model, card, ranks, kept, more)), flush=True)


def askable(model: str, kept: str, more: str) -> bool:
    """Whether it can be asked so.

    Of a latent in fp8 FlashMLA's compiled extension decides, which is not here; experts are spread where there are any.
    """
    text = (MODELS / f"{model.replace('/', '--')}.json").read_text(encoding="utf-8")
    mixture = any(f'"{name}"' in text for name in ("num_experts", "num_local_experts", "n_routed_experts"))
    spread = {"experts": mixture, "lora": not mixture}  # adapters of experts need kernels that are chosen with data
    return not (kept == "fp8" and '"kv_lora_rank"' in text) and spread.get(more, True)


def kept_answers() -> dict[tuple[str, str, int, str, str], dict[str, Any]]:
    """What is known by now."""
    found = json.loads(PLACE.read_text(encoding="utf-8"))["answers"] if PLACE.exists() else []
    return {key(row): row for row in found}


def key(row: dict[str, Any]) -> tuple[str, str, int, str, str]:
    """What an answer is of."""
    return row["model"], row["card"], row["ranks"], row["kept"], row.get("more", "")


def main() -> None:
    """Ask about each card and write the file after every answer."""
    from importlib.metadata import version

    for card in CARDS:
        command = [sys.executable, __file__, card]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
            for line in asking.stdout or ():
                if not line.startswith("{"):
                    continue
                row = json.loads(line)
                answers = kept_answers() | {key(row): row}
                about = f"vLLM {version('vllm')} on shapes, 40 GiB for the cache, asked {dt.date.today()}"  # noqa: DTZ011
                write(about, list(answers.values()))
                print(row, flush=True)


def write(about: str, answers: list[dict[str, Any]]) -> None:
    """The file, an answer a line."""
    rows = ",\n".join(json.dumps(row) for row in answers)
    PLACE.write_text(f'{{"about": {json.dumps(about)}, "answers": [\n{rows}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()

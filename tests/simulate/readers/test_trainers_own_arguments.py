"""Our reading beside the tool's own classes: the same keys go through TRL's and transformers' parsers, and agree."""

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from inspector.simulate.setup.configured import read_config

pytestmark = [
    pytest.mark.pinned,
    pytest.mark.filterwarnings("ignore:.gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed"),
]
MODEL = {"model_name_or_path": "Qwen/Qwen2.5-7B-Instruct", "output_dir": "x", "report_to": "none", "use_cpu": True}
QLORA = {"use_peft": True, "load_in_4bit": True, "dtype": "bfloat16", "lora_target_modules": ["q_proj", "v_proj"]}
CASES = {
    "nothing said": ("sft", {"packing": False}),
    "sft": ("sft", {
        "max_length": 4096, "packing": True, "use_peft": True, "lora_r": 64, "lora_alpha": 8, "use_rslora": True,
        "gradient_accumulation_steps": 4, "per_device_train_batch_size": 2, "optim": "paged_adamw_8bit",
        "activation_checkpointing": False, "fp16": True, "lora_modules_to_save": ["lm_head"], "max_grad_norm": 0.3,
    }),
    "qlora": ("sft", {**QLORA, "packing": False, "use_bnb_nested_quant": True, "eval_strategy": "steps",
                      "eval_steps": 5, "per_device_eval_batch_size": 3, "use_dora": True}),
    "int8": ("sft", {"use_peft": True, "load_in_8bit": True, "packing": False, "dtype": "auto"}),
    "dpo": ("dpo", {**QLORA, "beta": 0.05, "max_length": 2048, "precompute_ref_log_probs": True}),
    "dpo, nothing said": ("dpo", {"precompute_ref_log_probs": False}),
    "kto": ("kto", {"desirable_weight": 2.0, "bf16": False}),
    "grpo": ("grpo", {"num_generations": 8, "max_completion_length": 128, "use_vllm": True, "vllm_mode": "server"}),
    "grpo, nothing said": ("grpo", {"log_completions": True}),
    "rloo": ("rloo", {"normalize_advantages": True, "use_vllm": True}),
    "reward": ("reward", {"center_rewards_coefficient": 0.01, "max_length": 512}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_as_trls_own_parser(name, tmp_path):
    import trl
    from transformers import HfArgumentParser
    from trl.trainer.utils import get_peft_config, get_quantization_config

    kind, said = CASES[name]
    config = {"sft": "SFT", "dpo": "DPO", "kto": "KTO", "grpo": "GRPO", "rloo": "RLOO", "reward": "Reward"}[kind]
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump({**MODEL, **said}))
    ours = read_config(path)
    parser = HfArgumentParser((getattr(trl, f"{config}Config"), trl.ModelConfig))
    args, model = parser.parse_dict({**MODEL, **said}, allow_extra_keys=True)
    value = ours.value
    assert value("objective") == kind
    assert (value("per_device_batch"), value("gradient_accumulation")) == (
        args.per_device_train_batch_size, args.gradient_accumulation_steps,
    )  # fmt: skip
    assert value("mixed_precision") == ("bf16" if args.bf16 else "fp16" if args.fp16 else "none")
    assert value("gradient_checkpointing.enabled") == args.gradient_checkpointing
    assert value("optimizer") == getattr(args.optim, "value", args.optim)
    assert value("max_grad_norm") == args.max_grad_norm
    assert value("load_dtype") == model.dtype
    assert value("eval_batch") == (args.per_device_eval_batch_size if args.eval_strategy != "no" else None)
    if kind in {"grpo", "rloo"}:
        assert (value("completion_length"), value("num_generations")) == (
            args.max_completion_length, args.num_generations,
        )  # fmt: skip
        assert value("generation") == (f"vllm-{args.vllm_mode}" if args.use_vllm else "transformers")
        if args.use_vllm and args.vllm_mode == "colocate":
            assert value("vllm_gpu_memory_utilization") == args.vllm_gpu_memory_utilization
    else:
        assert value("seq_len") == args.max_length
    if kind == "sft":
        assert value("packing") == args.packing
    if hasattr(args, "beta"):
        assert value("beta") == args.beta
    peft = get_peft_config(model)
    assert (value("method") == "full") == (peft is None)
    if peft is not None:
        assert (value("lora.r"), value("lora.alpha"), value("lora.dropout")) == (
            peft.r, peft.lora_alpha, peft.lora_dropout,
        )  # fmt: skip
        assert bool(value("lora.dora")) == peft.use_dora
        assert bool(value("lora.rslora")) == peft.use_rslora
        assert value("lora.modules_to_save") == peft.modules_to_save
        if peft.target_modules:
            assert set(value("lora.targets")) == set(peft.target_modules)
    quantized = get_quantization_config(model)
    if quantized is None:
        assert value("quantization.scheme") is None
    elif quantized.load_in_8bit:
        assert value("quantization.scheme") == "int8"
    else:
        assert value("quantization.scheme") == quantized.bnb_4bit_quant_type
        assert value("quantization.double_quant") == quantized.bnb_4bit_use_double_quant
        for part in ("compute_dtype", "quant_storage"):
            theirs = str(getattr(quantized, f"bnb_4bit_{part}")).removeprefix("torch.")
            assert value(f"quantization.{part}") == theirs


def test_as_transformers_own_class(tmp_path):
    from transformers import HfArgumentParser, TrainingArguments

    for said in (
        {}, {"bf16": True, "gradient_checkpointing": True}, {"fp16": True, "optim": "adafactor", "max_grad_norm": 0.0},
        {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 5, "eval_strategy": "epoch"},
    ):  # fmt: skip
        content = {"output_dir": "x", "learning_rate": 1e-4, "use_cpu": True, **said}
        path = tmp_path / "args.yaml"
        path.write_text(yaml.safe_dump(content))
        value = read_config(path).value
        (args,) = HfArgumentParser(TrainingArguments).parse_dict(content)
        assert value("per_device_batch") == args.per_device_train_batch_size
        assert value("gradient_accumulation") == args.gradient_accumulation_steps
        assert value("mixed_precision") == ("bf16" if args.bf16 else "fp16" if args.fp16 else "none")
        assert value("optimizer") == getattr(args.optim, "value", args.optim)
        assert value("max_grad_norm") == args.max_grad_norm
        assert value("gradient_checkpointing.enabled") == bool(args.gradient_checkpointing)
        assert value("eval_batch") == (args.per_device_eval_batch_size if args.eval_strategy != "no" else None)


def test_the_keys_that_are_known_are_those_of_the_classes():
    from dataclasses import fields

    import trl
    from transformers import TrainingArguments

    from inspector.simulate.setup.readers.known_keys import keys_of, version_of

    assert version_of("trl") == trl.__version__
    for tool, classes in {
        "transformers": (TrainingArguments,),
        "trl": (trl.SFTConfig, trl.DPOConfig, trl.GRPOConfig, trl.KTOConfig, trl.RewardConfig, trl.ModelConfig),
    }.items():
        for cls in classes:
            assert {item.name for item in fields(cls) if item.init and item.name[0] != "_"} <= keys_of(tool)


@pytest.mark.parametrize(("tool", "most"), [("llama-factory", 900), ("axolotl", 4000)])
def test_what_a_trainers_own_classes_said_is_what_we_say(tool, most):
    """`make trainer-arguments` asks them, where the tool can be imported."""
    kept = json.loads((Path(__file__).parent / "own_arguments.json").read_text())["tools"][tool]["files"]
    assert {name: one["differs"] for name, one in kept.items() if one.get("differs")} == {}
    assert sum(one.get("compared", 0) for one in kept.values()) > most
    for path in (Path(__file__).parent / "given" / tool).iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] == kept[f"{tool}/{path.name}"]["sha256"]

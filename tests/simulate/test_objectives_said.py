"""Objectives and evaluations: what a choice implies, and what contradicts what. No torch."""

from __future__ import annotations

import pytest

from inspector.errors import InspectorError
from inspector.simulate.setup.configured import read_config
from inspector.simulate.setup.evaluation import EvalSetup
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.from_config import settings_of
from inspector.simulate.setup.objective import ObjectiveSetup
from inspector.simulate.setup.settings import FinetuneSettings


def test_an_objective_brings_what_its_trainer_does():
    said = resolve_setup(objective="dpo", method="full").explained()
    assert said["loss"] == {"value": "trl", "set_by": "objective"}
    assert said["padding_mask"] == {"value": True, "set_by": "objective"}
    assert said["zero_grad"]["value"] == "after"
    assert resolve_setup(objective="dpo", loss="full", zero_grad="before").settings.loss == "full"
    assert resolve_setup(objective="reward").settings.loss == "full"
    assert resolve_setup(objective="gkd", teacher="llama-3.2-1b").settings.loss == "full"
    assert resolve_setup(objective="orpo", autocast="bf16").explained()["outputs_fp32"]["set_by"] == "objective"
    assert resolve_setup(method="full").setup.objective is None


def test_a_setup_and_its_words_are_one():
    settings = resolve_setup(
        objective="kto",
        ref_model="precomputed",
        prompt_len=8,
        eval_batch=4,
        eval_batches=3,
        eval_accum=2,
        method="lora",
    ).settings
    assert settings.setup.evaluation == EvalSetup(4, 3, "loss", 2)
    assert FinetuneSettings.of(settings.setup) == settings


@pytest.mark.parametrize(
    ("kind", "adapted", "held"),
    [
        ("dpo", True, "adapters"),
        ("dpo", False, "copy"),
        ("grpo", False, "none"),
        ("rloo", True, "adapters"),
        ("kto", False, "copy"),
        ("orpo", False, "none"),
        ("reward", True, "none"),
    ],
)
def test_where_the_reference_model_is(kind, adapted, held):
    assert ObjectiveSetup(kind).reference_of(adapted=adapted) == held


OF_A_FILE = """
model_name_or_path: Qwen/Qwen2.5-0.5B
dtype: bfloat16
per_device_train_batch_size: 8
"""


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("teacher_model_name_or_path: Qwen/Qwen2.5-1.5B\nlmbda: 0.5\nmax_length: 512",
         {"objective": "gkd", "teacher": "Qwen/Qwen2.5-1.5B", "batch_size": 8}),
        ("teacher_model_name_or_path: Qwen/Qwen2.5-1.5B\nmax_completion_length: 128\nuse_vllm: true",
         {"objective": "distill", "teacher": "Qwen/Qwen2.5-1.5B", "rollouts": "colocated"}),
        (("num_generations: 8\nuse_vllm: true\nvllm_mode: colocate\nvllm_gpu_memory_utilization: 0.4\n"
         "vllm_enable_sleep_mode: true\nvllm_max_model_length: 2048\nreward_model_name_or_path: Qwen/Qwen2.5-0.5B"),
         {"objective": "grpo", "rollouts": "colocated", "vllm_gpu_memory_utilization": 0.4,
          "vllm_enable_sleep_mode": True, "vllm_max_model_length": 2048, "reward_model": "Qwen/Qwen2.5-0.5B"}),
        ("max_length: 512\nprecompute_ref_log_probs: false\nsync_ref_model: true",
         {"objective": "dpo", "sync_ref_model": True}),
    ],
)  # fmt: skip
def test_a_file_of_trl_says_what_options_say(tmp_path, lines, found):
    (tmp_path / "trl.yaml").write_text(OF_A_FILE + lines)
    # What is typed is not asked of the file: TRL's own defaults leave both open.
    words, _ = settings_of(read_config([tmp_path / "trl.yaml"]), {"loss": "trl", "seq_len": 64})
    assert found.items() <= words.items()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objective": "dop"}, "objective 'dop' is not known"),
        ({"objective": "orpo", "ref_model": "copy"}, "orpo has no reference model"),
        ({"objective": "dpo", "ref_model": "none"}, "compares with a reference"),
        ({"objective": "dpo", "method": "full", "ref_model": "adapters"}, "no adapters to turn off"),
        ({"objective": "dpo", "packed": True, "padding_mask": False}, "no packed sequences"),
        ({"objective": "dpo", "padded": True}, "padding is not simulated"),
        ({"objective": "dpo", "seq_len": 64, "prompt_len": 64}, "leaves no answer"),
        ({"objective": "kto", "loss": "full", "logits_to_keep": True}, "use_logits_to_keep"),
        ({"objective": "dpo", "loss": "chunked"}, "not simulated with the loss chunked"),
        ({"ref_model": "copy"}, "are of an objective"),
        ({"objective": "grpo", "batch_size": 8}, "answers prompts"),
        ({"objective": "grpo", "batch_size": 4, "prompt_len": 8}, "do not divide the 4 of a generation"),
        ({"objective": "grpo", "batch_size": 8, "prompt_len": 8, "loss": "full"}, "not simulated with the loss full"),
        ({"objective": "grpo", "batch_size": 8, "prompt_len": 8, "ref_model": "precomputed"}, "answers of its own"),
        ({"objective": "rloo", "batch_size": 8, "prompt_len": 8, "eval_batch": 2}, "which generates"),
        ({"reward_model": "llama-3.2-1b"}, "of an objective"),
        ({"objective": "dpo", "reward_model": "llama-3.2-1b"}, "no answers of its own to score"),
        ({"objective": "dpo", "vllm_enable_sleep_mode": True}, "not on this card"),
        ({"objective": "grpo", "batch_size": 8, "prompt_len": 8, "vllm_max_model_length": 64}, "not on this card"),
        ({"objective": "grpo", "batch_size": 8, "prompt_len": 8, "rollouts": "colocated", "scheme": "int8"}, "8 bits"),
        ({"objective": "grpo", "vllm_gpu_memory_utilization": 0.0}, "a share above 0"),
        ({"objective": "grpo", "vllm_memory": ["weight=1GiB"]}, "vLLM holds no 'weight'"),
        ({"objective": "grpo", "vllm_memory": {"cache": -1}}, "no size of vLLM's cache"),
        ({"objective": "ppo", "prompt_len": 8}, "ppo has a reward model"),
        ({"objective": "ppo", "prompt_len": 8, "reward_model": "llama-3.2-1b", "rollouts": "server"}, "by itself"),
        ({"objective": "gkd"}, "gkd follows a teacher"),
        ({"objective": "dpo", "teacher": "llama-3.2-1b"}, "dpo has no teacher"),
        ({"teacher": "llama-3.2-1b"}, "of an objective"),
        ({"objective": "gkd", "teacher": "llama-3.2-1b", "loss": "trl"}, "not simulated with the loss trl"),
        ({"objective": "distill", "teacher": "llama-3.2-1b"}, "answers prompts"),
        ({"objective": "distill", "teacher": "llama-3.2-1b", "prompt_len": 8, "steps_per_generation": 2}, "at once"),
        (
            {"objective": "distill", "teacher": "llama-3.2-1b", "prompt_len": 8, "reward_model": "llama-3.2-1b"},
            "no answers",
        ),
        ({"objective": "orpo", "sync_ref_model": True}, "no reference model"),
        ({"objective": "dpo", "sync_ref_model": True}, "TRL has none with adapters"),
        ({"objective": "dpo", "method": "full", "sync_ref_model": True, "ref_model": "precomputed"}, "is a copy"),
        ({"objective": "dpo", "rollouts": "server"}, "generates nothing"),
        ({"objective": "kto", "steps_per_generation": 2}, "generates nothing"),
        ({"prompt_len": 4}, "are of an objective"),
        ({"eval_accum": 2}, "has a batch size"),
        ({"eval_batch": 2, "generation_max_length": 64}, "nothing is generated"),
        ({"eval_batch": -1}, "whole number"),
        ({"eval_batch": 2, "eval_gather": "logits", "loss": "liger"}, "no logits to gather"),
        ({"objective": "dpo", "eval_batch": 2, "eval_gather": "logits"}, "are not gathered"),
    ],
)
def test_what_contradicts_an_objective_is_a_line(options, said):
    with pytest.raises(InspectorError, match=said) as caught:
        resolve_setup(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "found"), [({"save": "checkpoint"}, 3), ({"save": "checkpoint", "save_total_limit": 1}, None),
                         ({"save": "adapter"}, None), ({}, None)],
)  # fmt: skip
@pytest.mark.parametrize("tool", [OF_A_FILE, "base_model: m\nmicro_batch_size: 1\ngradient_accumulation_steps: 1\n"])
def test_a_file_says_how_many_checkpoints_stay_where_one_is_asked_for(tmp_path, tool, asked, found):
    (tmp_path / "a.yaml").write_text(f"{tool}\nsave_total_limit: 3\nload_best_model_at_end: true\n")
    words, at = settings_of(read_config([tmp_path / "a.yaml"]), {**asked, "seq_len": 64})
    assert words.get("save_total_limit") == found
    assert words.get("load_best_model_at_end", False) == (asked.get("save") == "checkpoint")
    assert found is None or at["save_total_limit"].startswith("a.yaml:")

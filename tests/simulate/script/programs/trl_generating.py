"""Trainers of trl that generate what they train on: the peak of each of two steps, of prompts and answers of one length.

``python trl_generating.py MODEL grpo several rloo``.
"""

import sys

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback

NAME, PROMPT, ANSWER, SAMPLES = sys.argv[1], 24, 40, 2
tokenizer = AutoTokenizer.from_pretrained(NAME)
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
USUAL = {
    "output_dir": "out", "per_device_train_batch_size": SAMPLES, "max_steps": 2, "report_to": "none",
    "disable_tqdm": True, "bf16": False, "logging_steps": 100, "save_strategy": "no", "optim": "sgd",
    "max_grad_norm": 1.0, "gradient_checkpointing": True, "num_generations": SAMPLES, "max_completion_length": ANSWER,
}  # fmt: skip


class Peaks(TrainerCallback):
    def __init__(self, name):
        self.name = name

    def on_step_begin(self, *_args, **_more):
        torch.cuda.reset_peak_memory_stats()

    def on_step_end(self, *_args, **_more):
        print("PEAK", self.name, torch.cuda.max_memory_allocated(), flush=True)


def prompt():
    text = "so"
    while len(tokenizer(text)["input_ids"]) < PROMPT:
        text += " so"
    return text


def trainer(config, kind, scored=False, **more):
    model = AutoModelForCausalLM.from_pretrained(NAME, dtype=torch.bfloat16)
    model.config.pad_token_id = tokenizer.pad_token_id
    scores = lambda completions, **_: [float(len(each)) for each in completions]  # noqa: E731
    if scored:
        words = {"num_labels": 1, "dtype": torch.bfloat16, "device_map": "auto"}
        scores = AutoModelForSequenceClassification.from_pretrained(NAME, **words)
    return kind(
        model, scores, args=config(**USUAL | more), reward_processing_classes=tokenizer if scored else None,
        train_dataset=Dataset.from_list([{"prompt": prompt()}] * (4 * SAMPLES)), processing_class=tokenizer,
    )  # fmt: skip


def grpo(**more):
    from trl import GRPOConfig, GRPOTrainer

    return trainer(GRPOConfig, GRPOTrainer, **more)


def several():
    return grpo(gradient_accumulation_steps=2, beta=0.05)


def scored():
    return grpo(gradient_accumulation_steps=2, scored=True)


def distill():
    from peft import LoraConfig
    from trl import DistillationConfig, DistillationTrainer

    words = {name: value for name, value in USUAL.items() if name != "num_generations"}
    # Without a gradient of the head, of whose size a card hands out a block whole that leaves less.
    adapter = LoraConfig(r=8, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    return DistillationTrainer(
        AutoModelForCausalLM.from_pretrained(NAME, dtype=torch.bfloat16),
        AutoModelForCausalLM.from_pretrained(NAME, dtype=torch.bfloat16),
        args=DistillationConfig(**words, gradient_accumulation_steps=2),
        train_dataset=Dataset.from_list([{"prompt": prompt()}] * (4 * SAMPLES)), processing_class=tokenizer,
        peft_config=adapter,
    )  # fmt: skip


def rloo(**more):
    from trl import RLOOConfig, RLOOTrainer

    return trainer(RLOOConfig, RLOOTrainer, **more)


def synced():
    return rloo(sync_ref_model=True, ref_model_sync_steps=1)


for each in sys.argv[2:]:
    made = globals()[each]()
    made.add_callback(Peaks(each))
    made.train()
    del made

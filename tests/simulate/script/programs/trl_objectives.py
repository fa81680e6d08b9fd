"""Trainers of trl whose steps options can say as well: the peak of each of two steps, of samples of one length.

``python trl_objectives.py MODEL dpo ...``. With ``PLAIN=1`` trl finds no Triton on the card.
"""

import os
import sys

import torch
import transformers.utils
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback

if os.environ.get("PLAIN"):
    transformers.utils.is_triton_available = lambda: False  # before trl asks

NAME, PROMPT, ANSWER, SAMPLES = sys.argv[1], 24, 40, 2
tokenizer = AutoTokenizer.from_pretrained(NAME)
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
USUAL = {
    "output_dir": "out", "per_device_train_batch_size": SAMPLES, "max_steps": 2, "report_to": "none",
    "disable_tqdm": True, "bf16": False, "logging_steps": 100, "save_strategy": "no", "optim": "adamw_torch",
    "max_grad_norm": 1.0, "max_length": None, "gradient_checkpointing": True,
}  # fmt: skip


class Peaks(TrainerCallback):
    def __init__(self, name):
        self.name = name

    def on_step_begin(self, *_args, **_more):
        torch.cuda.reset_peak_memory_stats()

    def on_step_end(self, *_args, **_more):
        print("PEAK", self.name, torch.cuda.max_memory_allocated(), flush=True)


def model(kind=AutoModelForCausalLM, **words):
    made = kind.from_pretrained(NAME, dtype=torch.bfloat16, **words)
    made.config.pad_token_id = tokenizer.pad_token_id
    return made


def rows(**columns):
    return Dataset.from_list([{name: make(n) for name, make in columns.items()} for n in range(4 * SAMPLES)])


def ids(length):
    return lambda n: [5 + (n + place) % 90 for place in range(length)]


def pairs():
    return rows(prompt_ids=ids(PROMPT), chosen_ids=ids(ANSWER), rejected_ids=ids(ANSWER))


def dpo(**more):
    from trl import DPOConfig, DPOTrainer

    words = {name: more.pop(name) for name in ("precompute_ref_log_probs",) if name in more}
    return DPOTrainer(
        model(), args=DPOConfig(**USUAL, **words), train_dataset=pairs(), processing_class=tokenizer, **more
    )


def precomputed():
    return dpo(precompute_ref_log_probs=True)


def adapter():
    from peft import LoraConfig

    return dpo(peft_config=LoraConfig(r=8, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))


def kto():
    from trl import KTOConfig, KTOTrainer

    said = rows(prompt_ids=ids(PROMPT), completion_ids=ids(ANSWER), label=lambda n: bool(n % 2))
    return KTOTrainer(model(), args=KTOConfig(**USUAL), train_dataset=said, processing_class=tokenizer)


def reward():
    from trl import RewardConfig, RewardTrainer

    said = rows(chosen_ids=ids(PROMPT + ANSWER), rejected_ids=ids(PROMPT + ANSWER))
    head = model(AutoModelForSequenceClassification, num_labels=1)
    return RewardTrainer(head, RewardConfig(**USUAL), train_dataset=said, processing_class=tokenizer)


def texts():
    words = "".join(" good" for _ in range(ANSWER))
    return rows(prompt=lambda _: " so" * PROMPT, chosen=lambda _: words, rejected=lambda _: words)


def orpo():
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    words = USUAL | {"max_length": PROMPT + ANSWER}
    return ORPOTrainer(model(), args=ORPOConfig(**words), train_dataset=texts(), processing_class=tokenizer)


def cpo(**more):
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    words = USUAL | {"max_length": PROMPT + ANSWER} | more
    return CPOTrainer(model(), args=CPOConfig(**words), train_dataset=texts(), processing_class=tokenizer)


def simpo():
    return cpo(loss_type="simpo", cpo_alpha=0.0)


for each in sys.argv[2:]:
    trainer = globals()[each]()
    trainer.add_callback(Peaks(each))
    shapes = {name: tuple(value.shape) for name, value in next(iter(trainer.get_train_dataloader())).items()
              if hasattr(value, "shape")}  # fmt: skip
    print("BATCH", each, shapes, flush=True)
    trainer.train()

"""Trainers of trl whose steps options can say as well: the peak of each of two steps, of samples of one length.

``python trl_objectives.py MODEL dpo ...``. A trainer is made of texts, and trains on tokens of which there are exactly as
many as options say. With ``PLAIN=1`` trl finds no Triton on the card.
"""

import os
import sys

import torch
import transformers.utils
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    TrainerCallback,
)

if os.environ.get("PLAIN"):
    transformers.utils.is_triton_available = lambda: False  # before trl asks

NAME, PROMPT, ANSWER, SAMPLES = sys.argv[1], 24, 40, 2
tokenizer = AutoTokenizer.from_pretrained(NAME)
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
USUAL = {
    "output_dir": "out", "per_device_train_batch_size": SAMPLES, "max_steps": 2, "report_to": "none",
    "disable_tqdm": True, "bf16": False, "logging_steps": 100, "save_strategy": "no", "optim": "sgd",
    "max_grad_norm": 1.0, "gradient_checkpointing": True,
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


TEXTS = rows(prompt=lambda n: f"Say {n}: ", chosen=lambda _: "that is so", rejected=lambda _: "it is not")
PAIRS = {"prompt_ids": ids(PROMPT), "chosen_ids": ids(ANSWER), "rejected_ids": ids(ANSWER)}


def dpo(**more):
    from trl import DPOConfig, DPOTrainer

    before = more.pop("before", False)
    # A step of Adam is the peak of a small model: with it the optimizer is compared, and else the loss.
    arguments = DPOConfig(**USUAL | {"optim": "adamw_torch" if before else "sgd"}, precompute_ref_log_probs=before)
    trainer = DPOTrainer(model(), args=arguments, train_dataset=TEXTS, processing_class=tokenizer, **more)
    known = dict.fromkeys(("ref_chosen_logps", "ref_rejected_logps"), lambda _: -1.0) if before else {}
    return trainer, rows(**PAIRS, **known)


def precomputed():
    return dpo(before=True)


def follows():
    from trl import DPOConfig, DPOTrainer

    arguments = DPOConfig(**USUAL | {"optim": "adamw_torch"}, sync_ref_model=True, ref_model_sync_steps=1)
    return DPOTrainer(model(), args=arguments, train_dataset=TEXTS, processing_class=tokenizer), rows(**PAIRS)


def adapter():
    from peft import LoraConfig

    return dpo(peft_config=LoraConfig(r=8, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))


def kto():
    from trl import KTOConfig, KTOTrainer

    said = rows(prompt=lambda n: f"Say {n}: ", completion=lambda _: "that is so", label=lambda n: bool(n % 2))
    trainer = KTOTrainer(model(), args=KTOConfig(**USUAL), train_dataset=said, processing_class=tokenizer)
    answers = {"completion_ids": ids(ANSWER), "KL_completion_ids": ids(ANSWER)}
    return trainer, rows(prompt_ids=ids(PROMPT), **answers, label=lambda n: bool(n % 2))


def reward():
    from trl import RewardConfig, RewardTrainer

    head = model(AutoModelForSequenceClassification, num_labels=1)
    trainer = RewardTrainer(head, RewardConfig(**USUAL), train_dataset=TEXTS, processing_class=tokenizer)
    return trainer, rows(chosen_ids=ids(PROMPT + ANSWER), rejected_ids=ids(PROMPT + ANSWER))


def gkd():
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    arguments = GKDConfig(**USUAL, lmbda=0.0)
    made = GKDTrainer(
        model(), model(), args=arguments, train_dataset=rows(messages=lambda n: [{"role": "user", "content": str(n)}]),
        processing_class=tokenizer, data_collator=texts,
    )  # fmt: skip
    return made, rows(ids=ids(PROMPT + ANSWER))


def texts(rows):
    whole = torch.tensor([row["ids"] for row in rows])
    labels = whole.clone()
    labels[:, :PROMPT] = -100
    found = {"input_ids": whole, "attention_mask": torch.ones_like(whole), "labels": labels}
    return found | {"prompts": whole[:, :PROMPT].clone(), "prompt_attention_mask": torch.ones_like(whole[:, :PROMPT])}


def prm():
    from trl.experimental.prm import PRMConfig, PRMTrainer

    head = model(AutoModelForTokenClassification, num_labels=2)
    solved = rows(input_ids=ids(PROMPT + ANSWER), labels=lambda n: [-100] * (PROMPT + ANSWER - 1) + [n % 2])
    return PRMTrainer(head, PRMConfig(**USUAL), train_dataset=solved, processing_class=tokenizer), solved


def whole():
    """The columns of the older collator: both texts whole, with the prompt left out of their labels."""
    texts = {}
    for each in ("chosen", "rejected"):
        texts[f"{each}_input_ids"] = ids(PROMPT + ANSWER)
        texts[f"{each}_attention_mask"] = lambda _: [1] * (PROMPT + ANSWER)
        texts[f"{each}_labels"] = lambda n: [-100] * PROMPT + ids(ANSWER)(n)
    return rows(**texts, prompt_input_ids=ids(PROMPT), prompt_attention_mask=lambda _: [1] * PROMPT)


def orpo():
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    made = ORPOTrainer(model(), args=ORPOConfig(**USUAL), train_dataset=TEXTS, processing_class=tokenizer)
    return made, whole()


def mixed():
    """Under mixed precision, which converts what the model says to float32."""
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    wide = AutoModelForCausalLM.from_pretrained(NAME, dtype=torch.float32)
    arguments = ORPOConfig(**USUAL | {"bf16": True})
    return ORPOTrainer(wide, args=arguments, train_dataset=TEXTS, processing_class=tokenizer), whole()


def cpo(**more):
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    made = CPOTrainer(model(), args=CPOConfig(**USUAL, **more), train_dataset=TEXTS, processing_class=tokenizer)
    return made, whole()


def simpo():
    return cpo(loss_type="simpo", cpo_alpha=0.0)


for each in sys.argv[2:]:
    trainer, exact = globals()[each]()
    trainer.train_dataset = exact
    trainer.add_callback(Peaks(each))
    trainer.train()
    del trainer

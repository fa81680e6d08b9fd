"""Trainers of trl by their names, two steps each: what they say of themselves, and what the training takes.

``python trl_trainers.py MODEL sft dpo ...``: on a card, or for real on a CPU (``DEVICE=cpu``). With ``PLAIN=1`` trl finds
no Triton on the card either, and takes the ways that it takes on a CPU.
"""

import os
import sys

import torch
import transformers.utils
from datasets import Dataset
from measuring import DEVICE, measured, warm
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

if os.environ.get("PLAIN"):
    transformers.utils.is_triton_available = lambda: False  # before trl asks

MODEL = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(MODEL)
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token

TEXTS = ["the film was good", "there was little to see in it", "a play of light and water", "none of it held together"]
PAIRS = Dataset.from_list(
    [
        {"prompt": f"Say {number}: ", "chosen": TEXTS[number % 4] * (1 + number % 3), "rejected": TEXTS[-number % 4]}
        for number in range(8)
    ]
)
USUAL = {
    "output_dir": "out", "per_device_train_batch_size": 2, "max_steps": 2, "report_to": "none", "disable_tqdm": True,
    "use_cpu": DEVICE == "cpu", "bf16": False, "logging_steps": 1, "save_strategy": "no", "optim": "sgd",
    "gradient_checkpointing": False, "max_grad_norm": 0.0,
}  # fmt: skip
GENERATING = {"num_generations": 2, "max_completion_length": 8, "num_iterations": 1}


def model(kind=AutoModelForCausalLM, **words):
    """Eager attention and single steps: what a CPU computes as a card does."""
    made = kind.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager", **words)
    made.config.pad_token_id = tokenizer.pad_token_id
    return made


def sft():
    from trl import SFTConfig, SFTTrainer

    rows = Dataset.from_list([{"text": text * (1 + number)} for number, text in enumerate(TEXTS * 2)])
    return SFTTrainer(model(), SFTConfig(**USUAL, max_length=64), train_dataset=rows, processing_class=tokenizer)


def packed():
    from trl import SFTConfig, SFTTrainer

    rows = Dataset.from_list([{"text": text * (1 + number)} for number, text in enumerate(TEXTS * 8)])
    arguments = SFTConfig(**USUAL, max_length=32, packing=True, packing_strategy="wrapped")
    return SFTTrainer(model(), arguments, train_dataset=rows, processing_class=tokenizer)


def adapter():
    """DPO with adapters: the base without them is the reference, and there is no second model."""
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    return DPOTrainer(
        model(), args=DPOConfig(**USUAL, max_length=64), train_dataset=PAIRS, processing_class=tokenizer,
        peft_config=LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip


def dpo():
    from trl import DPOConfig, DPOTrainer

    return DPOTrainer(
        model(), model(), args=DPOConfig(**USUAL, max_length=64), train_dataset=PAIRS, processing_class=tokenizer
    )


def kto():
    from trl import KTOConfig, KTOTrainer

    rows = Dataset.from_list(
        [{"prompt": row["prompt"], "completion": row["chosen"], "label": bool(n % 2)} for n, row in enumerate(PAIRS)]
    )
    return KTOTrainer(
        model(), model(), args=KTOConfig(**USUAL, max_length=64), train_dataset=rows, processing_class=tokenizer
    )


def orpo():
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    return ORPOTrainer(
        model(), args=ORPOConfig(**USUAL, max_length=64), train_dataset=PAIRS, processing_class=tokenizer
    )


def cpo():
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    return CPOTrainer(model(), args=CPOConfig(**USUAL, max_length=64), train_dataset=PAIRS, processing_class=tokenizer)


def reward():
    from trl import RewardConfig, RewardTrainer

    head = model(AutoModelForSequenceClassification, num_labels=1)
    return RewardTrainer(head, RewardConfig(**USUAL, max_length=64), train_dataset=PAIRS, processing_class=tokenizer)


def lengths(completions, **_):
    return [float(len(each)) for each in completions]


def grpo():
    from trl import GRPOConfig, GRPOTrainer

    return GRPOTrainer(
        model(), lengths, args=GRPOConfig(**USUAL, **GENERATING), train_dataset=PAIRS.select_columns(["prompt"]),
        processing_class=tokenizer,
    )  # fmt: skip


def rloo():
    from trl import RLOOConfig, RLOOTrainer

    return RLOOTrainer(
        model(), lengths, args=RLOOConfig(**USUAL, **GENERATING), train_dataset=PAIRS.select_columns(["prompt"]),
        processing_class=tokenizer,
    )  # fmt: skip


def gkd():
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    rows = Dataset.from_list(
        [
            {"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["chosen"]}]}
            for row in PAIRS
        ]
    )
    arguments = GKDConfig(**USUAL, max_length=64, max_new_tokens=8, lmbda=0.0)
    return GKDTrainer(model(), model(), args=arguments, train_dataset=rows, processing_class=tokenizer)


def tried(name):
    trainer = globals()[name]()
    for _, peak, left in measured({name: trainer.train}):
        print("PIECE", name, peak, left, flush=True)
    state = trainer.state
    print("SAYS", name, state.global_step, state.num_input_tokens_seen, *sorted(state.log_history[0]), flush=True)


if __name__ == "__main__":
    warm()
    for each in sys.argv[2:]:
        tried(each)

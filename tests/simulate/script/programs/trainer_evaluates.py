"""Trainer's evaluation by what it gathers: what it takes above what was there before.

``python trainer_evaluates.py MODEL loss logits accumulated argmax``: on a card, or for real on a CPU (``DEVICE=cpu``);
``generated`` and ``beams`` are of an encoder-decoder.
"""

import sys

import torch
from datasets import Dataset
from measuring import DEVICE, measured, warm
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainingArguments,
)

BATCH, BATCHES, LENGTH = 4, 5, 64
ROWS = Dataset.from_list([{"input_ids": list(range(5, 5 + LENGTH)), "labels": list(range(5, 5 + LENGTH))}]
                         * (BATCH * BATCHES))  # fmt: skip


def largest(found):
    return {"largest": float(found.predictions.max())}


def first(logits, _labels):
    return (logits[0] if isinstance(logits, tuple) else logits).argmax(dim=-1)


GATHERED = {
    "loss": {},
    "logits": {"compute_metrics": largest},
    "accumulated": {"compute_metrics": largest, "eval_accumulation_steps": 2},
    "generated": {"compute_metrics": largest, "generates": 1},
    "beams": {"compute_metrics": largest, "generates": 4},
    "argmax": {"compute_metrics": largest, "preprocess_logits_for_metrics": first},
}


def trainer(name):
    more = dict(GATHERED[name])
    usual = {"report_to": "none", "disable_tqdm": True, "use_cpu": DEVICE == "cpu", "dataloader_pin_memory": False}
    if beams := more.pop("generates", 0):
        return predicting(usual, beams, **more)
    steps = more.pop("eval_accumulation_steps", None)
    arguments = TrainingArguments("out", per_device_eval_batch_size=BATCH, eval_accumulation_steps=steps, **usual)
    made = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, attn_implementation="eager")
    return Trainer(made, arguments, eval_dataset=ROWS, **more)


def predicting(usual, beams, **more):
    arguments = Seq2SeqTrainingArguments(
        "out", per_device_eval_batch_size=BATCH, predict_with_generate=True, generation_max_length=48,
        generation_num_beams=beams, **usual,
    )  # fmt: skip
    words = {"dtype": torch.float32, "attn_implementation": "eager"}
    made = AutoModelForSeq2SeqLM.from_pretrained(sys.argv[1], **words)
    # Every answer is as long as the longest.
    made.generation_config.eos_token_id = None
    made.generation_config.pad_token_id = 0
    # Short ones: what is generated is the most.
    rows = ROWS.map(lambda row: {"labels": row["labels"][:4]})
    return Seq2SeqTrainer(made, arguments, eval_dataset=rows, **more)


warm()
made = {name: trainer(name) for name in sys.argv[2:]}
for name, peak, left in measured({name: each.evaluate for name, each in made.items()}):
    print("PIECE", name, peak, left, flush=True)
    print("SAYS", name, sorted(made[name].state.log_history[-1]), flush=True)

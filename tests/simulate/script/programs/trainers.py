"""The Trainer as people use it around a training: 8 bit, evaluation, a checkpoint taken up again, merging; and GRPO."""

import os
import sys

import numpy as np
import torch
from datasets import load_dataset
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    pipeline,
)
from trl import GRPOConfig, GRPOTrainer

name = "EleutherAI/pythia-14m"
tokenizer = AutoTokenizer.from_pretrained(name)
tokenizer.pad_token = tokenizer.eos_token

with open("rows.csv", "w") as file:
    file.write("text,label\n" + "".join(f"the film was {'good' * (1 + i % 5)},{i % 2}\n" for i in range(16)))
rows = load_dataset("csv", data_files={"train": "rows.csv"}, split="train")
rows.save_to_disk("rows", num_proc=2)
rows = type(rows).load_from_disk("rows").map(lambda row: tokenizer(row["text"]), num_proc=2)

model = AutoModelForSequenceClassification.from_pretrained(
    name, num_labels=2, quantization_config=BitsAndBytesConfig(load_in_8bit=True), device_map={"": 0}
)
assert model.gpt_neox.layers[0].mlp.dense_h_to_4h.weight.dtype == torch.int8
model.config.pad_token_id = tokenizer.pad_token_id
model = prepare_model_for_kbit_training(model)
model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", target_modules=["query_key_value"]))


def measures(said):
    logits, labels = said
    return {"rows": len(labels), "right": float((np.argmax(logits, -1) == labels).mean())}


def trainer():
    arguments = TrainingArguments(
        "out", num_train_epochs=9, per_device_train_batch_size=4, eval_strategy="steps", eval_steps=50, save_steps=50,
        eval_accumulation_steps=1, optim="paged_adamw_8bit", metric_for_best_model="right", report_to="none",
        load_best_model_at_end=True, logging_steps=50, disable_tqdm=True,
    )  # fmt: skip
    return Trainer(model, arguments, train_dataset=rows, eval_dataset=rows, compute_metrics=measures,
                   data_collator=DataCollatorWithPadding(tokenizer))  # fmt: skip


first = trainer()
first.train()
print("FIRST", first.state.global_step, sorted(each for each in os.listdir("out") if each.startswith("checkpoint")))
again = trainer()
again.train(resume_from_checkpoint=True)
print("AGAIN", again.state.global_step, again.evaluate()["eval_rows"])

grpo = GRPOTrainer(
    name,
    reward_funcs=lambda completions, **_: [float(len(each)) for each in completions],
    args=GRPOConfig("grpo", num_generations=2, max_completion_length=8, per_device_train_batch_size=2, max_steps=1,
                    report_to="none", disable_tqdm=True),
    train_dataset=rows.select_columns(["text"]).rename_column("text", "prompt"),
    processing_class=tokenizer,
    peft_config=LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear"),
)  # fmt: skip
grpo.train()
grpo.save_model("adapter")
merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(name), "adapter").merge_and_unload()
merged.save_pretrained("merged")
tokenizer.save_pretrained("merged")
write = pipeline("text-generation", model="merged", device=0)
ids = torch.ones((2, 5), dtype=torch.long, device="cuda")
beams = [merged.cuda().generate(ids, num_beams=2, max_new_tokens=4, **way).shape[1]
         for way in ({}, {"early_stopping": True}, {"do_sample": True})]  # fmt: skip
print("BEAMS", *beams)
print("WROTE", write.model.num_parameters(), write.device, len(write("Hello", max_new_tokens=3)))

sys.path.insert(0, sys.argv[1])
sys.argv[1:] = [name]
import trl_trainers  # noqa: E402

for other in ("adapter", "kto", "orpo", "reward", "rloo"):
    trl_trainers.tried(other)

"""All of a small model trained by transformers' Trainer: too much for a T4, and what helps is found by more runs."""

import torch
from torch.utils.data import Dataset
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments


class Random(Dataset):
    """Rows of random tokens."""

    def __len__(self):
        return 64

    def __getitem__(self, index):
        ids = torch.randint(0, 49152, (1024,))
        return {"input_ids": ids, "labels": ids}


model = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-360M", dtype=torch.float32)
args = TrainingArguments("out", per_device_train_batch_size=8, max_steps=3, bf16=True, report_to="none")
Trainer(model, args, train_dataset=Random()).train()

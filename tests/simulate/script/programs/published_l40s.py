"""A published LoRA run on an L40S, as its authors' loop goes: what is allocated after each step.

``python published_l40s.py MODEL RANK ALPHA TOKENS STEPS EVERY``: batches of four, the cache emptied every so many steps.
"""

import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

name, (rank, alpha, tokens, steps, every) = sys.argv[1], map(int, sys.argv[2:])

model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.bfloat16, device_map="cuda")
config = LoraConfig(
    r=rank, lora_alpha=alpha, target_modules=["q_proj", "v_proj"], use_rslora=True, task_type="CAUSAL_LM"
)
model = get_peft_model(model, config)
print("TRAINABLE", sum(p.numel() for p in model.parameters() if p.requires_grad))
optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-4, weight_decay=0.1)
scheduler = get_cosine_schedule_with_warmup(optimizer, 1, 100)
model.train()
for step in range(1, steps + 1):
    ids = torch.randint(10, 1000, (4, tokens))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}
    batch = {key: value.to(model.device) for key, value in batch.items()}
    optimizer.zero_grad()
    outputs = model(**batch)
    loss = outputs.loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    scheduler.step()
    loss.item()
    if step % every == 0:
        torch.cuda.empty_cache()
    print("AFTER", torch.cuda.memory_allocated(), flush=True)

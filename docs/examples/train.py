"""LoRA on a small model, as people write it: it knows nothing of Inspector."""

import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

batch = int(sys.argv[1]) if len(sys.argv) > 1 else 4
model = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-360M", dtype=torch.float16).to("cuda")
model = get_peft_model(model, LoraConfig(r=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

for step in range(3):
    ids = torch.randint(0, model.config.vocab_size, (batch, 1024)).to("cuda")
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"step {step}: {torch.cuda.max_memory_allocated() / 2**20:,.1f} MiB at most")

"""Programs that options can say as well, in the forms in which people write them: the peak of each of two steps.

``python as_options.py MODEL qlora``: 4 bits as PEFT's examples prepare them; ``scaled``: float16 with a scaler that skips
nothing, accumulating; ``eight_bits``: bitsandbytes' 8-bit Adam; ``by_trainer``: the same of transformers' Trainer.
"""

import sys

import bitsandbytes as bnb
import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

NAME = sys.argv[1]


def steps(name, model, optimizer, micro, mask=False, scaler=None, clip=0.0):
    trained = [p for p in model.parameters() if p.requires_grad]
    for number in range(2):
        torch.cuda.reset_peak_memory_stats()
        optimizer.zero_grad(set_to_none=True)
        for _ in range(micro):
            ids = torch.randint(0, 1000, (2, 128), device="cuda")
            more = {"attention_mask": torch.ones_like(ids)} if mask else {}
            with torch.autocast("cuda", torch.float16, enabled=scaler is not None):
                out = model(input_ids=ids, labels=ids, **more)
                loss = out.loss / micro if micro > 1 else out.loss
            (scaler.scale(loss) if scaler else loss).backward()
        if scaler:
            scaler.unscale_(optimizer)
        if clip:
            torch.nn.utils.clip_grad_norm_(trained, clip)
        scaler.step(optimizer) if scaler else optimizer.step()
        if scaler:
            scaler.update()
        print("PEAK", name, torch.cuda.max_memory_allocated())


def qlora():
    four = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float16,
    )
    model = AutoModelForCausalLM.from_pretrained(
        NAME, dtype=torch.float16, device_map={"": 0}, quantization_config=four
    )
    model = prepare_model_for_kbit_training(model, gradient_checkpointing_kwargs={"use_reentrant": False})
    config = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    steps("qlora", model, torch.optim.AdamW(trained), 1, mask=True, clip=1.0)


def scaled():
    model = AutoModelForCausalLM.from_pretrained(NAME, dtype=torch.float32).to("cuda").train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    steps("scaled", model, torch.optim.AdamW(model.parameters()), 2, scaler=torch.amp.GradScaler("cuda"), clip=1.0)


def eight_bits():
    model = AutoModelForCausalLM.from_pretrained(NAME, dtype=torch.bfloat16).to("cuda").train()
    steps("eight_bits", model, bnb.optim.AdamW8bit(model.parameters()), 1)


def by_trainer():
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Peaks(TrainerCallback):
        def on_step_begin(self, *_args, **_more):
            torch.cuda.reset_peak_memory_stats()

        def on_step_end(self, *_args, **_more):
            print("PEAK by_trainer", torch.cuda.max_memory_allocated())

    ids = list(range(128))
    arguments = TrainingArguments(
        output_dir="out", per_device_train_batch_size=2, max_steps=2, report_to="none", disable_tqdm=True,
        optim="adamw_bnb_8bit", save_strategy="no", max_grad_norm=0.0, logging_steps=100,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(NAME, dtype=torch.bfloat16)
    rows = [{"input_ids": ids, "labels": ids}] * 4
    Trainer(model, arguments, train_dataset=rows, callbacks=[Peaks()]).train()


globals()[sys.argv[2]]()

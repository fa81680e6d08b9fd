"""TRL's PPOTrainer, which it had until 1.12: the peak of each of two updates, of prompts and answers of one length.

``python trl_ppo.py MODEL ppo``: one epoch of each generation, so that an update is a step.
"""

import sys

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl.experimental.ppo import PPOConfig, PPOTrainer

NAME, PROMPT, ANSWER, SAMPLES = sys.argv[1], 24, 40, 2
tokenizer = AutoTokenizer.from_pretrained(NAME, padding_side="left")
tokenizer.add_special_tokens({"pad_token": "<|padding|>"})


class Peaks(TrainerCallback):
    def on_train_begin(self, *_args, **_more):
        torch.cuda.reset_peak_memory_stats()

    def on_step_end(self, *_args, **_more):
        print("PEAK ppo", torch.cuda.max_memory_allocated(), flush=True)
        torch.cuda.reset_peak_memory_stats()


def scorer():
    return AutoModelForSequenceClassification.from_pretrained(NAME, num_labels=1, dtype=torch.bfloat16)


arguments = PPOConfig(
    output_dir="out", per_device_train_batch_size=SAMPLES, gradient_accumulation_steps=2, num_ppo_epochs=1,
    total_episodes=8, response_length=ANSWER, num_sample_generations=0, bf16=False, optim="adamw_torch",
    report_to="none", disable_tqdm=True, save_strategy="no",
)  # fmt: skip
policy = AutoModelForCausalLM.from_pretrained(NAME, dtype=torch.bfloat16)
# More than are used: at the end of its data accelerate steps after each micro-batch.
rows = Dataset.from_list([{"input_ids": [5 + place for place in range(PROMPT)]}] * 32)
made = PPOTrainer(
    args=arguments, processing_class=tokenizer, model=policy, ref_model=None, reward_model=scorer(),
    value_model=scorer(), train_dataset=rows, callbacks=[Peaks()],
)  # fmt: skip
made.train()

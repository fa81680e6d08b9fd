"""A script that says what options can say takes the same bytes."""

import re

from inspector.simulate.finetuning import finetune

SCRIPT = """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M", dtype=torch.bfloat16).to("cuda")
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def step():
        ids = torch.randint(0, model.config.vocab_size, (2, 256), device="cuda")
        optimizer.zero_grad(set_to_none=True)
        out = model(input_ids=ids, labels=ids)
        out.loss.backward()
        optimizer.step()

    for _ in range(3):
        torch.cuda.reset_peak_memory_stats()
        step()
        print("PEAK", torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())
"""


def test_lora_in_a_loop_is_what_options_say(dry):
    report, out, _ = dry(SCRIPT, gpu="A10")
    said = finetune(
        "HuggingFaceTB/SmolLM2-135M", method="lora", dtype="bfloat16", r=8, alpha=16, target_modules="q_proj,v_proj",
        batch_size=2, seq_len=256, gradient_checkpointing=False, optimizer="adamw_torch", steps=3, gpu="A10",
    )  # fmt: skip
    printed = [tuple(map(int, pair)) for pair in re.findall(r"PEAK (\d+) (\d+)", out)]
    expected = []
    for number in range(3):
        stages = [item for item in said.stages if item.step == number]
        expected.append((max(item.peak_allocated for item in stages), max(item.peak_reserved for item in stages)))
    assert printed == expected
    assert report.peak_allocated_bytes == said.peak_allocated_bytes
    assert report.peak_reserved_bytes == said.peak_reserved_bytes
    mine = [(i.stage, i.step, i.peak_allocated, i.peak_reserved) for i in report.stages]
    # A script's adapters are a stage of their own; the options' are part of the loading.
    before = [item for item in mine if item[1] < 0]
    assert [item[0] for item in before] == ["load", "adapters", "load"]
    whole = ("load", -1, max(item[2] for item in before), max(item[3] for item in before))
    after = [item for item in mine if item[1] >= 0]
    assert [whole, *after] == [(i.stage, i.step, i.peak_allocated, i.peak_reserved) for i in said.stages]

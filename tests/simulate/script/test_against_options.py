"""A script that says what options can say takes the same bytes."""

import json
import re

import pytest

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


@pytest.mark.parametrize(
    ("asked", "dtype", "words"),
    [
        ("load_in_4bit=True, bnb_4bit_quant_type='nf4', bnb_4bit_compute_dtype=torch.bfloat16", "bfloat16",
         {"scheme": "nf4", "double_quant": False}),
        ("load_in_8bit=True", "float16", {"scheme": "int8"}),
    ],
)  # fmt: skip
def test_quantized_layers_with_biases_arrive_by_options_as_in_a_script(asked, dtype, words, dry, tmp_path, monkeypatch):
    config = {
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": 2048, "intermediate_size": 512,
        "num_hidden_layers": 2, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 64,
        "tie_word_embeddings": True, "dtype": dtype,
    }  # fmt: skip
    model = tmp_path / "hub" / "models--someone--biased" / "snapshots" / ("a" * 40)
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    text = f"""
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    model = AutoModelForCausalLM.from_pretrained(
        "someone/biased", dtype=torch.{dtype}, quantization_config=BitsAndBytesConfig({asked}), device_map={{"": 0}}
    )
    model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    get_peft_model(model, LoraConfig(r=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    """
    report, _, err = dry(text, gpu="A10")
    assert report.script_exit_code == 0, err
    said = finetune(
        str(model), method="qlora", dtype=dtype, r=8, **words,
        target_modules="q_proj,v_proj", batch_size=1, seq_len=16, gradient_checkpointing=False, steps=1, gpu="A10",
    )  # fmt: skip
    loading = max(item.peak_allocated for item in report.stages), max(item.peak_reserved for item in report.stages)
    load = said.stages[0]
    assert (load.stage, load.peak_allocated, load.peak_reserved) == ("load", *loading)

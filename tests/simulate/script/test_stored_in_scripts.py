"""Checkpoints that are quantized already, inside a script: loaded as stored, the same bytes as by options."""

from __future__ import annotations

import json

from inspector import load

TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512,
    "max_position_embeddings": 512, "dtype": "float16", "tie_word_embeddings": False,
}  # fmt: skip
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}

SCRIPT = """
    import sys
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
    from transformers import BitsAndBytesConfig, FineGrainedFP8Config, GPTQConfig

    model = AutoModelForCausalLM.from_pretrained(
        sys.argv[1], device_map={"": 0}, quantization_config=GPTQConfig(bits=4, backend="auto_trainable"))
    print("LOADED", model.is_quantized, model.hf_quantizer.is_trainable)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def step():
        ids = torch.randint(0, 512, (2, 64), device="cuda")
        optimizer.zero_grad(set_to_none=True)
        out = model(input_ids=ids, labels=ids)
        out.loss.backward()
        optimizer.step()

    for _ in range(2):
        step()

    def load(kind=AutoModelForCausalLM, **words):
        return kind.from_pretrained(sys.argv[2], device_map="cuda", **words)

    kept = load(attn_implementation="eager")
    print("KEPT", kept.model.layers[0].mlp.up_proj.weight.dtype, kept.config._attn_implementation)
    plain = load(quantization_config=FineGrainedFP8Config(dequantize=True))
    print("PLAIN", plain.model.layers[0].mlp.up_proj.weight.dtype)
    sorts = load(AutoModelForSequenceClassification, num_labels=3)
    print("SORTS", tuple(sorts.score.weight.shape), sorts.model.layers[0].mlp.up_proj.weight.dtype)
    load(quantization_config=BitsAndBytesConfig(load_in_4bit=True))
"""


def test_stored_weights_are_kept_trained_on_dequantized_or_refused(dry, tmp_path):
    for name, quantization in (("gptq", GPTQ), ("fp8", FP8)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({**TINY, "quantization_config": quantization}))
    report, out, err = dry(SCRIPT, str(tmp_path / "gptq"), str(tmp_path / "fp8"), gpu="L4")
    assert out.splitlines() == [
        "LOADED True True", "KEPT torch.float8_e4m3fn eager", "PLAIN torch.float16",
        "SORTS (3, 256) torch.float8_e4m3fn",
    ]  # fmt: skip
    assert err.rstrip().splitlines()[-1].startswith("ValueError: The model is quantized with FineGrainedFP8Config")
    assert report.script_exit_code == 1
    said = load(str(tmp_path / "gptq")).finetune(
        method="lora", dtype="float16", r=8, alpha=16, target_modules="q_proj,v_proj", batch_size=2, seq_len=64,
        gradient_checkpointing=False, optimizer="adamw_torch", steps=2, gpu="L4", prepare_kbit=False,
    )  # fmt: skip
    mine, theirs = (
        [(i.stage, i.step, i.peak_allocated, i.peak_reserved) for i in stages if i.step >= 0]
        for stages in (report.stages, said.stages)
    )
    assert mine[: len(theirs)] == theirs  # what is loaded later comes after the last step, and is part of no other
    assert {"base weights", "quantization constants", "buffers"} <= {share.name for share in report.alive_at_peak}
    notes = " ".join(report.assumptions)
    assert "weights as stored, gptq" in notes
    assert "auto_trainable" in notes

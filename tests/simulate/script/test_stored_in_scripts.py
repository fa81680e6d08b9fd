"""Checkpoints that are quantized already, inside a script: loaded as stored, the same bytes as by options."""

from __future__ import annotations

import json

import torch

from inspector import load
from inspector.simulate.script.child.weight_files import write_header

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
    for name in sys.argv[3:]:
        try:
            model = AutoModelForCausalLM.from_pretrained(name, device_map="cuda")
            print("FOLDER", model.dtype)
        except RuntimeError as error:
            print("FOLDER", str(error)[:44])
    load(quantization_config=BitsAndBytesConfig(load_in_4bit=True))
"""


def files(folder, *, group=128, plain=""):
    """A folder of GPTQ by its header, and a config that says no dtype and groups of 128."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**TINY, "dtype": None, "quantization_config": GPTQ}))
    sizes = {"model.embed_tokens": (512, 256), "lm_head": (512, 256), "model.norm": (256,)}
    packed = []
    for at in range(2):
        layer = f"model.layers.{at}"
        sizes |= {f"{layer}.{name}_layernorm": (256,) for name in ("input", "post_attention")}
        rows = {"self_attn.q": 256, "self_attn.k": 128, "self_attn.v": 128, "self_attn.o": 256, "mlp.gate": 512,
                "mlp.up": 512, "mlp.down": 256}  # fmt: skip
        for name, outputs in rows.items():
            path, inputs = f"{layer}.{name}_proj", 512 if "down" in name else 256
            if path == plain:
                sizes[path] = (outputs, inputs)
                continue
            packed += [
                (f"{path}.{part}", shape, getattr(torch, dtype))
                for part, (shape, dtype) in {
                    "qweight": ((inputs // 8, outputs), "int32"),
                    "qzeros": ((inputs // group, outputs // 8), "int32"),
                    "scales": ((inputs // group, outputs), "bfloat16"), "g_idx": ((inputs,), "int32"),
                }.items()
            ]  # fmt: skip
    floats = [(f"{name}.weight", shape, torch.bfloat16) for name, shape in sizes.items()]
    write_header(folder / "model.safetensors", [*floats, *packed], {"format": "pt"})
    return str(folder)


def test_stored_weights_are_kept_trained_on_dequantized_or_refused(dry, tmp_path):
    for name, quantization in (("gptq", GPTQ), ("fp8", FP8)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({**TINY, "quantization_config": quantization}))
    folders = [
        files(tmp_path / "good"), files(tmp_path / "groups", group=32),
        files(tmp_path / "plain", plain="model.layers.1.mlp.down_proj"),
    ]  # fmt: skip
    report, out, err = dry(SCRIPT, str(tmp_path / "gptq"), str(tmp_path / "fp8"), *folders, gpu="L4")
    assert out.splitlines() == [
        "LOADED True True", "KEPT torch.float8_e4m3fn eager", "PLAIN torch.float16",
        "SORTS (3, 256) torch.float8_e4m3fn", "FOLDER torch.bfloat16",
        "FOLDER You set `ignore_mismatched_sizes` to `False`", "FOLDER torch.bfloat16",
    ]  # fmt: skip
    # Layers 0 and 1 of seven kinds are of other shapes, in scales and zero points; one layer is not packed.
    assert (err.count("MISMATCH |"), err.count("MISSING |")) == (14, 4)
    assert "ckpt: (8, 32) vs model:(2, 32)" in err
    assert "model.layers.1.mlp.down_proj.qweight" in err
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

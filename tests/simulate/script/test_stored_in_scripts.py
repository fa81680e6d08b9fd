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
PACKED = {
    "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
        "num_bits": 4, "type": "int", "symmetric": True, "group_size": 128, "strategy": "group"}}},
}  # fmt: skip
FOUR_BITS = {
    "quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_compute_dtype": "float16", "bnb_4bit_use_double_quant": True,
}  # fmt: skip
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

    def of_the_cache(name):
        taken = torch.cuda.memory_allocated()
        model = AutoModelForCausalLM.from_pretrained(f"someone/{name}", device_map="cuda")
        layer = model.model.layers[0].mlp.up_proj
        print("CACHE", type(layer).__name__, model.is_quantized, torch.cuda.memory_allocated() - taken)
        return model

    of_the_cache("packed")
    given = of_the_cache("four-bits")
    print("BIAS", given.model.layers[0].self_attn.q_proj.bias.dtype)
    given.save_pretrained("written")
    taken = torch.cuda.memory_allocated()
    again = AutoModelForCausalLM.from_pretrained("written", device_map="cuda")
    print("WRITTEN", torch.cuda.memory_allocated() - taken)
    given = get_peft_model(given, config)
    given(input_ids=torch.zeros((1, 8), dtype=torch.long, device="cuda")).logits.sum().backward()
    print("MERGED", type(given.merge_and_unload()).__name__)
    kept = load(attn_implementation="eager")
    with torch.no_grad():
        print("LOGITS", kept(input_ids=torch.zeros((1, 8), dtype=torch.long, device="cuda")).logits.is_cuda)
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


def cached(home, name, quantization):
    """A repository in the hub's cache, with its config alone: biases as well, which a layer has in float32 at first."""
    folder = home / "hub" / f"models--someone--{name}" / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps({**TINY, "attention_bias": True, "quantization_config": quantization})
    )


def test_stored_weights_are_kept_trained_on_dequantized_or_refused(dry, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    cached(tmp_path / "home", "packed", PACKED)
    cached(tmp_path / "home", "four-bits", FOUR_BITS)
    for name, quantization in (("gptq", GPTQ), ("fp8", FP8)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({**TINY, "quantization_config": quantization}))
    folders = [
        files(tmp_path / "good"), files(tmp_path / "groups", group=32),
        files(tmp_path / "plain", plain="model.layers.1.mlp.down_proj"),
    ]  # fmt: skip
    report, out, err = dry(SCRIPT, str(tmp_path / "gptq"), str(tmp_path / "fp8"), *folders, gpu="L4")
    lines = out.splitlines()
    packed, four, written = (int(line.split()[-1]) for line in (lines[1], lines[2], lines[4]))
    assert lines == [
        "LOADED True True", f"CACHE CompressedLinear True {packed}", f"CACHE Linear4bit True {four}",
        "BIAS torch.float16", f"WRITTEN {written}", "MERGED LlamaForCausalLM", "LOGITS True",
        "KEPT torch.float8_e4m3fn eager", "PLAIN torch.float16",
        "SORTS (3, 256) torch.float8_e4m3fn", "FOLDER torch.bfloat16",
        "FOLDER You set `ignore_mismatched_sizes` to `False`", "FOLDER torch.bfloat16",
    ]  # fmt: skip
    assert four == written  # what a config says has the bytes of what the library itself has written and loads
    # Half a byte a weight of seven kinds in two layers, and what is not packed in two bytes.
    weights, plain = 2 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 256 * 512), 2 * 2 * 512 * 256
    assert plain + weights // 2 < packed < plain + 3 * weights // 4
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


def test_kernels_that_do_not_train_say_so_as_the_library_does(dry, tmp_path):
    for name in ("gptq", "awq"):
        (tmp_path / name).mkdir()
        packed = {"quant_method": name, "bits": 4, "group_size": 128}
        config = TINY | {"quantization_config": packed}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    report, out, err = dry(
        """
        import sys, warnings
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        ids = torch.zeros((1, 64), dtype=torch.long, device="cuda")
        for folder in sys.argv[1:]:
            model = AutoModelForCausalLM.from_pretrained(folder, device_map="cuda")
            model = get_peft_model(model, LoraConfig(target_modules=["v_proj"]))
            # Nobody said train(): PyTorch warns, and nothing comes through such a layer.
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                model(input_ids=ids).logits.sum().backward()
            print("autograd kernel was not registered" in str([each.message for each in said]))
            print([each.grad is None for each in model.parameters() if each.requires_grad])
            try:
                model.train()
            except NotImplementedError as error:
                print(error)
        model.train()
        """,
        str(tmp_path / "gptq"),
        str(tmp_path / "awq"),
        gpu="A10",
    )
    first = "`model.layers.0.self_attn.q_proj` switching to training mode."
    assert report.error == f"NotImplementedError: AwqMarlinLinear: {first}", err
    lines = out.splitlines()
    assert (lines[2], lines[5]) == (f"MarlinLinear: {first}", f"AwqMarlinLinear: {first}")
    assert lines[0] == lines[3] == "True"
    assert any("backend='auto_trainable'" in line for line in report.assumptions)
    assert report.exit_code == 1

"""Saves as a stage: what they write, equal to files that are really written, and what they take on the card."""

from __future__ import annotations

import json

import pytest

from inspector.simulate.finetuning import finetune
from inspector.simulate.setup.finetuning import resolve_setup

# PEFT's own question to transformers.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128,
    "tie_word_embeddings": True, "dtype": "float32",
}  # fmt: skip
ASKED = {"dtype": "float32", "seq_len": 16, "gpu": "A10", "steps": 1}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What transformers, PEFT and torch write of a small model after a step: bytes of files, by folder."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("written")
    config = LlamaConfig(**{name: value for name, value in TINY.items() if name != "architectures"})

    def stepped(model):
        adam = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad])
        model(input_ids=torch.zeros((1, 4), dtype=torch.int64)).logits.sum().backward()
        adam.step()
        return adam.state_dict()

    whole = LlamaForCausalLM(config)
    states = {"full": stepped(whole)}
    whole.save_pretrained(folder / "full")
    adapted = get_peft_model(
        LlamaForCausalLM(config), LoraConfig(r=8, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    )
    states["lora"] = stepped(adapted)
    adapted.save_pretrained(folder / "lora")
    adapted.merge_and_unload().save_pretrained(folder / "merged")
    for name, state in states.items():
        torch.save(state, folder / name / "optimizer.pt")
    sizes = {place: {file.name: file.stat().st_size for file in (folder / place).iterdir()} for place in
             ("full", "lora", "merged")}  # fmt: skip
    return sizes, states


def files(report):
    return {file.name: file.nbytes for file in report.saved.files}


def test_weights_are_the_bytes_of_the_files_that_are_written(written):
    sizes, _ = written
    full = finetune(TINY, **ASKED, method="full", save="full")
    adapter = finetune(TINY, **ASKED, method="lora", target_modules="q_proj,v_proj", save="adapter")
    assert files(full) == {"model.safetensors": sizes["full"]["model.safetensors"]}
    assert files(adapter) == {"adapter_model.safetensors": sizes["lora"]["adapter_model.safetensors"]}
    for place in ("card", "cpu"):
        merged = finetune(TINY, **ASKED, method="lora", target_modules="q_proj,v_proj", save="merged", merge_on=place)
        assert files(merged) == {"model.safetensors": sizes["merged"]["model.safetensors"]}


def test_a_state_is_the_bytes_of_the_file_that_is_written(written):
    from inspector.simulate.program.saved_files import state_bytes

    sizes, states = written
    for name, state in states.items():
        assert state_bytes(state, "cpu") == sizes[name]["optimizer.pt"]


def test_a_checkpoint_has_the_state_beside_the_weights(written):
    sizes, states = written
    kept = finetune(TINY, **ASKED, method="full", save="checkpoint", save_total_limit=3)
    # A tensor on a card says so in the file: some bytes, and what aligns them.
    tensors = sum(len(each) for each in states["full"]["state"].values())
    assert 0 <= files(kept)["optimizer.pt"] - sizes["full"]["optimizer.pt"] <= 64 * tensors
    assert kept.saved.disk_bytes == 3 * sum(files(kept).values())
    alone = finetune(TINY, **ASKED, method="full", save="checkpoint", save_only_model=True)
    assert set(files(alone)) == {"model.safetensors"}


def test_merging_is_a_stage_on_the_card():
    merged = finetune(TINY, **ASKED, method="lora", save="merged")
    stage = merged.stage_peak("save")
    assert stage.peak_allocated > stage.end_allocated
    assert merged.stage_maxima()["save"][0] == stage.peak_allocated
    elsewhere = finetune(TINY, **ASKED, method="lora", save="merged", merge_on="cpu").stage_peak("save")
    assert elsewhere.peak_allocated == elsewhere.end_allocated
    assert json.loads(json.dumps(merged.to_dict()))["saved"]["files"][0]["name"] == "model.safetensors"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "full", "save": "adapter"}, "no adapters"),
        ({"method": "full", "save": "merged"}, "no adapters"),
        ({"method": "lora", "save": "full"}, "they alone are saved"),
        ({"save_total_limit": 2}, "add --save checkpoint"),
        ({"save": "adapter", "load_best_model_at_end": True}, "add --save checkpoint"),
        ({"save": "adapter", "merge_on": "cpu"}, "nothing is merged"),
        ({"save": "adaptor"}, "save 'adaptor' is not known"),
    ],
)
def test_what_contradicts_a_save_is_a_line(options, said):
    from inspector.errors import InspectorError

    with pytest.raises(InspectorError) as caught:
        resolve_setup(**options)
    assert said in f"{caught.value.message} {caught.value.hint}"

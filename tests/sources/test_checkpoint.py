"""What files store beside what their architecture expects, held to transformers' own loading."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM

from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.cli.main import run
from inspector.sources.resolve import locate, resolve


def report(folder):
    source = locate(str(folder))
    return compare_with_skeleton(source.checkpoint, source.skeleton)


def names(found):
    return {finding.name for finding in found}


@pytest.fixture
def single(saved_llama, tmp_path):
    """A copy in one file, and a function that writes its tensors anew."""
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(saved_llama / "config.json", folder)
    tensors = {}
    for shard in saved_llama.glob("*.safetensors"):
        tensors |= load_file(shard)

    def write(change=None, config=None):
        if change:
            change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        if config:
            said = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**said, **config}))
        return folder

    return write


def test_a_sound_checkpoint_has_nothing_to_say(saved_llama):
    found = report(saved_llama)
    assert found.compared
    assert (found.missing, found.unexpected, found.misshapen, found.redundant) == ((), (), (), ())
    assert found.files > 1
    assert found.tensor_bytes == 2 * found.parameters
    assert found.bits_per_parameter == 16


def test_every_kind_of_trouble_is_named(single):
    def change(tensors):
        del tensors["model.norm.weight"]
        tensors["stranger.weight"] = torch.zeros(3)
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(8)
        tensors["model.layers.2.eh_proj.weight"] = torch.zeros(2, 2)
        tensors["model.layers.1.mlp.up_proj.weight"] = torch.zeros(128, 60)

    folder = single(change)
    found = report(folder)
    assert names(found.missing) == {"model.norm.weight"}
    assert names(found.misshapen) == {"model.layers.1.mlp.up_proj.weight"}
    why = {finding.name: finding.why for finding in found.unexpected}
    assert "multi-token prediction" in why["model.layers.2.eh_proj.weight"]
    assert "computed" in why["model.layers.0.self_attn.rotary_emb.inv_freq"]
    assert "stranger.weight" in why
    _, said = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, ignore_mismatched_sizes=True)
    assert set(said["missing_keys"]) == names(found.missing)
    assert {key[0] for key in said["mismatched_keys"]} == names(found.misshapen)
    assert set(said["unexpected_keys"]) <= names(found.unexpected)


def test_a_head_stored_again_though_tied(single):
    def change(tensors):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    found = report(single(change, config={"tie_word_embeddings": True}))
    assert names(found.redundant) == {"lm_head.weight"}
    assert not found.unexpected


def test_a_tied_head_that_is_not_stored_is_not_missing(single):
    def change(tensors):
        del tensors["lm_head.weight"]

    assert not report(single(change, config={"tie_word_embeddings": True})).missing


def test_single_experts_in_the_files_are_the_fused_ones_of_the_model(tmp_path):
    """transformers saves Mixtral's experts one by one and merges them on loading; nothing is missing or unexpected."""
    config = MixtralConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=64, num_local_experts=4, architectures=["MixtralForCausalLM"],
    )  # fmt: skip
    MixtralForCausalLM(config).save_pretrained(tmp_path)
    found = report(tmp_path)
    stored = locate(str(tmp_path)).checkpoint
    assert any(".experts.0." in tensor.name for tensor in stored.tensors)
    assert (found.missing, found.unexpected, found.misshapen) == ((), (), ())
    assert found.tensor_bytes == 4 * found.parameters


def test_files_without_a_config_are_read_by_their_names(single):
    folder = single()
    built = resolve(str(folder))
    (folder / "config.json").unlink()
    bare = resolve(str(folder))
    assert bare.num_parameters == built.num_parameters
    assert any("names and shapes" in note for note in bare.notes)
    assert run(["memory", str(folder), "--bits", "4"]) == 0


def test_an_architecture_nobody_knows_is_read_by_its_names_and_said_so(single, caplog):
    folder = single(config={"model_type": "brand_new", "architectures": ["BrandNewForCausalLM"]})
    assert resolve(str(folder)).num_parameters > 0
    assert "knows no architecture" in caplog.text


def test_the_page_and_the_json(saved_llama, capsys):
    assert run(["checkpoint", str(saved_llama)]) == 0
    assert "bfloat16" in capsys.readouterr().out
    assert run(["checkpoint", str(saved_llama), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == []
    assert run(["checkpoint", "llama-3.1-8b"]) == 2
    assert "hf:meta-llama/Llama-3.1-8B" in capsys.readouterr().err


def test_a_thousand_shards_open_in_under_five_seconds(tmp_path):
    import time

    weights = {}
    for number in range(1000):
        name = f"model-{number:05}-of-01000.safetensors"
        tensors = {f"layers.{number}.w{i}.weight": torch.zeros(2, 2) for i in range(20)}
        save_file(tensors, tmp_path / name)
        weights |= dict.fromkeys(tensors, name)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    started = time.monotonic()
    assert len(locate(str(tmp_path)).checkpoint.tensors) == 20_000
    assert time.monotonic() - started < 5

"""A resized vocabulary: every tensor, tie and file as transformers' and PEFT's own calls make them."""

from __future__ import annotations

import json
from itertools import product

import click
import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoConfig

import inspector
from inspector.architecture import build_model, read_skeleton
from inspector.cli.main import cli, run
from inspector.cli.options import ModelReference
from inspector.errors import InspectorError
from inspector.lora import LoraSpec, adapter_tensors
from inspector.measure.spec import MeasureSpec
from inspector.skeleton.vocabulary import Vocabulary

pytestmark = pytest.mark.filterwarnings("ignore")

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 100, "hidden_size": 32,
    "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
VISION = {
    "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
}  # fmt: skip
CONFIGS = {
    "untied": LLAMA,
    "tied": LLAMA | {"tie_word_embeddings": True},
    "gpt2": {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 100, "n_embd": 32, "n_layer": 1,
             "n_head": 4, "n_positions": 64},
    "t5": {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 100, "d_model": 32,
           "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4},
    "bart": {"model_type": "bart", "architectures": ["BartForConditionalGeneration"], "vocab_size": 100, "d_model": 32,
             "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
             "encoder_attention_heads": 4, "decoder_attention_heads": 4},
    "bert": {"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 100, "hidden_size": 32,
             "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4},
    "llava": {"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], "text_config": LLAMA,
              "vision_config": VISION},
}  # fmt: skip


def folder(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    return str(tmp_path)


@pytest.mark.parametrize(("tokens", "multiple"), [(133, None), (133, 64), (None, 64), (60, None)])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_tensor_is_as_transformers_resizes_it(name, tokens, multiple, tmp_path):
    built = []
    for dtype in ("float32", "bfloat16"):
        model = build_model(CONFIGS[name], dtype)
        model.resize_token_embeddings(tokens, multiple, mean_resizing=False)
        built.append(model)
    found = inspector.load(folder(tmp_path, CONFIGS[name]), resize_vocab=tokens, pad_to_multiple_of=multiple)
    real = read_skeleton(*built, model_id="m")
    assert found.skeleton.tensors == real.tensors
    assert found.skeleton.facts.vocab_size == real.facts.vocab_size
    assert "more than the checkpoint's 100" in found.skeleton.notes[0] or "fewer" in found.skeleton.notes[0]


@pytest.mark.parametrize(
    ("name", "copied"),
    [
        *product(["untied", "tied", "llava"], [(), ("embed_tokens", "lm_head")]),
        ("gpt2", ()),  # its embedding is wte
    ],
)
def test_the_adapter_is_as_peft_saves_it(name, copied, tmp_path):
    """PEFT writes embedding and head of another size into the file, unless copies of them are there."""
    where = folder(tmp_path, CONFIGS[name])
    model = build_model(CONFIGS[name], "bfloat16")
    model.resize_token_embeddings(133, mean_resizing=False)
    model.name_or_path = where
    targets = ["c_attn"] if name == "gpt2" else ["q_proj"]
    config = LoraConfig(r=4, target_modules=targets, modules_to_save=list(copied) or None)
    with torch.device("meta"):
        adapted = get_peft_model(model, config)
    AutoConfig.from_pretrained(where)
    state = get_peft_model_state_dict(adapted)
    skeleton = inspector.load(where, resize_vocab=133).skeleton
    spec = LoraSpec(r=4, target_modules=tuple(targets), modules_to_save=copied)
    tensors = adapter_tensors(skeleton, spec)
    assert {tensor.name: tensor.shape for tensor in tensors} == {key: tuple(t.shape) for key, t in state.items()}
    trainable, everything = adapted.get_nb_trainable_parameters()
    assert sum(tensor.numel for tensor in tensors if tensor.trainable) == trainable
    assert skeleton.num_parameters + sum(tensor.numel for tensor in tensors if tensor.new) == everything


def test_a_dry_run_and_the_lenses_have_the_same_rows(tmp_path):
    model = inspector.load(folder(tmp_path, LLAMA), resize_vocab=1000)
    plain = inspector.load(str(tmp_path))
    more = 2 * 900 * 32
    assert model.num_parameters - plain.num_parameters == more
    kept = [each.generate(prompt_len=8, max_new_tokens=2, dtype="float32").weights_bytes for each in (model, plain)]
    assert kept[0] - kept[1] == pytest.approx(4 * more, abs=2048)
    step = [each.finetune(method="lora", seq_len=16, dtype="float32").peaks.allocated for each in (model, plain)]
    assert step[0] - step[1] > 4 * more


def test_every_command_takes_it(tmp_path, capsys):
    where = folder(tmp_path, LLAMA)
    for words in (["memory"], ["layers"], ["lora"]):
        assert run([*words, where, "--resize-vocab", "1000", "--pad-to-multiple-of", "64"]) == 0
        assert "resized to 1,024 rows, 924 more" in " ".join(capsys.readouterr().out.split())


def commands(group=cli, words=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from commands(found, (*words, name))
        else:
            yield (*words, name), found


def test_wherever_a_model_is_taken_it_is_resized():
    lacking = {
        " ".join(words)
        for words, each in commands()
        if any(isinstance(option.type, ModelReference) for option in each.params)
        and not {"resize_vocab", "pad_to_multiple_of"} <= {option.name for option in each.params}
    }
    assert not lacking


def test_what_is_set_side_by_side_is_resized_too(tmp_path, capsys):
    where = folder(tmp_path, LLAMA)
    assert run(["compare", where, "--resize-vocab", "1000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["vocab_size"] == 1000
    assert run(["diff", where, "smollm2-135m", "--pad-to-multiple-of", "64", "--json"]) == 0
    assert "[128, 32]" in capsys.readouterr().out
    charts = []
    for more in ([], ["--resize-vocab", "100000"]):
        assert run(["chart", "sizes", where, "--format", "json", "-o", "-", *more]) == 0
        charts.append(capsys.readouterr().out)
    assert charts[0] != charts[1]


def test_files_are_held_against_the_resized_model(tmp_path, capsys):
    where = folder(tmp_path, LLAMA)
    save_file({n: torch.zeros(t.shape) for n, t in build_model(LLAMA, "float32").state_dict().items()},
              tmp_path / "model.safetensors", metadata={"format": "pt"})  # fmt: skip
    assert run(["checkpoint", where, "--resize-vocab", "105"]) == 0
    assert "stored as [100, 32], expected [105, 32]" in capsys.readouterr().out
    measured = inspector.load(where, resize_vocab=105).measure(bits=16, device="cpu")
    assert (measured.agrees, MeasureSpec.from_dict(measured.spec.to_dict()).vocabulary) == (True, Vocabulary(105))


def test_an_adapter_is_loaded_on_the_resized_base(tmp_path, capsys):
    """What the page says helps, helps: `model.resize_token_embeddings(105)` on the base first."""
    base = tmp_path / "base"
    base.mkdir()
    where = folder(base, LLAMA)
    model = build_model(LLAMA, "float32")
    model.resize_token_embeddings(105, mean_resizing=False)
    model.name_or_path = where
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "embed_tokens"]))
    saved = {name: torch.zeros(tensor.shape) for name, tensor in get_peft_model_state_dict(adapted).items()}
    save_file(saved, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    adapted.peft_config["default"].save_pretrained(tmp_path)
    assert run(["adapter", str(tmp_path), "--base", where]) == 1
    assert "model.resize_token_embeddings(105) on the base first" in " ".join(capsys.readouterr().out.split())
    assert run(["adapter", str(tmp_path), "--base", where, "--resize-vocab", "105"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "loads it on" in page
    assert "is that after model.resize_token_embeddings(105)" in page


def test_what_cannot_be_resized_is_refused(tmp_path):
    with pytest.raises(InspectorError, match="outside 1"):
        inspector.load("gpt2", resize_vocab=0)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(InspectorError, match="several parts"):
        inspector.load(str(tmp_path), resize_vocab=100)

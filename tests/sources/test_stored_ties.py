"""What files store apart is not tied, as transformers' own ``from_pretrained`` has it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from transformers import AutoConfig, BertForMaskedLM, GPT2LMHeadModel, LlamaForCausalLM, T5ForConditionalGeneration

from inspector.architecture.ties import own_tensors
from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.cli.main import run
from inspector.gpus import find_gpu
from inspector.skeleton.vocabulary import Vocabulary, resizing
from inspector.sources.resolve import locate, resolve
from tests.sources.conftest import LLAMA

T5 = {
    "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 16, "d_kv": 4, "d_ff": 32,
    "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2, "vocab_size": 40, "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False, "decoder_start_token_id": 0,
}  # fmt: skip
BERT = {
    "model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 16, "intermediate_size": 32,
    "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40, "max_position_embeddings": 24,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 16, "n_layer": 1, "n_head": 2,
    "vocab_size": 40, "n_positions": 24,
}  # fmt: skip
MODELS = {
    "t5": (T5ForConditionalGeneration, T5),
    "bert": (BertForMaskedLM, BERT),
    "gpt2": (GPT2LMHeadModel, GPT2),
    "llama, tied": (LlamaForCausalLM, {**LLAMA, "num_hidden_layers": 1, "tie_word_embeddings": True}),
    "llama, untied": (LlamaForCausalLM, {**LLAMA, "num_hidden_layers": 1}),
}


@pytest.fixture(scope="module")
def made():
    """Each model's class, its config, all its tensors, and the names that could be tied."""
    found = {}
    for name, (cls, config) in MODELS.items():
        torch.manual_seed(0)
        # The config as it is tied, so that the names of every tie are known.
        model = cls(AutoConfig.for_model(**{**config, "tie_word_embeddings": True}))
        ties = model.all_tied_weights_keys
        tensors = {key: value.clone() for key, value in model.state_dict().items()}
        found[name] = (cls, config, tensors, sorted({*ties, *ties.values()}))
    return found


def write(folder: Path, config, tensors):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {name: tensor.clone() for name, tensor in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    return folder


def tied_names(model):
    """Sets of names that share one tensor."""
    groups = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), set()).add(name)
    return {frozenset(names) for names in groups.values() if len(names) > 1}


def tied_here(skeleton):
    groups = {}
    for tensor in skeleton.tensors:
        if tensor.tied_to:
            groups.setdefault(tensor.tied_to, {tensor.tied_to}).add(tensor.name)
    return {frozenset(names) for names in groups.values()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model=st.sampled_from(sorted(MODELS)), chosen=st.lists(st.sampled_from([None, 0, 1]), min_size=4, max_size=4))
def test_any_of_them_stored_with_any_values(made, tmp_path, model, chosen):
    cls, config, whole, names = made[model]
    values = dict(zip(names, chosen, strict=False))
    stored = {key: value for key, value in whole.items() if values.get(key, 0) is not None}
    stored |= {key: whole[key] + value for key, value in values.items() if value is not None}
    folder = write(tmp_path / "model", config, stored)
    real, ours = cls.from_pretrained(folder), resolve(str(folder))
    assert ours.num_parameters == real.num_parameters()
    assert tied_here(ours) == tied_names(real)


def test_the_published_kind(tmp_path):
    """A small T5 with a head of its own (peft#945): 56,192 parameters, where its class alone makes 52,992."""
    small = {
        **T5, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
        "vocab_size": 100,
    }  # fmt: skip
    tensors = T5ForConditionalGeneration(AutoConfig.for_model(**small)).state_dict()
    both = write(tmp_path / "both", small, {**tensors, "lm_head.weight": torch.ones(100, 32)})
    one = write(tmp_path / "one", small, {name: value for name, value in tensors.items() if name != "lm_head.weight"})
    assert resolve(str(both)).num_parameters == 56_192
    assert resolve(str(one)).num_parameters == 52_992


def test_a_head_of_its_own_in_a_large_tensor_differs_in_its_last_row(made, tmp_path):
    """A fine-tune that trained only the tokens it added."""
    cls, config, tensors, _ = made["llama, tied"]
    tensors = {**tensors, "lm_head.weight": tensors["lm_head.weight"].clone()}
    tensors["lm_head.weight"][-1, -1] += 1
    folder = write(tmp_path / "model", config, tensors)
    source = locate(str(folder))
    assert source.skeleton.num_parameters == cls.from_pretrained(folder).num_parameters()
    found = compare_with_skeleton(source.checkpoint, source.skeleton)
    assert not found.redundant
    assert any("lm_head.weight: stored with values of its own" in note for note in found.notes)


@pytest.mark.parametrize("change", [
    pytest.param(lambda head: torch.where(head == 0, -0.0, head), id="zeros of two signs"),
    pytest.param(lambda head: head.to(torch.float32), id="another dtype, the same numbers"),
    pytest.param(lambda head: head.to(torch.float32) * (1 + 2**-20), id="equal after rounding to the model's dtype"),
    pytest.param(lambda head: head.to(torch.float16), id="float16, which rounds"),
])  # fmt: skip
def test_values_are_compared_as_numbers_of_the_dtype_they_are_loaded_in(made, tmp_path, change):
    cls, config, tensors, _ = made["llama, tied"]
    half = {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
    half["model.embed_tokens.weight"][0] = 0
    half["lm_head.weight"] = change(half["model.embed_tokens.weight"].clone())
    folder = write(tmp_path / "model", {**config, "dtype": "bfloat16"}, half)
    assert resolve(str(folder)).num_parameters == cls.from_pretrained(folder).num_parameters()


def test_a_config_alone_that_is_not_heard_says_what_is_assumed(tmp_path, capsys):
    """google/flan-t5-xl: PEFT's published print is 9,437,184 of 2,859,194,368."""
    config = {
        **T5, "d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_decoder_layers": 24, "num_heads": 32,
        "vocab_size": 32128,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    skeleton = resolve(str(tmp_path / "config.json"))
    assert skeleton.num_parameters == 2_849_757_184
    assert any("tied, it has 2,783,959,040 parameters" in note for note in skeleton.notes)
    assert run(["lora", str(tmp_path / "config.json"), "--r", "16", "--target-modules", "q,v"]) == 0
    assert "9,437,184 || all params: 2,859,194,368" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("model_type", ["mt5", "umt5", "longt5"])
def test_the_kin_of_t5(tmp_path, model_type):
    names = {"mt5": "MT5", "umt5": "UMT5", "longt5": "LongT5"}
    config = {**T5, "model_type": model_type, "architectures": [f"{names[model_type]}ForConditionalGeneration"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    alone = resolve(str(tmp_path / "config.json"))
    del config["tie_word_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert alone.num_parameters == resolve(str(tmp_path / "config.json")).num_parameters + 40 * 16


def test_every_command_follows_the_files(made, tmp_path, capsys):
    _, config, tensors, _ = made["llama, tied"]
    tied = write(tmp_path / "tied", config, {k: v for k, v in tensors.items() if k != "lm_head.weight"})
    apart = write(tmp_path / "apart", config, {**tensors, "lm_head.weight": tensors["lm_head.weight"] + 1})
    size = tensors["lm_head.weight"].numel()

    def answer(folder, *words):
        assert run([words[0], str(folder), *words[1:], "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    for words, field in (
        (("layers",), "num_parameters"),
        (("memory", "--scheme", "stored"), "num_parameters"),
        (("checkpoint",), "num_parameters"),
        (("lora", "--r", "8"), "num_parameters"),
    ):
        assert answer(apart, *words)[field] - answer(tied, *words)[field] == size, words


def test_on_the_hub_both_ends_and_the_middle_are_compared(hub, made, tmp_path, capsys):
    cls, config, tensors, _ = made["llama, tied"]
    apart = write(tmp_path / "apart", config, {**tensors, "lm_head.weight": tensors["lm_head.weight"] + 1})
    equal = write(tmp_path / "equal", config, tensors)
    for folder in (apart, equal):
        hub.add(f"acme/{folder.name}", {path.name: path.read_bytes() for path in folder.iterdir()})
        assert resolve(f"hf:acme/{folder.name}").num_parameters == cls.from_pretrained(folder).num_parameters()
    assert any("stored beside what it is tied to" in note for note in resolve("hf:acme/equal").notes)
    hub.behave["no ranges"] = True
    assert resolve("hf:acme/apart").num_parameters > resolve("hf:acme/equal").num_parameters  # kept


def test_files_that_cannot_be_read_leave_the_config_and_say_so(made, tmp_path):
    _, config, tensors, _ = made["llama, tied"]
    folder = write(tmp_path / "model", config, tensors)
    (folder / "model.safetensors").write_bytes(b"no such file")
    skeleton = resolve(str(folder))
    assert tied_here(skeleton)
    assert any("what its files tie is not known" in note for note in skeleton.notes)


@pytest.mark.parametrize("bits", [32, 4])
def test_a_dry_run_loads_the_head_that_the_files_hold(made, tmp_path, bits):
    from inspector.simulate.generation import simulate_generate

    _, config, tensors, _ = made["llama, tied"]
    tied = write(tmp_path / "tied", config, tensors)
    apart = write(tmp_path / "apart", config, {**tensors, "lm_head.weight": tensors["lm_head.weight"] + 1})
    asked = {"gpu": find_gpu("T4"), "prompt_len": 8, "max_new_tokens": 2, "bits": bits}
    weights = [simulate_generate(str(folder), **asked).weights_bytes for folder in (tied, apart)]
    # A head is never quantized.
    assert weights[1] - weights[0] == (4 if bits == 32 else 2) * tensors["lm_head.weight"].numel()


def test_a_measured_model_has_the_head_that_the_files_hold(made, tmp_path):
    from inspector.measure.build import build
    from inspector.measure.weightsource import RandomWeights

    _, config, tensors, _ = made["llama, tied"]
    apart = write(tmp_path / "apart", config, {**tensors, "lm_head.weight": tensors["lm_head.weight"] + 1})
    model = build(locate(str(apart)).runnable, "fp32", RandomWeights())
    assert model.lm_head.weight is not model.model.embed_tokens.weight
    assert model.lm_head.weight.device.type == "cpu"


def test_marks_in_a_strangers_config_are_not_trusted(tmp_path):
    for mark in ([1], "none", {"lm_head.weight": "x", "no.such": 1}, 7):
        (tmp_path / "config.json").write_text(json.dumps({**GPT2, "_stored_values": mark}))
        assert resolve(str(tmp_path / "config.json")).num_parameters > 0


def test_the_order_of_the_ties_decides_what_is_compared_with_what():
    """The first that is there takes the place of a source that is not, as in ``tie_weights``."""
    ties = {"a": "source", "b": "source", "c": "source"}
    assert own_tensors(ties, {"source": 0, "a": 0, "b": 1, "c": 1}) == ("b", "c")
    assert own_tensors(ties, {"a": 1, "b": 1, "c": 2}) == ("c",)
    assert own_tensors(ties, {"b": 1, "c": 2}) == ("c",)
    assert own_tensors(ties, {"c": 2}) == ()
    assert own_tensors(ties, {}) == ()


def test_a_resized_vocabulary_is_tied_again_as_transformers_does(made, tmp_path):
    cls, config, tensors, _ = made["llama, tied"]
    apart = write(tmp_path / "apart", config, {**tensors, "lm_head.weight": tensors["lm_head.weight"] + 1})
    real = cls.from_pretrained(apart)
    real.resize_token_embeddings(300)
    with resizing(Vocabulary(300)):
        ours = resolve(str(apart))
    assert ours.num_parameters == real.num_parameters()
    assert not any("values of its own" in note for note in ours.notes)


def test_files_settle_what_a_wrapper_leaves_unsaid(tmp_path):
    """Mistral-Small-3.1's config says nothing, its wrapper ties by default, its language model's type does not."""
    text = {key: value for key, value in LLAMA.items() if key not in {"tie_word_embeddings", "architectures"}}
    vision = {
        "model_type": "pixtral", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    config = {
        "model_type": "mistral3", "architectures": ["Mistral3ForConditionalGeneration"],
        "text_config": {**text, "model_type": "mistral", "head_dim": 16}, "vision_config": vision,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    alone = resolve(str(tmp_path / "config.json"))
    assert any("does not say whether the output head is tied" in note for note in alone.notes)
    shapes = {tensor.name: tensor.shape for tensor in alone.own_tensors if tensor.persistent}
    tied = resolve(str(write(tmp_path / "tied", config, {name: torch.ones(shape) for name, shape in shapes.items()})))
    assert tied.num_parameters == alone.num_parameters
    assert not any("does not say" in note for note in tied.notes)


def served(hub, root):
    """The same folder as a model of the hub."""
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    hub.add(f"acme/{root.name}", found)
    return resolve(f"hf:acme/{root.name}")


def part(folder, config, tensors):
    """A part of a larger model in its folder."""
    folder.parent.mkdir(exist_ok=True)
    return write(folder, config, tensors)


@pytest.mark.parametrize("apart", [False, True])
def test_the_transformer_of_a_chain_is_tied_as_its_files_have_it(made, tmp_path, hub, apart):
    """A masked-LM head beside the embeddings, as SPLADE has it, below a folder of its own."""
    cls, config, tensors, names = made["bert"]
    stored = {name: tensors[name] + (apart and name == "cls.predictions.decoder.weight") for name in tensors}
    for inside in ("", "0_MLMTransformer"):
        root = tmp_path / f"chain{inside}"
        folder = part(root / inside if inside else root, config, stored)
        lines = [
            {"idx": 0, "name": "0", "path": inside, "type": "sentence_transformers.models.MLMTransformer"},
            {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": "sentence_transformers.models.SpladePooling"},
        ]
        (root / "modules.json").write_text(json.dumps(lines))
        real = cls.from_pretrained(folder).num_parameters()
        assert resolve(str(root)).num_parameters == served(hub, root).num_parameters == real
    assert "cls.predictions.decoder.weight" in names


@pytest.mark.parametrize("apart", [False, True])
def test_a_component_of_a_pipeline_is_tied_as_its_files_have_it(made, tmp_path, hub, apart):
    cls, config, tensors, _ = made["t5"]
    stored = {**tensors, "lm_head.weight": tensors["shared.weight"] + apart}
    root = tmp_path / "pipe"
    folder = part(root / "text_encoder", config, stored)
    part(root / "prior", config, {name: tensor for name, tensor in stored.items() if name != "lm_head.weight"})
    index = {
        "_class_name": "OwnPipeline",
        **{name: ["transformers", cls.__name__] for name in ("text_encoder", "prior")},
    }
    (root / "model_index.json").write_text(json.dumps(index))
    real = [cls.from_pretrained(at).num_parameters() for at in (folder, root / "prior")]
    assert real[0] - real[1] == (tensors["lm_head.weight"].numel() if apart else 0)
    for skeleton in (resolve(str(root)), served(hub, root)):
        assert skeleton.num_parameters == sum(real)
        said = any(note.startswith("text_encoder: lm_head.weight: stored with values") for note in skeleton.notes)
        assert said == apart


def test_a_tensor_in_two_shards_is_the_last_ones(made, tmp_path, capsys):
    """As transformers loads them: by the shards' names, whatever the index says."""
    cls, config, tensors, _ = made["llama, untied"]
    folder = write(tmp_path / "model", config, {})
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {f"model-0000{number}-of-00002.safetensors": part for number, part in
              ((1, names[:8]), (2, [*names[6:], names[0]]))}  # fmt: skip
    for number, (shard, held) in enumerate(shards.items()):
        save_file({name: tensors[name] + number for name in held}, folder / shard, {"format": "pt"})
    for first in (True, False):
        order = list(shards.items())[:: 1 if first else -1]
        places = {name: shard for shard, held in order for name in held}
        whole = {"metadata": {"total_size": 1}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(whole))
        source = locate(str(folder))
        real = cls.from_pretrained(folder, dtype=torch.float32)
        assert source.checkpoint.tensor_bytes == sum(4 * each.numel() for each in tensors.values())
        assert source.skeleton.num_parameters == real.num_parameters()
        loaded = dict(real.named_parameters())
        for tensor in source.checkpoint.tensors:
            data = torch.frombuffer(bytearray(source.reader.read(tensor, 0, tensor.nbytes)), dtype=torch.float32)
            assert torch.equal(data.view(tensor.shape), loaded[tensor.name].detach())
    assert run(["checkpoint", str(folder)]) == 0
    assert "3 tensors are in more than one shard" in " ".join(capsys.readouterr().out.split())

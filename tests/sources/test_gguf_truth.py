"""GGUF files whose header and tensors disagree, or that are no language model: the tensors are what is told."""

import json

import pytest

from inspector.cli.main import run
from inspector.sources.resolve import locate
from tests.sources.gguf_files import BLOCK, ENDS, LLAMA, SIZES, blocks, elements, made


def answer(capsys, *words):
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def told(capsys, path, tensors):
    """What `checkpoint` says, after `memory` is seen to agree with the file to the byte."""
    found = answer(capsys, "checkpoint", path)
    stored = answer(capsys, "memory", path, "--scheme", "stored")["schemes"][0]
    assert found["num_parameters"] == stored["num_parameters"] == elements(tensors)
    assert found["tensor_bytes"] == stored["tensor_bytes"]
    assert found["bits_per_parameter"] == pytest.approx(8 * found["tensor_bytes"] / elements(tensors))
    return found


def names(found, what):
    return [row["name"] for row in found[what]]


# Each with whether transformers' own table maps the size that is odd.
ODD_HEADERS = {
    # llama.cpp#9235
    "a wider MLP": ({"feed_forward_length": 1024}, True, ["ffn_gate", "ffn_up", "ffn_down"]),
    "more keys and values": ({"attention.head_count_kv": 4}, True, ["attn_k", "attn_v"]),
    "longer heads": ({"attention.key_length": 128, "attention.value_length": 128}, False,
                     ["attn_q", "attn_k", "attn_v", "attn_output"]),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD_HEADERS)
def test_a_header_of_other_sizes_is_named_and_not_believed(what, tmp_path, capsys):
    sizes, mapped, kinds = ODD_HEADERS[what]
    path = made(tmp_path / "m.gguf", "llama", LLAMA, **SIZES | sizes)
    found = told(capsys, path, LLAMA)
    assert found["compared"]
    assert set(names(found, "wrong_shape")) == {f"blk.{i}.{kind}.weight" for i in range(2) for kind in kinds}
    assert not found["missing"]
    assert not found["unexpected"]
    # No dry run of a model that the file is not.
    if mapped:
        assert run(["simulate", "generate", path]) == 2
        assert "disagree" in capsys.readouterr().err


def test_a_sound_file_is_said_to_be_sound(tmp_path, capsys):
    path = made(tmp_path / "m.gguf", "llama", LLAMA, **SIZES)
    assert run(["checkpoint", path]) == 0
    assert "every tensor of llama by its header is stored once" in capsys.readouterr().out
    # All factors of rotary embeddings are told, and are no parameters.
    more = {**LLAMA, "rope_freqs.weight": (32,)}
    path = made(tmp_path / "r.gguf", "llama", more, **SIZES)
    assert locate(path).skeleton.architecture == "LlamaForCausalLM"
    assert told(capsys, path, LLAMA)["unexpected"] == []


def test_a_vocabulary_is_resized_where_the_model_is_known_and_refused_elsewhere(tmp_path, capsys):
    path = made(tmp_path / "m.gguf", "llama", LLAMA, **SIZES)
    found = answer(capsys, "memory", path, "--scheme", "bf16", "--resize-vocab", "384")
    assert found["num_parameters"] == elements(LLAMA) + 2 * 64 * 256
    odd = made(tmp_path / "odd.gguf", "llama", LLAMA, **SIZES | {"feed_forward_length": 1024})
    assert run(["memory", odd, "--resize-vocab", "384"]) == 2
    assert "no vocabulary to resize" in capsys.readouterr().err


BIASED = {f"blk.{i}.attn_{kind}.bias": (rows,) for i in range(2)
          for kind, rows in (("q", 256), ("k", 128), ("v", 128), ("output", 256))}  # fmt: skip
TYPED = {
    "llama.cpp#9235": (
        "ff-mismatch", LLAMA, {"feed_forward_length": 1024},
        ["1,344,768 logical parameters", "wrong shape (6)",
         "blk.0.ffn_down.weight stored as [256, 512], the header announces [256, 1024]"],
    ),
    "llama.cpp#7457": (
        "extra-bias", LLAMA | BIASED, {},
        ["1,346,304 logical parameters", "unexpected (8)", "blk.1.attn_output.bias a bias"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("report", TYPED)
def test_what_public_reports_typed_is_answered(report, tmp_path, monkeypatch, capsys):
    name, tensors, sizes, said = TYPED[report]
    made(tmp_path / f"{name}.gguf", "llama", tensors, **SIZES | sizes)
    monkeypatch.chdir(tmp_path)
    assert run(["checkpoint", f"./{name}.gguf"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert all(each in page for each in said)
    assert run(["memory", f"./{name}.gguf", "--scheme", "stored"]) == 0
    assert said[0].replace(" logical", "") in capsys.readouterr().out


PIECES = {
    # llama.cpp#7457, #6490: "wrong number of tensors"
    "biases": (
        LLAMA | BIASED,
        [], [f"blk.{i}.attn_{kind}.bias" for i in range(2) for kind in ("q", "k", "v", "output")], [],
    ),
    "a tensor of another architecture": (
        {**LLAMA, "blk.1.ssm_in.weight": (8, 256), "vision.x": (4,)}, [], ["blk.1.ssm_in.weight", "vision.x"], [],
    ),
    "a block too many": (
        {**ENDS, **blocks({}, {}, {})}, [], [f"blk.2.{kind}.weight" for kind in BLOCK], [],
    ),
    "a block too few": ({**ENDS, **blocks({})}, ["blk.1.*"], [], []),
    "no down projection": ({**ENDS, **blocks({}, {"ffn_down": None})}, ["blk.1.ffn_down.weight"], [], []),
    "added tokens": (
        {**LLAMA, "token_embd.weight": (384, 256), "output.weight": (384, 256)}, [], [],
        ["token_embd.weight", "output.weight"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PIECES)
def test_what_is_missing_too_much_or_misshapen_is_named(what, tmp_path, capsys):
    tensors, missing, unexpected, misshapen = PIECES[what]
    found = told(capsys, made(tmp_path / "m.gguf", "llama", tensors, **SIZES), tensors)
    assert names(found, "missing") == missing
    assert sorted(names(found, "unexpected")) == sorted(unexpected)
    assert names(found, "wrong_shape") == misshapen


def test_a_header_of_a_billion_blocks_is_answered_at_once(tmp_path, capsys):
    path = made(tmp_path / "m.gguf", "llama", LLAMA, **SIZES | {"block_count": 10**9})
    assert names(told(capsys, path, LLAMA), "missing") == ["blk.2.* to blk.999999999.*"]


GEMMA = {"post_attention_norm": (256,), "post_ffw_norm": (256,), "layer_output_scale": (1,)}
SLIDING = {"attn_q": (128, 256), "attn_k": (64, 256), "attn_v": (64, 256), "attn_output": (256, 128),
           "attn_q_norm": (32,), "attn_k_norm": (32,)}  # fmt: skip
FULL = {"attn_k": (64, 256), "attn_v": None, "attn_q_norm": (64,), "attn_k_norm": (64,)}
GEMMA4 = {
    "attention.key_length": 64, "attention.value_length": 64, "attention.key_length_swa": 32,
    "attention.value_length_swa": 32, "attention.sliding_window": 64, "block_count": 6,
    "attention.sliding_window_pattern": [True] * 5 + [False],
}  # fmt: skip


@pytest.mark.parametrize("kv", [[2, 2, 2, 2, 2, 1], 2])
def test_gemma_4_is_its_tensors(kv, tmp_path, capsys):
    """transformers#46467: a list where transformers takes a number, and sizes that it does not map."""
    tensors = {**ENDS, **blocks(*[SLIDING] * 5, FULL, **GEMMA)}
    del tensors["output.weight"]
    assert elements(tensors) == 3_087_046
    path = made(tmp_path / "m.gguf", "gemma4", tensors, **SIZES | GEMMA4 | {"attention.head_count_kv": kv})
    found = told(capsys, path, tensors)
    assert found["missing"] == found["unexpected"] == []
    # One number for all layers is not what the last one has.
    assert names(found, "wrong_shape") == ([] if isinstance(kv, list) else ["blk.5.attn_k.weight"])


def test_a_list_of_one_number_is_that_number(tmp_path):
    sizes = SIZES | {"attention.head_count_kv": [2, 2], "feed_forward_length": [512, 512]}
    source = locate(made(tmp_path / "m.gguf", "llama", LLAMA, **sizes))
    assert source.runnable["num_key_value_heads"] == 2
    assert source.skeleton.num_parameters == elements(LLAMA)


NARROW = {"ffn_gate": (256, 256), "ffn_up": (256, 256), "ffn_down": (256, 256)}
LISTS = {
    "the MLP": ("llama", {**ENDS, **blocks({}, NARROW)}, {"feed_forward_length": [512, 256]}),
    "keys and values": (
        "qwen3",
        {**ENDS, **blocks({}, {"attn_k": (64, 256), "attn_v": (64, 256)}, attn_q_norm=(64,), attn_k_norm=(64,))},
        {"attention.head_count_kv": [2, 1]},
    ),
    "heads, and layers without any": (
        "deci",
        {**ENDS, **blocks({}, dict.fromkeys(("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output")))},
        {"attention.head_count": [4, 0], "attention.head_count_kv": [2, 0]},
    ),
    "fused heads": (
        "openelm",
        {**ENDS, **blocks(
            {"attn_qkv": (512, 256)}, {"attn_qkv": (256, 256), "attn_output": (256, 128), **NARROW},
            attn_q=None, attn_k=None, attn_v=None, attn_q_norm=(64,), attn_k_norm=(64,))},
        {"attention.head_count": [4, 2], "attention.head_count_kv": [2, 1], "feed_forward_length": [512, 256]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LISTS)
def test_one_size_a_layer_is_read_as_such(what, tmp_path, capsys):
    architecture, tensors, sizes = LISTS[what]
    found = told(capsys, made(tmp_path / "m.gguf", architecture, tensors, **SIZES | sizes), tensors)
    assert found["missing"] == found["unexpected"] == found["wrong_shape"] == []
    # Only one of the sizes in each layer is another one.
    path = made(tmp_path / "other.gguf", architecture, tensors, **SIZES | {"embedding_length": 256})
    assert any(answer(capsys, "checkpoint", path)[key] for key in ("missing", "wrong_shape"))


@pytest.mark.parametrize("architecture", ["zeta9", "lfm2", "qwen3next", "t5"])
def test_an_architecture_that_is_not_known_in_full_is_never_refused(architecture, tmp_path, capsys):
    tensors = {"token_embd.weight": (320, 256), "blk.0.attn_norm.weight": (256,), "blk.0.odd.weight": (7, 3)}
    if architecture == "t5":
        tensors = {"token_embd.weight": (320, 256), "enc.blk.0.attn_q.weight": (256, 256)}
    path = made(tmp_path / "m.gguf", architecture, tensors, block_count=1, embedding_length=256)
    found = told(capsys, path, tensors)
    assert found["missing"] == found["wrong_shape"] == []
    assert names(found, "unexpected") == ([] if architecture in {"zeta9", "t5"} else ["blk.0.odd.weight"])
    assert run(["checkpoint", path]) == run(["layers", path]) == 0
    assert "every tensor" not in capsys.readouterr().out


def test_blocks_that_are_all_missing_are_told_where_the_architecture_has_such(tmp_path, capsys):
    tensors = {"token_embd.weight": (320, 256)}
    for architecture, missing in (("bert", ["blk.0.* to blk.1.*"]), ("t5", []), ("zeta9", [])):
        path = made(tmp_path / f"{architecture}.gguf", architecture, tensors, block_count=2, embedding_length=256)
        assert names(told(capsys, path, tensors), "missing") == missing


PAIRS = {
    f"blk.{number}.attn_{kind}.weight.lora_{half}": ((8, 256) if half == "a" else (256, 8))
    for number in range(2) for kind in ("q", "output") for half in "ab"
}  # fmt: skip
EXPERTS = {"blk.0.ffn_up_exps.weight.lora_a": (4, 8, 256), "blk.0.ffn_up_exps.weight.lora_b": (4, 512, 8)}
OTHER_RANK = {"blk.0.ffn_up.weight.lora_a": (16, 256), "blk.0.ffn_up.weight.lora_b": (512, 16)}
ADAPTER = {"general__type": "adapter", "adapter__type": "lora", "adapter__lora__alpha": 16.0, "tokens": 0}


@pytest.mark.parametrize(
    ("tensors", "more", "said"),
    [
        (PAIRS, {"general__base_model__0__name": "Llama 3.2 1B"}, "rank 8, alpha 16, on 4 tensors of Llama 3.2 1B"),
        ({**PAIRS, **OTHER_RANK}, {}, "ranks 8 to 16, alpha 16, on 5 tensors of a model of the architecture llama"),
        (EXPERTS, {"general__base_model__0__repo_url": "https://a.b/c"}, "rank 8, alpha 16, on 1 tensors of https://a.b/c"),
    ],
)  # fmt: skip
def test_an_adapter_is_told_as_one(tensors, more, said, tmp_path, capsys):
    path = made(tmp_path / "a.gguf", "llama", tensors, **ADAPTER, **more)
    found = told(capsys, path, tensors)
    assert found["holds"] == f"an adapter of {elements(tensors):,} parameters, no model: {said}"
    assert found["missing"] == found["unexpected"] == found["wrong_shape"] == []
    assert run(["simulate", "generate", path]) == 2
    assert "an adapter of" in capsys.readouterr().err


def test_an_adapter_lacking_a_half_or_of_two_ranks_is_told(tmp_path, capsys):
    tensors = {**PAIRS, "blk.0.attn_q.weight.lora_b": (256, 4), "odd.weight": (2,)}
    del tensors["blk.1.attn_output.weight.lora_a"]
    found = told(capsys, made(tmp_path / "a.gguf", "llama", tensors, **ADAPTER), tensors)
    assert names(found, "missing") == ["blk.1.attn_output.weight.lora_a"]
    assert names(found, "unexpected") == ["odd.weight"]
    assert names(found, "wrong_shape") == ["blk.0.attn_q.weight.lora_b"]
    assert run(["checkpoint", str(tmp_path / "a.gguf")]) == 0
    assert "each A belongs to a B" not in capsys.readouterr().out  # it is what the file lacks


SEEING = {"v.patch_embd.weight": (32, 3, 4, 4), "mm.0.weight": (256, 32), "v.blk.0.ln1.weight": (32,)}
HEARING = {"a.blk.0.ln1.weight": (32,), "mm.a.fc.weight": (256, 32)}
OTHERS = {
    "images": ("clip", SEEING, {"clip__vision__block_count": 1}, ("a vision encoder (v.*) of 1,568", "mm.*")),
    "sound": ("clip", HEARING, {"general__type": "mmproj"}, ("an audio encoder (a.*) of 32",)),
    "one file": ("llama", {**LLAMA, **SEEING, **HEARING}, SIZES, ("a language model with more", "a.*", "v.*")),
    "a control vector": ("controlvector", {"direction.1": (256,), "direction.2": (256,)}, {}, ("512 parameters in 2",)),
    "a vocabulary": ("llama", {}, {"general__type": "vocab"}, ("a vocabulary alone",)),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_language_model_alone_is_told_as_what_it_is(what, tmp_path, capsys):
    architecture, tensors, pairs, said = OTHERS[what]
    path = made(tmp_path / "m.gguf", architecture, tensors, tokens=320 if tensors is not SEEING else 0, **pairs)
    found = told(capsys, path, tensors) if tensors else answer(capsys, "checkpoint", path)
    assert all(word in found["holds"] for word in said)
    assert found["missing"] == found["unexpected"] == found["wrong_shape"] == []
    assert run(["memory", path, "--scheme", "stored"]) == run(["layers", path]) == 0


def test_an_encoder_of_too_few_blocks_is_told(tmp_path, capsys):
    path = made(tmp_path / "m.gguf", "clip", SEEING, clip__vision__block_count=24)
    assert names(told(capsys, path, SEEING), "missing") == ["v.blk.*"]


def test_splits_are_one_model_wherever_one_points(tmp_path, capsys):
    items = list(LLAMA.items())
    for number, part in enumerate((items[:9], items[9:]), start=1):
        path = tmp_path / f"m-0000{number}-of-00002.gguf"
        made(path, "llama", dict(part), split__tensors__count=len(LLAMA), **SIZES)
    for reference in (tmp_path, tmp_path / "m-00001-of-00002.gguf", path):
        assert not told(capsys, str(reference), LLAMA)["missing"]
    # Under another name it is told as the part that it is.
    alone = path.rename(tmp_path / "half.gguf")
    found = told(capsys, str(alone), dict(items[9:]))
    assert f"announces {len(LLAMA)} tensors in all splits, {len(items) - 9} are here" in " ".join(found["notes"])
    assert "token_embd.weight" in names(found, "missing")
    assert run(["checkpoint", str(tmp_path / "m-00001-of-00002.gguf")]) == 2
    assert "m-00002-of-00002" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [99, 141, 337])
def test_a_type_of_ggml_that_is_not_known_takes_what_lies_up_to_the_next_tensor(kind, tmp_path, capsys):
    path = made(tmp_path / "m.gguf", "llama", LLAMA, **SIZES)
    data = (tmp_path / "m.gguf").read_bytes()
    name = b"blk.0.ffn_up.weight"
    # After the name: the number of dimensions and two of them, then the type.
    place = data.index(name) + len(name) + 4 + 16
    (tmp_path / "m.gguf").write_bytes(data[:place] + kind.to_bytes(4, "little") + data[place + 4 :])
    found = told(capsys, path, LLAMA)
    # Q4_K has 144 bytes for 256 weights, and here no padding.
    assert {row["dtype"]: row["bytes"] for row in found["dtypes"]}[f"ggml_type_{kind}"] == 512 * 144
    assert f"ggml_type_{kind}" in " ".join(found["notes"])
    assert locate(path).skeleton.architecture == "LlamaForCausalLM"

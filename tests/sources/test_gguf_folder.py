"""A folder of GGUF files as llama.cpp's users keep them: the model, and beside it what is loaded with it."""

import json

import pytest

from inspector.cli.main import run
from inspector.sources.resolve import locate
from tests.sources.gguf_files import LLAMA, SIZES, elements, made

EYES = {"v.patch_embd.weight": (32, 3, 4, 4), "mm.0.weight": (256, 32), "v.blk.0.ln1.weight": (32,)}
PAIR = {"blk.0.attn_q.weight.lora_a": (8, 256), "blk.0.attn_q.weight.lora_b": (256, 8)}
BESIDE = {
    "a projector": ("mmproj-m-f16.gguf", "clip", EYES, {"general__type": "mmproj"},
                    "loaded with --mmproj and not counted here: no language model but what goes beside one"),
    "a projector by another name": ("a.gguf", "clip", EYES, {}, "loaded with --mmproj"),
    "an adapter": ("lora.gguf", "llama", PAIR, {"general__type": "adapter", "adapter__type": "lora"},
                   "loaded with --lora and not counted here: an adapter of 4,096 parameters"),
    "a control vector": ("c.gguf", "controlvector", {"direction.1": (256,)}, {}, "loaded with --control-vector"),
    "an importance matrix": ("i.gguf", "llama", {"x.in_sum2": (4,)}, {"general__type": "imatrix"}, "importance matrix"),
    "a vocabulary": ("v.gguf", "llama", {}, {}, "a vocabulary alone"),
    "a draft": ("mtp-m.gguf", "llama", LLAMA, SIZES, "draft tokens"),
}  # fmt: skip


def split(folder):
    """A model in two files."""
    items = list(LLAMA.items())
    for number, part in enumerate((items[:9], items[9:]), start=1):
        made(folder / f"m-0000{number}-of-00002.gguf", "llama", dict(part), split__tensors__count=len(LLAMA), **SIZES)


def told(capsys, *words):
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("what", BESIDE)
def test_a_folder_is_its_model_and_tells_the_rest(what, whole, tmp_path, capsys):
    name, architecture, tensors, pairs, said = BESIDE[what]
    if whole:
        made(tmp_path / "m.gguf", "llama", LLAMA, **SIZES)
    else:
        split(tmp_path)
    made(tmp_path / name, architecture, tensors, tokens=0, **pairs)
    found = told(capsys, "checkpoint", str(tmp_path))
    assert found["num_parameters"] == elements(LLAMA)
    assert found["num_files"] == (1 if whole else 2)
    (note,) = [note for note in found["notes"] if name in note]
    assert said in note
    assert f"{(tmp_path / name).stat().st_size / 1e6:,.1f} MB" in note
    stored = told(capsys, "memory", str(tmp_path), "--scheme", "stored")
    assert stored["schemes"][0]["num_parameters"] == elements(LLAMA)
    assert run(["memory", str(tmp_path), "--scheme", "stored"]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    # It is the model that runs too, and one file that was named is that file alone.
    assert locate(str(tmp_path)).runnable["model_type"] == "llama"
    assert not [note for note in told(capsys, "checkpoint", str(tmp_path / name))["notes"] if "beside" in note]


def test_of_several_models_or_none_one_is_to_be_named(tmp_path, capsys):
    made(tmp_path / "mmproj.gguf", "clip", EYES, tokens=0)
    # Alone it is what is meant, whatever it is.
    assert "a vision encoder" in told(capsys, "checkpoint", str(tmp_path))["holds"]
    made(tmp_path / "lora.gguf", "llama", PAIR, tokens=0, general__type="adapter")
    assert run(["layers", str(tmp_path)]) == 2
    assert "holds 2 GGUF files" in capsys.readouterr().err
    for name in ("m-q4.gguf", "m-q8.gguf"):
        made(tmp_path / name, "llama", LLAMA, **SIZES)
    assert run(["layers", str(tmp_path)]) == 2
    assert "name one, such as m-q4.gguf" in capsys.readouterr().err


def test_a_broken_file_does_not_hide_the_model(tmp_path, capsys):
    made(tmp_path / "m.gguf", "llama", LLAMA, **SIZES)
    (tmp_path / "mmproj.gguf").write_bytes(b"GGUF")
    assert "mmproj.gguf, which cannot be read" in " ".join(told(capsys, "checkpoint", str(tmp_path))["notes"])


def test_beside_a_config_it_is_to_be_named(tmp_path, capsys):
    """The config is the model of the folder; what is stored the file alone says."""
    path = made(tmp_path / "m.gguf", "llama", LLAMA, **SIZES)
    config = locate(path).runnable
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run(["layers", str(tmp_path)]) == run(["memory", str(tmp_path), "--scheme", "bf16"]) == 0
    capsys.readouterr()
    for command in (["checkpoint", str(tmp_path)], ["memory", str(tmp_path), "--scheme", "stored"]):
        assert run(command) == 2
        assert f"name one: {path}" in " ".join(capsys.readouterr().err.split())


def test_many_files_are_not_all_looked_into(tmp_path, capsys):
    for number in range(33):
        (tmp_path / f"m{number:02}.gguf").write_bytes(b"")
    assert run(["layers", str(tmp_path)]) == 2
    assert "holds 33 GGUF files" in capsys.readouterr().err

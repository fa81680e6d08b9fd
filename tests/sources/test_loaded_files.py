"""Which files of a folder are loaded, held to transformers' own search over folders of every kind."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.distributed.checkpoint import get_distributed_checkpoint_dir
from transformers.modeling_utils import _get_resolved_checkpoint_files
from transformers.models.jev import JevConfig

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.sources.loaded_files import left_alone, loaded_files, resolved
from inspector.sources.resolve import locate

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
NAMES = [
    SINGLE, INDEX, *SHARDS, "pytorch_model.bin", "pytorch_model.bin.index.json", "model.fp16.safetensors",
    "model.safetensors.index.fp16.json", "model.bf16.safetensors", "pytorch_model.fp16.bin",
    "adapter_model.safetensors", "adapter_model.bin", "consolidated.safetensors", "other.safetensors",
    "diffusion_pytorch_model.safetensors",
    "shard-00001-model-00001-of-00002.safetensors",
]  # fmt: skip


def really(folder, config, variant=None):
    """The files transformers takes of a folder, or None where it stops."""
    if found := get_distributed_checkpoint_dir(str(folder), "", None, None):
        return sorted(path.name for path in Path(found).glob("shard-*"))
    try:
        files, _ = _get_resolved_checkpoint_files(
            str(folder), variant, None, None, None, is_remote_code=False,
            transformers_explicit_filename=config.get("transformers_weights"),
        )  # fmt: skip
    except OSError:
        return None
    return sorted(Path(file).name for file in files)


def fill(folder, names):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in names:
        whole = {"metadata": {}, "weight_map": {f"t{number}": shard for number, shard in enumerate(SHARDS)}}
        (folder / name).write_text(json.dumps(whole) if ".index." in name else "")
    return folder


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(st.sampled_from(NAMES)), explicit=st.sampled_from([None, None, None, *NAMES[:4], NAMES[-3]]))
@example(names={SINGLE, INDEX, *SHARDS}, explicit=None)
@example(names={"model.fp16.safetensors", "pytorch_model.bin"}, explicit=None)
def test_what_is_loaded_is_what_transformers_takes(tmp_path, names, explicit):
    config = {"transformers_weights": explicit} if explicit else {}
    if explicit and explicit not in names and not any(name.startswith("shard-") for name in names):
        # It takes the name as it is and fails to open it.
        with pytest.raises(InspectorError, match="not there"):
            loaded_files(names, config)
        return
    real = really(fill(tmp_path / "model", names), config)
    taken = loaded_files(names, config)
    found = SHARDS if taken.index else list(taken.files)
    if taken.unread:
        assert real is not None
        assert ".index." in taken.unread or taken.unread in real
        assert not found
    elif real is None:
        assert bool(taken.notes) == bool(found)  # what is read all the same is said
    elif not taken.notes:
        assert found == real
    else:
        pytest.fail(f"{taken} where transformers takes {real}")


@pytest.mark.parametrize("variant", ["", "fp16", "bf16"])
def test_a_variant_is_found_as_transformers_finds_it(tmp_path, variant):
    for number in range(1 << 6):
        names = {name for place, name in enumerate([SINGLE, INDEX, *NAMES[6:10]]) if number >> place & 1}
        real = really(fill(tmp_path / "model", names), {}, variant or None)
        found = resolved(names, variant)
        assert (SHARDS if ".index." in found else [found]) == real if found else real is None


def test_a_folder_that_two_saves_went_into_is_weighed_as_it_is_loaded(saved_llama, tmp_path, capsys):
    """A half-precision merge beside the shards it was merged from (mlx-vlm#1464)."""
    folder = tmp_path / "model"
    shutil.copytree(saved_llama, folder)
    whole = {}
    for shard in saved_llama.glob("*.safetensors"):
        whole |= load_file(shard)
    save_file({name: tensor.to(torch.float16) + 1 for name, tensor in whole.items()}, folder / SINGLE, {"format": "pt"})
    stored = locate(str(folder)).checkpoint
    assert stored.files == (SINGLE,)
    assert list(stored.dtypes) == ["float16"]
    real = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert torch.equal(real.lm_head.weight.to(torch.float16), load_file(folder / SINGLE)["lm_head.weight"])
    assert run(["checkpoint", str(folder)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert INDEX in said
    assert "model-00001-of-" in said


@pytest.mark.parametrize(("beside", "said"), [
    ("pytorch_model.bin", "pytorch_model.bin (a pickle)"),
    ("model.fp16.safetensors", "model.fp16.safetensors (variant fp16)"),
    ("adapter_model.safetensors", "adapter_model.safetensors (an adapter)"),
    ("consolidated.safetensors", "consolidated.safetensors"),
    ("model.q4_k_m.gguf", "model.q4_k_m.gguf"),
    ("tf_model.h5", "tf_model.h5"),
])  # fmt: skip
def test_what_lies_beside_is_listed_by_name(saved_llama, tmp_path, hub, beside, said):
    folder = tmp_path / "model"
    shutil.copytree(saved_llama, folder)
    (folder / beside).write_bytes(b"never opened")
    hub.add("acme/beside", {path.name: path.read_bytes() for path in folder.iterdir()})
    for reference in (str(folder), "hf:acme/beside"):
        found = locate(reference).checkpoint
        assert found.tensor_bytes == locate(str(saved_llama)).checkpoint.tensor_bytes
        assert any(said in note for note in found.notes), reference


def test_many_files_beside_are_one_line():
    names = [f"model-{n:05}-of-00163.safetensors" for n in range(1, 164)] + [f"x{n}.bin" for n in range(50)]
    (note,) = left_alone([*names, SINGLE, "training_args.bin", "optimizer.pt", "README.md"], {SINGLE})
    assert "model-00001-of-00163.safetensors to model-00163-of-00163.safetensors (163 files)" in note
    assert "and 43 more" in note
    assert "training_args" not in note


def test_an_adapter_beside_its_base_is_said_to_go_on_top(saved_llama, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved_llama, folder)
    (folder / "adapter_model.safetensors").write_bytes(b"")
    (folder / "adapter_config.json").write_text("{}")
    assert any("from_pretrained puts on top" in note for note in locate(str(folder)).checkpoint.notes)


def test_a_variant_alone_is_read_and_said(saved_llama, tmp_path, hub):
    whole = {}
    for shard in saved_llama.glob("*.safetensors"):
        whole |= load_file(shard)
    shutil.copy(saved_llama / "config.json", tmp_path)
    for variant in ("bf16", "fp16"):
        save_file(whole, tmp_path / f"model.{variant}.safetensors", {"format": "pt"})
    hub.add("acme/variants", {path.name: path.read_bytes() for path in tmp_path.iterdir()})
    for reference in (str(tmp_path), "hf:acme/variants"):
        found = locate(reference).checkpoint
        assert found.files == ("model.fp16.safetensors",)
        assert any('variant="fp16"' in note for note in found.notes)
        assert any("model.bf16.safetensors (variant bf16)" in note for note in found.notes)
    with pytest.raises(OSError, match="no file named"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


def test_pickles_that_would_be_loaded_are_named_and_never_opened(saved_llama, tmp_path, capsys):
    shutil.copy(saved_llama / "config.json", tmp_path)
    shutil.copy(next(saved_llama.glob("*.safetensors")), tmp_path / "model.fp16.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    assert run(["layers", str(tmp_path)]) == 0  # of the config
    for words in (("checkpoint",), ("memory", "--scheme", "stored")):
        assert run([words[0], str(tmp_path), *words[1:]]) == 2
        error = capsys.readouterr().err
        assert "pytorch_model.bin is a pickle" in error
        assert "model.fp16.safetensors beside it can be read" in error
    (tmp_path / "pytorch_model.bin").rename(tmp_path / "pytorch_model.bin.index.json")
    assert run(["checkpoint", str(tmp_path)]) == 2
    assert "lists pickles" in capsys.readouterr().err


def test_a_folder_without_weights_is_not_told_to_be_pointed_at(saved_llama, tmp_path, capsys):
    shutil.copy(saved_llama / "config.json", tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"x")
    assert run(["checkpoint", str(tmp_path)]) == 2
    assert "no safetensors and no GGUF lie in it" in capsys.readouterr().err


def test_a_distributed_checkpoint_goes_before_all_others(saved_llama, tmp_path, capsys):
    shutil.copytree(saved_llama, tmp_path / "model")
    (tmp_path / "model" / "shard-00001-model-00001-of-00002.safetensors").write_bytes(b"")
    assert run(["checkpoint", str(tmp_path / "model")]) == 2
    assert "distributed checkpoint" in capsys.readouterr().err


def test_an_index_without_metadata_is_said_to_stop_from_pretrained(saved_llama, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved_llama, folder)
    index = json.loads((folder / INDEX).read_text())
    del index["metadata"]
    (folder / INDEX).write_text(json.dumps(index))
    assert any("no metadata" in note for note in locate(str(folder)).checkpoint.notes)
    with pytest.raises(KeyError, match="metadata"):
        AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "x.bin", ".safetensors"])
def test_a_config_that_names_a_file_elsewhere_is_refused(name):
    with pytest.raises(InspectorError, match="transformers_weights"):
        loaded_files({SINGLE}, {"transformers_weights": name})


def test_files_that_a_class_loads_besides(tmp_path):
    names = {SINGLE, *JevConfig.extra_files}
    assert loaded_files(names, {"model_type": "jev"}).files == (SINGLE, *JevConfig.extra_files)
    assert loaded_files(names, {"model_type": "llama"}).files == (SINGLE,)


def test_diffusers_takes_an_index_before_a_single_file():
    names = {f"diffusion_pytorch_{name}" for name in (SINGLE, INDEX)}
    assert loaded_files(names, {"_class_name": "UNet2DConditionModel"}).index == f"diffusion_pytorch_{INDEX}"


def test_what_is_no_file_of_weights_is_not_read(saved_llama, tmp_path):
    """What macOS leaves on other disks, and a folder that was to be a file."""
    folder = tmp_path / "model"
    shutil.copytree(saved_llama, folder)
    (folder / INDEX).unlink()
    shards = tuple(sorted(path.name for path in folder.glob("*.safetensors")))
    (folder / f"._{shards[0]}").write_bytes(b"\0\5\26\7")
    (folder / SINGLE).mkdir()
    found = locate(str(folder)).checkpoint
    assert found.files == shards
    assert not any("._" in note for note in found.notes)


def test_an_unfinished_download_is_said(saved_llama, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved_llama, folder)
    (folder / f"{SINGLE}.aria2").write_bytes(b"")
    said = f"{SINGLE}.aria2 (a download that has not ended)"
    assert any(said in note for note in locate(str(folder)).checkpoint.notes)


def test_of_an_id_with_an_adapter_transformers_loads_the_base_that_it_names(saved_llama, tmp_path, hub):
    files = {path.name: path.read_bytes() for path in saved_llama.iterdir()}
    hub.add("acme/both", {**files, "adapter_model.safetensors": b"", "adapter_config.json": b"{}"})
    said = "from_pretrained of this id loads the base that adapter_config.json names"
    assert any(said in note for note in locate("hf:acme/both").checkpoint.notes)

"""diffusers pipelines: tensor for tensor those of the package; what needs it says so where it is missing."""

import json

import pytest

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.sources.loaded_files import DIFFUSERS, loaded_files, resolved
from inspector.sources.pipeline import Pipeline
from inspector.sources.resolve import locate, resolve
from tests.sources.extras import PUBLISHED, have


@pytest.fixture
def asked(asked_of_extras):
    """A tiny Stable Diffusion pipeline saved by the package, and what was said of it in its presence."""
    have("diffusers")
    return asked_of_extras


@pytest.fixture
def read(asked):
    return json.loads((asked / "read.json").read_text())


@pytest.mark.slow
def test_every_parameter_is_the_packages(asked, read):
    assert read["shapes"] == json.loads((asked / "sd.json").read_text())
    assert read["wrong"] == []


@pytest.mark.slow
def test_components_add_up(read):
    wanted = {}
    for name, shape in read["shapes"].items():
        size = 2
        for length in shape:
            size *= length
        wanted[name.split(".")[0]] = wanted.get(name.split(".")[0], 0) + size
    assert set(read["groups"]) == {"unet", "vae", "text_encoder", "safety_checker"} == set(wanted)
    assert sum(read["groups"].values()) == read["total"]
    assert read["groups"]["unet"] == wanted["unet"]
    assert read["groups"]["vae"] == wanted["vae"]
    assert read["groups"]["text_encoder"] == wanted["text_encoder"] + 77 * 8  # position_ids, int64
    assert read["unet"] * 2 == wanted["unet"]


@pytest.mark.slow
def test_every_lens_answers_or_says_why_not(read):
    codes = read["codes"]
    assert {codes[name] for name in ("layers", "memory", "lora", "compare", "checkpoint", "diff")} == {0}
    assert {codes[name] for name in ("measure", "fit", "simulate")} == {2}
    assert {codes["report"], codes["chart"]} <= {0, 2}
    assert read["schemes"]["nf4"] < read["schemes"]["int8"] < read["schemes"]["bf16"] < read["schemes"]["fp32"]
    # Query, key, value and output: 5 text layers; 2 + 3 + 1 transformers of two attentions each in the UNet.
    assert read["lora"]["attention"] >= 4 * 5 + 4 * 2 * 6


@pytest.mark.slow
def test_published_sizes(asked):
    assert json.loads((asked / "sizes.json").read_text()) == {cls: size for cls, (_, size) in PUBLISHED.items()}


@pytest.mark.slow
def test_the_file_of_a_part_is_the_one_that_diffusers_takes(asked):
    """Of every set of eight names: an index first, safetensors before a pickle, a variant only where it is asked."""
    choices = json.loads((asked / "choices.json").read_text())
    assert len(choices) == 2 << 8
    for key, taken in choices.items():
        variant, *names = key.split(" ")
        names = [name for name in names if name]
        assert resolved(names, variant, DIFFUSERS) == taken, key
        if variant:
            continue
        found = loaded_files(names, {"_class_name": "AutoencoderKL"})
        if taken and taken.endswith(".bin"):
            assert found.unread == taken
        elif taken:
            assert found.index == taken or found.files == (taken,)
            assert not found.notes
        else:  # what is read all the same is said
            assert bool(found.notes) == bool(found.files or found.index)


CLIP = {
    "model_type": "clip_text_model", "architectures": ["CLIPTextModel"], "hidden_size": 32, "intermediate_size": 37,
    "num_attention_heads": 4, "num_hidden_layers": 5, "vocab_size": 1000, "dtype": "float32",
}  # fmt: skip


def written(path, **parts):
    path.mkdir()
    index = {"_class_name": "OwnPipeline", "_diffusers_version": "0.42.1", "scheduler": ["diffusers", "DDIMScheduler"]}
    for name, (library, cls, config) in parts.items():
        index[name] = [library, cls]
        (path / name).mkdir()
        (path / name / "config.json").write_text(json.dumps(config))
    (path / "model_index.json").write_text(json.dumps(index))
    return path


def test_parts_of_transformers_need_no_diffusers(tmp_path):
    path = written(tmp_path / "p", text_encoder=("transformers", "CLIPTextModel", CLIP))
    skeleton = resolve(str(path))
    alone = resolve(str(path / "text_encoder"))
    assert skeleton.num_parameters == alone.num_parameters > 0
    assert all(tensor.name.startswith("text_encoder.") for tensor in skeleton.tensors)
    assert "without weights, or left out: scheduler" in skeleton.notes


def test_without_diffusers_it_says_what_to_install(tmp_path, capsys):
    unet = {"_class_name": "UNet2DConditionModel", "sample_size": 64}
    path = written(tmp_path / "p", text_encoder=("transformers", "CLIPTextModel", CLIP),
                   unet=("diffusers", "UNet2DConditionModel", unet))  # fmt: skip
    for reference, said in ((path, "unet of p need diffusers"), (path / "unet", "is a diffusers model")):
        assert run(["memory", str(reference)]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert "pip install 'llm-inspector[diffusers]'" in err


def test_a_component_of_its_own_code_is_not_run(tmp_path, monkeypatch):
    import torch
    from safetensors.torch import save_file

    path = written(tmp_path / "p", text_encoder=("transformers", "CLIPTextModel", CLIP), unet=("own_unet", "Own", {}))
    marker = tmp_path / "marker"
    for place in (path / "own_unet.py", path / "unet" / "own_unet.py", path / "pipeline.py"):
        place.write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.chdir(path)
    with pytest.raises(InspectorError, match="which is not run"):
        resolve(str(path))
    save_file({"a.weight": torch.zeros(3, 4)}, path / "unet" / "model.safetensors")
    skeleton = resolve(str(path))
    assert sum(tensor.numel for tensor in skeleton.parameters if tensor.name.startswith("unet.")) == 12
    assert any("Own of own_unet is not run" in note for note in skeleton.notes)
    assert not marker.exists()


@pytest.mark.parametrize(
    "index",
    [
        "{}", "[]", "nothing", '{"unet": ["diffusers", "os.system"]}', '{"../up": ["diffusers", "UNet2DModel"]}',
        '{"a": ["transformers", "PreTrainedModel"]}', '{"a": ["transformers", "x y"]}', '{"a": [null, null]}',
        '{"a": ["os", "system"]}', '{"a": [["x"], "y"]}', '{"a\\u0000": ["diffusers", "X"]}', "[" * 3000,
    ],
)  # fmt: skip
def test_a_broken_index_is_one_line(tmp_path, index, capsys):
    (tmp_path / "model_index.json").write_text(index)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text('{"model_type": "none"}')
    assert run(["layers", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2


def test_its_files_are_those_of_all_components(tmp_path):
    import torch
    from safetensors.torch import save_file

    path = written(tmp_path / "p", a=("transformers", "CLIPTextModel", CLIP), b=("transformers", "CLIPTextModel", CLIP))
    save_file({"x": torch.zeros(2)}, path / "a" / "model.safetensors")
    save_file({"x": torch.zeros(3)}, path / "b" / "diffusion_pytorch_model.safetensors")
    save_file({"x": torch.zeros(3).half()}, path / "b" / "diffusion_pytorch_model.fp16.safetensors")
    source = locate(str(path))
    assert isinstance(source, Pipeline)
    assert {tensor.name: tensor.nbytes for tensor in source.checkpoint.tensors} == {"a.x": 8, "b.x": 12}
    assert source.checkpoint.files == ("a/model.safetensors", "b/diffusion_pytorch_model.safetensors")

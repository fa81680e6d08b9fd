"""diffusers pipelines: tensor for tensor those of the package; what needs it says so where it is missing."""

import json

import pytest
from extras import have, python

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.sources.pipeline import Pipeline
from inspector.sources.resolve import locate, resolve

SAVE = """
import json, sys, torch
from transformers import CLIPTextConfig, CLIPTextModel
from diffusers import (AutoencoderKL, DDIMScheduler, FluxTransformer2DModel, StableDiffusionPipeline,
                       UNet2DConditionModel)

out = sys.argv[1]
unet = UNet2DConditionModel(
    block_out_channels=(32, 64), layers_per_block=2, sample_size=32, cross_attention_dim=32,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))
vae = AutoencoderKL(
    block_out_channels=[32, 64], latent_channels=4,
    down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2)
from transformers import CLIPConfig
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
small = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2}
checker = StableDiffusionSafetyChecker(CLIPConfig(
    text_config=small, vision_config={**small, "image_size": 32, "patch_size": 8}, projection_dim=16))
text = CLIPTextModel(CLIPTextConfig(
    hidden_size=32, intermediate_size=37, num_attention_heads=4, num_hidden_layers=5, vocab_size=1000))
pipe = StableDiffusionPipeline(
    unet=unet, vae=vae, text_encoder=text, scheduler=DDIMScheduler(), tokenizer=None, safety_checker=None,
    feature_extractor=None, requires_safety_checker=False)
pipe.register_modules(safety_checker=checker)
pipe.save_pretrained(f"{out}/sd")
parts = {name: getattr(pipe, name) for name in ("unet", "vae", "text_encoder", "safety_checker")}
with open(f"{out}/sd.json", "w") as stream:
    json.dump({f"{part}.{name}": list(value.shape) for part, model in parts.items()
               for name, value in model.named_parameters()}, stream)
"""
READ = """
import json, sys, inspector
from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.cli.main import run
from inspector.precision import SCHEME_NAMES
from inspector.sources.resolve import locate

source = locate(sys.argv[1])
skeleton, report = source.skeleton, compare_with_skeleton(source.checkpoint, source.skeleton)
model = inspector.load(sys.argv[1])
memory = model.memory(scheme="bf16")
codes = {}
sys.stdout = open("/dev/null", "w")
for command in (["layers"], ["memory"], ["lora"], ["compare"], ["checkpoint"], ["diff", "gpt2"], ["report", "-o", "-"],
                ["chart", "sizes", "-o", "-"], ["measure"], ["fit"], ["simulate", "generate"]):
    codes[command[0]] = run([*command, sys.argv[1]])
sys.stdout = sys.__stdout__
print(json.dumps({
    "shapes": {tensor.name: tensor.shape for tensor in skeleton.parameters}, "notes": skeleton.notes,
    "groups": {group.name: group.tensor_bytes for group in memory.groups}, "total": memory.tensor_bytes,
    "wrong": [*report.missing, *report.unexpected, *report.misshapen], "codes": codes,
    "schemes": {name: model.memory(scheme=name).tensor_bytes for name in SCHEME_NAMES},
    "lora": {row.target_set: row.modules for row in model.lora(r=8).rows},
    "unet": inspector.load(sys.argv[1] + "/unet").num_parameters,
}, default=str))
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A tiny Stable Diffusion pipeline, saved by the package, beside its parameters' names and shapes."""
    have("diffusers")
    out = tmp_path_factory.mktemp("diffusers")
    done = python("-c", SAVE, out)
    assert done.returncode == 0, done.stderr[-2000:]
    return out / "sd"


@pytest.fixture(scope="session")
def read(folder):
    done = python("-c", READ, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_every_parameter_is_the_packages(folder, read):
    assert read["shapes"] == json.loads(folder.with_suffix(".json").read_text())
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


KNOWN = {
    # Stable Diffusion 1.5 and SDXL, as published: https://huggingface.co/docs/diffusers; sizes by the class itself.
    "UNet2DConditionModel": ({"cross_attention_dim": 768, "sample_size": 64}, 859_520_964),
    "AutoencoderKL": (
        {
            "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4,
            "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
        },
        83_653_863,
    ),
    "FluxTransformer2DModel": ({"guidance_embeds": True}, 11_901_408_320),
}  # fmt: skip


SIZES = """
import json, sys, inspector
print(json.dumps({name: inspector.load(f"{sys.argv[1]}/{name}").num_parameters for name in sys.argv[2:]}))
"""


@pytest.mark.slow
def test_published_sizes(tmp_path):
    have("diffusers")
    for cls, (config, _) in KNOWN.items():
        (tmp_path / cls).mkdir()
        full = {"_class_name": cls, "_diffusers_version": "0.30.0", **config}
        (tmp_path / cls / "config.json").write_text(json.dumps(full))
    done = python("-c", SIZES, tmp_path, *KNOWN)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == {cls: parameters for cls, (_, parameters) in KNOWN.items()}


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


def test_without_diffusers_it_says_what_to_install(tmp_path):
    unet = {"_class_name": "UNet2DConditionModel", "sample_size": 64}
    path = written(tmp_path / "p", text_encoder=("transformers", "CLIPTextModel", CLIP),
                   unet=("diffusers", "UNet2DConditionModel", unet))  # fmt: skip
    for reference, said in ((path, "unet of p need diffusers"), (path / "unet", "is a diffusers model")):
        done = python("-m", "inspector", "memory", reference, extras=False)
        assert done.returncode == 2
        assert said in done.stderr
        assert "pip install 'llm-inspector[diffusers]'" in done.stderr


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

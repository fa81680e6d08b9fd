"""What the packages kept beside the environment make and say, in one process that can import them.

``python with_extras.py FOLDER`` asks each package that is there, and leaves in the folder:

- of sentence-transformers: models it saved (``bert``, ``t5``, ``splade``), the names and shapes of their parameters
  beside each (``bert.json``);
- of diffusers: which file it takes of a folder of each kind (``choices.json``);
- a tiny Stable Diffusion pipeline (``sd``), the names and shapes of its parameters (``sd.json``), what we
  read of it (``read.json``), and how many parameters each config in ``published`` has (``sizes.json``).
"""

import contextlib
import importlib.util
import json
import os
import sys
from pathlib import Path

import inspector
from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.cli.main import run
from inspector.precision import SCHEME_NAMES
from inspector.sources.resolve import locate


def shapes(model):
    return {name: list(value.shape) for name, value in model.named_parameters()}


def save_sentence_models(out):
    from sentence_transformers import SentenceTransformer, SparseEncoder
    from sentence_transformers.base.modules.dense import Dense
    from sentence_transformers.base.modules.normalize import Normalize
    from sentence_transformers.base.modules.transformer import Transformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
    from sentence_transformers.sparse_encoder.modules import SpladePooling
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModel, AutoModelForMaskedLM, BertConfig, PreTrainedTokenizerFast, T5Config

    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
    vocabulary = {word: number for number, word in enumerate(special.values())}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk_token"]))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **special)
    bert = BertConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    t5 = T5Config(vocab_size=64, d_model=32, d_ff=64, num_layers=2, num_heads=4, d_kv=8)
    for name, config, task, auto in (
        ("bert", bert, "feature-extraction", AutoModel), ("t5", t5, "feature-extraction", AutoModel),
        ("splade", bert, "fill-mask", AutoModelForMaskedLM),
    ):  # fmt: skip
        base = str(out / f"base-{name}")
        auto.from_config(config).save_pretrained(base)
        tokenizer.save_pretrained(base)
        first = Transformer(base, transformer_task=task)
        if name == "splade":
            model = SparseEncoder(modules=[first, SpladePooling()])
        else:
            behind = [Dense(32, 16), Dense(16, 8, bias=False, use_residual=True), LayerNorm(8), Normalize()]
            model = SentenceTransformer(modules=[first, Pooling(32), *behind])
        model.save(str(out / name))
        model = type(model)(str(out / name))
        (out / f"{name}.json").write_text(json.dumps(shapes(model)))


def save_pipeline(out):
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPTextConfig, CLIPTextModel

    unet = UNet2DConditionModel(
        block_out_channels=(32, 64), layers_per_block=2, sample_size=32, cross_attention_dim=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=[32, 64], latent_channels=4,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip
    small = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2}
    vision = {**small, "image_size": 32, "patch_size": 8}
    checker = StableDiffusionSafetyChecker(CLIPConfig(text_config=small, vision_config=vision, projection_dim=16))
    text = CLIPTextModel(CLIPTextConfig(**{**small, "num_hidden_layers": 5}, vocab_size=1000))
    pipe = StableDiffusionPipeline(
        unet=unet, vae=vae, text_encoder=text, scheduler=DDIMScheduler(), tokenizer=None, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.register_modules(safety_checker=checker)
    pipe.save_pretrained(str(out / "sd"))
    parts = {name: getattr(pipe, name) for name in ("unet", "vae", "text_encoder", "safety_checker")}
    named = {f"{part}.{name}": shape for part, model in parts.items() for name, shape in shapes(model).items()}
    (out / "sd.json").write_text(json.dumps(named))


COMMANDS = (
    ["layers"], ["memory"], ["lora"], ["compare"], ["checkpoint"], ["diff", "gpt2"], ["report", "-o", "-"],
    ["chart", "sizes", "-o", "-"], ["measure"], ["fit"], ["simulate", "generate"],
)  # fmt: skip


def read_pipeline(out):
    path = str(out / "sd")
    source = locate(path)
    skeleton, report = source.skeleton, compare_with_skeleton(source.checkpoint, source.skeleton)
    model = inspector.load(path)
    memory = model.memory(scheme="bf16")
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        codes = {command[0]: run([*command, path]) for command in COMMANDS}
    said = {
        "shapes": {tensor.name: tensor.shape for tensor in skeleton.parameters}, "notes": skeleton.notes,
        "groups": {group.name: group.tensor_bytes for group in memory.groups}, "total": memory.tensor_bytes,
        "wrong": [*report.missing, *report.unexpected, *report.misshapen], "codes": codes,
        "schemes": {name: model.memory(scheme=name).tensor_bytes for name in SCHEME_NAMES},
        "lora": {row.target_set: row.modules for row in model.lora(r=8).rows},
        "unet": inspector.load(f"{path}/unet").num_parameters,
    }  # fmt: skip
    (out / "read.json").write_text(json.dumps(said, default=str))
    sizes = {folder.name: inspector.load(str(folder)).num_parameters for folder in (out / "published").iterdir()}
    (out / "sizes.json").write_text(json.dumps(sizes))


FILES = [
    f"diffusion_pytorch_model.{ending}"
    for ending in ("safetensors.index.json", "safetensors", "bin", "bin.index.json", "safetensors.index.fp16.json",
                   "safetensors.fp16.index.json", "fp16.safetensors", "fp16.bin")
]  # fmt: skip


def note_choices(out):
    """The file that diffusers' own ``from_pretrained`` opens of every set of files, with a variant and without."""
    from diffusers import AutoencoderKL
    from diffusers.models import modeling_utils

    class TakenError(Exception):
        pass

    def stop_at(real, name):
        def call(*args, **kwargs):
            real(*args, **kwargs)
            raise TakenError(name(args, kwargs))

        return call

    shards, single = modeling_utils._get_checkpoint_shard_files, modeling_utils._get_model_file
    modeling_utils._get_checkpoint_shard_files = stop_at(shards, lambda args, _: Path(args[1]).name)
    modeling_utils._get_model_file = stop_at(single, lambda _, kwargs: kwargs["weights_name"])
    found, folder = {}, out / "choice"
    folder.mkdir()
    AutoencoderKL().save_config(folder)
    for number in range(1 << len(FILES)):
        names = [name for place, name in enumerate(FILES) if number >> place & 1]
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        for name in names:
            (folder / name).write_text('{"metadata": {}, "weight_map": {}}')
        for variant in ("", "fp16"):
            try:
                AutoencoderKL.from_pretrained(folder, variant=variant or None)
            except TakenError as taken:
                found[f"{variant} {' '.join(names)}"] = str(taken)
            except OSError:
                found[f"{variant} {' '.join(names)}"] = ""
    (out / "choices.json").write_text(json.dumps(found))


def main(out):
    if importlib.util.find_spec("sentence_transformers"):
        save_sentence_models(out)
    if importlib.util.find_spec("diffusers"):
        note_choices(out)
        save_pipeline(out)
        read_pipeline(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

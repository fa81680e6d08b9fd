"""Libraries that tests are held to, kept beside the environment: see ``requirements-extras.lock``."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.warm import warm

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("INSPECTOR_TEST_EXTRAS") or Path(sys.prefix) / "extras")


def have(package):
    """Skips, and says so, where the package is not there."""
    if not (FOLDER / package).is_dir():
        pytest.skip(f"{package} is not in {FOLDER.name}: `make` puts it there, or set INSPECTOR_TEST_EXTRAS")


PUBLISHED = {
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
"""Configs of diffusers' classes, and how many parameters each has."""


def ask(folder):
    """All that tests want of the packages, in one process: see ``with_extras.py``."""
    for cls, (config, _) in PUBLISHED.items():
        (folder / "published" / cls).mkdir(parents=True)
        full = {"_class_name": cls, "_diffusers_version": "0.30.0", **config}
        (folder / "published" / cls / "config.json").write_text(json.dumps(full))
    done = python(Path(__file__).with_name("with_extras.py"), folder)
    assert done.returncode == 0, done.stderr[-2000:]


def python(*args, **environment):
    """A Python process that can import them, forked from one that has imported torch and transformers."""
    path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{FOLDER}"}
    env = {**os.environ, **path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    imports = ("torch", "transformers.modeling_utils")
    return warm(imports, env, "-W", "ignore").run([*map(str, args)], {**env, **environment})

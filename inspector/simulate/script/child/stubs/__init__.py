"""Packages of a machine with a card that are not here: written into the run's folder when the script names them."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.simulate.script.child.world import World

FLASH_ATTN = "2.8.3"
"""The version whose functions are stood in for."""

_TEXT = """from inspector.simulate.script.child.stubs.flash_attn import (
    flash_attn_func, flash_attn_varlen_func, flash_attn_with_kvcache
)
__version__ = "{version}"
"""

_PADDING = "from inspector.simulate.script.child.stubs.flash_attn import index_first_axis, pad_input, unpad_input\n"


def install(world: World, text: str) -> None:
    """What the script's text names."""
    from inspector.simulate.script.child.stubs import triton

    triton.on(world)
    if ("flash_attention_2" in text or "flash_attn" in text) and find_spec("flash_attn") is None:
        _flash_attn(world)


def _flash_attn(world: World) -> None:
    folder = Path(world.job.folder) / "stubs"
    package, about = folder / "flash_attn", folder / f"flash_attn-{FLASH_ATTN}.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    (package / "__init__.py").write_text(_TEXT.format(version=FLASH_ATTN), encoding="utf-8")
    (package / "bert_padding.py").write_text(_PADDING, encoding="utf-8")
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: flash-attn\nVersion: {FLASH_ATTN}\n", encoding="utf-8"
    )
    (about / "top_level.txt").write_text("flash_attn\n", encoding="utf-8")
    (about / "RECORD").write_text("flash_attn/__init__.py,,\n", encoding="utf-8")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    from inspector.simulate.script.child.stubs import flash_attn

    flash_attn.on(world.device)
    world.tracer.notes.append(
        "flash_attention_2 is the kernel that PyTorch carries: the package is not on this machine"
    )

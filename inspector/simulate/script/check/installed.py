"""Packages that a script imports and that are not here."""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.machinery import PathFinder

from inspector.simulate.script.notebook.names import COLAB, KAGGLE

STOOD_IN = frozenset({"triton", "flash_attn"})
"""Answered by a dry run whether they are installed or not."""

HOSTED = frozenset(name.partition(".")[0] for name in (*COLAB, *KAGGLE))
"""Answered in a notebook alone: a script looks whether they are there, to know where it runs."""

_DISTRIBUTIONS = {
    "bs4": "beautifulsoup4", "cv2": "opencv-python", "dotenv": "python-dotenv", "PIL": "pillow",
    "sklearn": "scikit-learn", "skimage": "scikit-image", "yaml": "pyyaml", "open_clip": "open-clip-torch",
}  # fmt: skip
"""What to install for a module of another name."""


@lru_cache(maxsize=256)
def is_here(package: str, *, notebook: bool = False) -> bool:
    """Whether a package of this name can be imported; nothing of it is."""
    if notebook and package in HOSTED:
        return True
    if package in sys.stdlib_module_names or package in sys.builtin_module_names or package in STOOD_IN:
        return True
    return PathFinder.find_spec(package, sys.path) is not None


def distribution(package: str) -> str:
    """What pip calls it."""
    return _DISTRIBUTIONS.get(package, package.replace("_", "-"))

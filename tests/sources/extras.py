"""Libraries that tests are held to, kept beside the environment: see ``requirements-extras.lock``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("INSPECTOR_TEST_EXTRAS") or Path(sys.prefix) / "extras")


def have(package):
    """Skips, and says so, where the package is not there."""
    if not (FOLDER / package).is_dir():
        pytest.skip(f"{package} is not in {FOLDER.name}: `make` puts it there, or set INSPECTOR_TEST_EXTRAS")


def python(*args, extras=True, **environment):
    """A Python process that can import them, or the same one without them."""
    path = {"PYTHONPATH": str(FOLDER)} if extras else {}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, args)],
        capture_output=True, text=True, check=False,
        env={**os.environ, **path, **environment, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip

"""`make test-oldest`: the oldest version of every library that pyproject.toml allows, as pins for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def pins() -> list[str]:
    """``name==floor`` for every dependency. Raises ValueError for one without a floor."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = []
    for line in project["dependencies"]:
        match = re.match(r"([A-Za-z0-9_.-]+)[^;]*?>=\s*([0-9.]+)", line)
        if match is None:
            raise ValueError(f"pyproject.toml has no floor for {line}")
        found.append(f"{match[1]}=={match[2]}")
    return found


if __name__ == "__main__":
    print(" ".join(pins()))

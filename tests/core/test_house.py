"""The house keeps its order: one idea a file, none so long that it holds two, none so short that it holds none."""

from __future__ import annotations

from pathlib import Path

import inspector

PACKAGE = Path(inspector.__path__[0])
DOORS = {"__init__.py", "__main__.py"}
LONGEST, SHORTEST = 300, 10


def test_no_file_is_too_long_or_too_short():
    lines = {path.relative_to(PACKAGE): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert lines
    assert {str(path): count for path, count in lines.items() if count > LONGEST} == {}
    assert {str(path): n for path, n in lines.items() if n < SHORTEST and path.name not in DOORS} == {}

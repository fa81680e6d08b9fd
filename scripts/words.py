"""``inspector/data/words.txt``: the words of English that the documentation of Python's own library uses most."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections import Counter
from pathlib import Path

OUT = Path(__file__).parents[1] / "inspector" / "data" / "words.txt"
LEAST = 3
"""A word that comes more rarely is a name or a slip."""


def words() -> list[str]:
    """Words of two letters and more, the most common first."""
    counts: Counter[str] = Counter()
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if {"site-packages", "test", "idlelib", "lib2to3"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)]
        if path.name == "topics.py":
            texts += [str(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        for text in texts:
            # A word stands between blanks or before punctuation: the rest are names of the code.
            counts.update(word.lower() for word in re.findall(r"(?<![^\s(])[A-Za-z]?[a-z]+(?=[\s,.;:!?)]|$)", text))
    return [word for word, number in counts.most_common() if number >= LEAST and len(word) > 1]


if __name__ == "__main__":
    found = words()
    OUT.write_text("\n".join(found) + "\n", encoding="utf-8")
    print(len(found), "words", OUT.stat().st_size, "bytes")

"""Where a number or an order is chosen, a comment says why."""

import ast
import io
import tokenize
from pathlib import Path

import inspector

PACKAGE = Path(inspector.__path__[0])
FEWEST = 3
"""Comments on a hundred lines of code; docstrings are neither, also where they stand under a constant."""

FOR_TOOLS = ("noqa", "type: ignore", "fmt:")


def counted(text):
    """Comments that are for people, and lines of code, of a module."""
    tree = ast.parse(text)
    strings = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    comments, code = 0, set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments += not any(word in token.string for word in FOR_TOOLS) or " -- " in token.string
        elif token.string.strip() and token.start[0] not in strings:
            code.update(range(token.start[0], token.end[0] + 1))
    return comments, len(code)


def test_there_are_whys_where_something_is_chosen():
    found = [counted(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")]
    comments, lines = map(sum, zip(*found, strict=True))
    assert 100 * comments / lines >= FEWEST, f"{comments} comments on {lines} lines"

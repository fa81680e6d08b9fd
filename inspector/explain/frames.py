"""The frames of a traceback, in every way people paste one: Python's own, rich's boxes, a notebook's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_FRAMES = 200
"""Innermost frames that are kept: deep models have about a hundred."""

_PYTHON = re.compile(r'^\s*File "([^"\n]{1,400})", line (\d{1,9})(?:, in ([^\n]{1,200}))?')
_RICH = re.compile(r"^\s*[│|]\s*(\S[^\n]{0,300}?):(\d{1,9}) in (\S{1,120})")
_NOTEBOOK = re.compile(r"^\s*File (\S[^\n]{0,300}?):(\d{1,9}),? in ([\w.<>]{1,120})")
_CELL = re.compile(r"^\s*(Cell In\s?\[?\d*\]?|<ipython-input[^>\n]{0,80}>)(?:, line (\d{1,9})| in ([\w.<>]{1,80}))")
_OLD_NOTEBOOK = re.compile(r"^\s*(/\S{1,300}\.py) in ([\w.<>]{1,80})\(")
_ARROW = re.compile(r"^\s*(?:[│|]\s*)?(?:❱|>|-{1,8}>)\s*(\d{1,9})[\s│|]*(.*)")
_BEGINNING = re.compile(r"Traceback \(most recent call last\)")
_PACKAGE = re.compile(r"(?:site|dist)-packages[\\/]+([A-Za-z0-9_]+)")
_CHECKOUT = re.compile(
    r"[\\/](transformers|trl|peft|accelerate|deepspeed|vllm|bitsandbytes|unsloth|unsloth_zoo|axolotl|llamafactory|torch|"
    r"flash_attn|xformers|fairscale|lightning|torchtune|swift|openrlhf|verl)[\\/]+(?:[\w.-]+[\\/]+)*[\w-]+\.py$"
)
_STANDARD = re.compile(r"[\\/]lib[\\/]python\d\.\d+[\\/]|^<frozen|[\\/]Lib[\\/](?!site-packages)")
_LAUNCHED = re.compile(r"(?:^|[\\/])bin[\\/][\w.-]+$|__main__\.py$")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: where it is, and its line of code. ``library`` is empty where it is the user's own."""

    path: str
    line: int
    function: str
    code: str
    library: str

    @property
    def place(self) -> str:
        """``train.py:12 in main``; the folder is left out, as it is nobody's business but the user's."""
        name = re.split(r"[\\/]", self.path)[-1]
        return f"{name}:{self.line}" + (f" in {self.function}" if self.function else "")


def read_frames(lines: Sequence[str]) -> tuple[Frame, ...]:
    """The frames of the last traceback of these lines, outermost first; the lines end above the error's own."""
    begins = max((at for at, line in enumerate(lines) if _BEGINNING.search(line)), default=-1)
    # A traceback that was cut has no first line: what is there is taken for the end of it.
    lines = lines[begins + 1 :]
    frames: list[Frame] = []
    for at, line in enumerate(lines):
        found = _frame(line)
        if found:
            path, number, function = found
            frames.append(Frame(path, number, function, "", _library(path)))
        elif frames and not frames[-1].code and (code := _code(line, frames[-1], lines[at - 1])):
            last = frames[-1]
            frames[-1] = Frame(last.path, code[0] or last.line, last.function, code[1], last.library)
    return tuple(frames[-MOST_FRAMES:])


def _frame(line: str) -> tuple[str, int, str] | None:
    for pattern in (_PYTHON, _RICH, _NOTEBOOK):
        if match := pattern.match(line):
            return match[1], int(match[2]), (match[3] or "").strip().split("(")[0]
    if match := _CELL.match(line):
        return match[1], int(match[2] or 0), match[3] or ""
    if match := _OLD_NOTEBOOK.match(line):
        return match[1], 0, match[2]
    return None


def _code(line: str, frame: Frame, before: str) -> tuple[int, str] | None:
    if match := _ARROW.match(line):
        return int(match[1]), match[2].strip(" │|\t")[:300]
    # In Python's own form the code is the line below; in the others it stands behind an arrow.
    if _PYTHON.match(before) and line.strip() and not line.lstrip().startswith(("^", "~")):
        return frame.line, line.strip()[:300]
    return None


def _library(path: str) -> str:
    if match := _PACKAGE.search(path):
        return match[1]
    if _STANDARD.search(path):
        return "python"
    if match := _CHECKOUT.search(path):
        return match[1]
    return "python" if _LAUNCHED.search(path) else ""


def own_frame(frames: Sequence[Frame]) -> Frame | None:
    """The innermost frame of the user's own code."""
    return next((frame for frame in reversed(frames) if not frame.library), None)


def library_frame(frames: Sequence[Frame]) -> Frame | None:
    """The innermost frame of a library, below the user's."""
    last = frames[-1] if frames else None
    return last if last is not None and last.library else None

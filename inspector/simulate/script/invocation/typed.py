"""From the words of a command line to what is run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.errors import InspectorError, closest
from inspector.files import exists
from inspector.simulate.script.invocation.accelerate import accelerate_launch
from inspector.simulate.script.invocation.commands import console_script
from inspector.simulate.script.invocation.torchrun import deepspeed, torchrun
from inspector.simulate.script.invocation.value import Invocation, module_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ASSIGNED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PYTHON = re.compile(r"python(?:3(?:\.\d+)?)?(?:\.exe)?$")
_BEFORE = {"env": (), "nohup": (), "time": (), "exec": (), "uv": ("run",), "poetry": ("run",), "pipenv": ("run",)}
"""Words that people write before a command and that change nothing of what it needs."""


def parse_invocation(words: Sequence[str], *, module: bool = False) -> Invocation:
    """What a command line runs.

    Args:
        words: all that stands after our own options: ``train.py --lr 1e-4``, ``accelerate launch train.py``,
            ``A=1 python -m package``, ``trl sft --config x.yaml``. With ``module``: a module's name and its arguments.
        module: as ``-m`` before them.

    Raises InspectorError when nothing is found under a name, or it needs what a dry run has not.
    """
    if not words:
        raise InspectorError("no script is named", hint="inspector run train.py --its --options")
    if module:
        return _module(words[0], words[1:])
    count = next((at for at, word in enumerate(words) if not _ASSIGNED.match(word)), len(words))
    if assigned := words[:count]:
        if count == len(words):
            raise InspectorError(f"no command stands after {assigned[-1]}")
        variables = tuple((name, value) for name, _, value in (word.partition("=") for word in assigned))
        inner = parse_invocation(words[count:])
        # A launcher sets its own after the shell has set these.
        return replace(inner, environment=(*variables, *inner.environment), notes=(*_cards(variables), *inner.notes))
    return _command(words[0], words[1:])


def _command(first: str, rest: Sequence[str]) -> Invocation:
    """One word and what follows it: a file that is there before a command of that name."""
    if _is_script(first):
        return _file(first, rest)
    name = Path(first).name
    after = _BEFORE.get(name)
    if after is not None and tuple(rest[: len(after)]) == after and len(rest) > len(after):
        return parse_invocation(rest[len(after) :])
    if _PYTHON.match(name):
        return _python(rest)
    if name == "deepspeed":
        return deepspeed(rest, _launched)
    if name == "accelerate-launch" or (name == "accelerate" and rest[:1] == ["launch"]):
        return accelerate_launch(rest if name == "accelerate-launch" else rest[1:], _launched)
    if name == "torchrun":
        return torchrun(rest, _launched)
    if (found := console_script(name, rest, parse_invocation)) is not None:
        return found
    raise _nothing(first)


def _is_script(word: str) -> bool:
    path = Path(word)
    return path.suffix.lower() in {".py", ".pyw", ".ipynb", ".sh", ".bash"} or (exists(path) and path.is_dir())


def _file(typed: str, rest: Sequence[str]) -> Invocation:
    path = Path(typed)
    if path.suffix in {".sh", ".bash"}:
        raise InspectorError(
            f"{typed} is a script of the shell", hint="write the command in it: inspector run -- python train.py ..."
        )
    if exists(path) and path.is_dir():
        if not (path / "__main__.py").is_file():
            raise InspectorError(f"{typed} is a folder without a __main__.py", hint="name the script in it")
        return Invocation("file", str(path / "__main__.py"), tuple(rest), name=typed)
    if not exists(path):
        raise _nothing(typed)
    return Invocation("notebook" if path.suffix.lower() == ".ipynb" else "file", typed, tuple(rest), name=typed)


def _module(dotted: str, rest: Sequence[str]) -> Invocation:
    """As ``python -m``; launchers are modules too."""
    launchers: dict[str, Callable[[Sequence[str]], Invocation]] = {
        "accelerate.commands.launch": lambda words: accelerate_launch(words, _launched),
        "torch.distributed.run": lambda words: torchrun(words, _launched),
        "torch.distributed.launch": lambda words: torchrun(words, _launched, "torch.distributed.launch"),
        "deepspeed": lambda words: deepspeed(words, _launched),
        "deepspeed.launcher.runner": lambda words: deepspeed(words, _launched),
    }
    if dotted in launchers:
        return launchers[dotted](rest)
    if not all(part.isidentifier() for part in dotted.split(".")):
        raise InspectorError(f"{dotted!r} is no module's name", hint="a file is run without -m")
    if module_file(dotted, main=True) is None:
        top = dotted.partition(".")[0]
        if module_file(top) is None:
            raise InspectorError(f"no module named {top!r} is installed here", hint=f"pip install {top}")
        raise InspectorError(f"{top} has no module {dotted!r} that can be run")
    return Invocation("module", dotted, tuple(rest), name=f"-m {dotted}")


# Source: `python --help`; these take a value, which may stand in the same word.
_WITH_VALUE = ("-X", "-W", "--check-hash-based-pycs")


def _python(words: Sequence[str]) -> Invocation:
    """The words after ``python``: its own options change no memory of a card, so they are passed over."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        # Short options of one letter may be joined: `-um module`, and what follows the m is the module.
        joined = re.fullmatch(r"-([bBdEhiIOPqsSuvVx]*)([mc])(.*)", word)
        if joined and joined[2] == "m":
            following = [joined[3], *words[at + 1 :]] if joined[3] else list(words[at + 1 :])
            return parse_invocation(following, module=True)
        if joined or word == "-":
            raise InspectorError("code without a file cannot be run", hint="write it into a file: inspector run FILE")
        at += 2 if word in _WITH_VALUE else 1
    if at >= len(words):
        raise InspectorError("python is given no script", hint="inspector run -- python train.py ...")
    # A name without an ending is a file here, as it is for python.
    if not _is_script(words[at]) and Path(words[at]).is_file():
        return Invocation("file", words[at], tuple(words[at + 1 :]), name=words[at])
    return _file(words[at], words[at + 1 :])


def _launched(words: Sequence[str], *, module: bool) -> Invocation:
    """What a launcher starts: a file of Python by any name, or a module."""
    return parse_invocation(words, module=True) if module else _python(words)


def _cards(variables: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """One card is shown, whatever the shell would have let a script see."""
    seen = dict(variables).get("CUDA_VISIBLE_DEVICES", "")
    return (f"CUDA_VISIBLE_DEVICES={seen}: one card is shown",) if "," in seen else ()


_WANTED = "name a script, `-m module`, or a command after --"


_MOST_NAMED = 5


def _near(typed: Path, there: Sequence[str]) -> list[str]:
    """The one that is meant perhaps: by what stands before the ending, which most names there share."""
    stems = {Path(each).stem: each for each in there}
    return [stems[each] for each in closest(typed.stem if typed.suffix else typed.name, stems, most=1)]


def _nothing(typed: str) -> InspectorError:
    """The error for a word that is neither a file nor a command."""
    folder = Path(typed).parent
    near: list[str] = []
    there: list[str] = []
    if exists(folder) and folder.is_dir():
        there = sorted(each.name for each in folder.iterdir() if each.suffix in {".py", ".ipynb"})
        near = _near(Path(typed), there)
    if near:
        return InspectorError(f"no such file: {typed}", hint=f"did you mean {folder / near[0]}?")
    if exists(Path(typed)):
        return InspectorError(f"{typed} is neither a script of Python nor a notebook", hint=_WANTED)
    if _is_script(typed) or "/" in typed:
        more = " and more" * (len(there) > _MOST_NAMED)
        return InspectorError(
            f"no such file: {typed}", hint=f"here is {', '.join(there[:_MOST_NAMED])}{more}" if there else ""
        )
    return InspectorError(
        f"{typed} is neither a file nor the command of a package that is installed here",
        hint=_WANTED,
    )

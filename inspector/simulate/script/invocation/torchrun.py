"""`torchrun` and `deepspeed`: which of their words are their own, and which script they start."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.script.invocation.value import Invocation

# Of ``torch.distributed.run.get_args_parser``, torch 2.13, and of ``deepspeed/launcher/runner.py``, 0.18; tests hold
# them equal to those. All others take one value.
FLAGS = frozenset({
    "--standalone", "-m", "--module", "--no-python", "--no_python", "--run-path", "--run_path",
    "--virtual-local-rank", "--virtual_local_rank",
})  # fmt: skip
OLDER_FLAGS = FLAGS | {"--use-env", "--use_env"}
"""Of ``torch.distributed.launch``."""
DEEPSPEED_FLAGS = frozenset({
    "-h", "--help", "--module", "--no_python", "--no_local_rank", "--no_ssh", "--no_ssh_check", "--force_multi",
    "--save_pid", "--elastic_training", "--bind_cores_to_rank", "-q", "--quiet",
})  # fmt: skip


class Start(Protocol):
    """What runs a launcher's program."""

    def __call__(self, words: Sequence[str], *, module: bool) -> Invocation:
        """The program of the words that are left."""


def torchrun(words: Sequence[str], start: Start, name: str = "torchrun") -> Invocation:
    """What ``torchrun [options] train.py args`` runs, as one rank and another.

    ``name`` is ``torch.distributed.launch`` for the older one. Raises InspectorError when it names no script.
    """
    return _launched(name, words, start, OLDER_FLAGS if name != "torchrun" else FLAGS, module=("-m", "--module"))


def deepspeed(words: Sequence[str], start: Start) -> Invocation:
    """What ``deepspeed [options] train.py args`` runs. Raises InspectorError when it names no script."""
    return _launched("deepspeed", words, start, DEEPSPEED_FLAGS, module=("--module",))


def several(found: Invocation, nproc: int, nodes: int) -> Invocation:
    """A program as so many ranks on each of so many machines, as ``torchrun`` would start it.

    Raises InspectorError for what starts processes itself, or is none of Python's own.
    """
    if found.launch:
        raise InspectorError(
            "--nproc and --nodes take the place of a launcher, and the command has one", hint="leave either out"
        )
    if found.kind not in {"file", "module"}:
        raise InspectorError(f"{found.name} is no script that is started several times", hint="a file or -m module")
    machines = ("--nnodes", str(nodes), "--node-rank", "0") if nodes > 1 else ()
    program = ("-m", found.target) if found.kind == "module" else (found.target,)
    return replace(found, launch=("torchrun", "--nproc-per-node", str(nproc), *machines, *program, *found.argv))


def _launched(
    name: str, words: Sequence[str], start: Start, flags: frozenset[str], *, module: tuple[str, ...]
) -> Invocation:
    options: set[str] = set()
    at = 0
    while at < len(words) and words[at].startswith("-"):
        option, equals, _ = words[at].partition("=")
        options.add(option)
        at += 1 if equals or option in flags else 2
    if at >= len(words):
        raise InspectorError(f"{name} is given no script")
    if options & {"--no-python", "--no_python"}:
        raise InspectorError(f"what {name} starts with --no-python is no script of Python")
    found = start(words[at:], module=bool(options & set(module)))
    if found.launch:
        raise InspectorError(f"{name} starts another launcher", hint="name one of them")
    return replace(found, launch=(name, *words))

"""`torchrun`: its own options, and what it tells the one process it starts."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.script.invocation.value import Invocation

# Of ``torch.distributed.run.get_args_parser``, torch 2.13; a test holds them equal to it. All others take one value.
FLAGS = frozenset({
    "--standalone", "-m", "--module", "--no-python", "--no_python", "--run-path", "--run_path",
    "--virtual-local-rank", "--virtual_local_rank",
})  # fmt: skip
RANK = (("LOCAL_RANK", "0"), ("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_WORLD_SIZE", "1"),
        ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29500"))  # fmt: skip
"""What the first of one process is told. Source: ``worker_env`` in torch's ``local_elastic_agent.py``."""

_ASKS = re.compile(r"\b(?:LOCAL_RANK|WORLD_SIZE|RANK|init_process_group)\b")


class Start(Protocol):
    """What runs a launcher's program."""

    def __call__(self, words: Sequence[str], *, module: bool) -> Invocation:
        """The program of the words that are left."""


def torchrun(words: Sequence[str], start: Start) -> Invocation:
    """What ``torchrun [options] train.py args`` runs, in one process.

    Raises InspectorError when it starts several, or names no script.
    """
    options: dict[str, str] = {}
    at = 0
    while at < len(words) and words[at].startswith("-"):
        name, equals, value = words[at].partition("=")
        at += 1
        if name in FLAGS:
            value = "yes"
        elif not equals:
            value = words[at] if at < len(words) else ""
            at += 1
        options[name.lstrip("-").replace("-", "_")] = value
    if at >= len(words):
        raise InspectorError("torchrun is given no script")
    # `--nnodes` may be a range, whose first number is what it waits for.
    for option, what in (("nproc_per_node", "processes"), ("nnodes", "machines")):
        count = options.get(option, "1").partition(":")[0]
        if count != "1":
            raise InspectorError(f"torchrun starts {count} {what}, and one card is simulated", hint=ONE.format(option))
    if "no_python" in options:
        raise InspectorError("what torchrun starts with --no-python is no script of Python")
    found = start(words[at:], module=bool({"m", "module"} & set(options)))
    # Who is told of ranks makes a process group, and the libraries do too; alone, a script needs none but its own.
    text = found.source.read_text(encoding="utf-8", errors="replace") if found.source and found.source.is_file() else ""
    asked = RANK if _ASKS.search(text) else ()
    note = "torchrun: one process; what DistributedDataParallel would hold beside it is not counted"
    return replace(found, environment=(*asked, *found.environment), notes=(note, *found.notes))


ONE = "--{}=1 shows what one card takes by itself"
"""What to do about several."""

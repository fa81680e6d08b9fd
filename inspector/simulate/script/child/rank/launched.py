"""What a launcher tells each process that it starts: asked of the launcher's own code, in a fork that ends with it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.script.child.cuda_objects import Properties
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspector.gpus import Gpu

NODES_ASKED = ("first", "last")


@dataclass(frozen=True, slots=True)
class Started:
    """One process that a launcher would start: its whole environment, and the words behind ``python -u``."""

    environment: Mapping[str, str]
    argv: tuple[str, ...]

    @property
    def rank(self) -> int:
        """Its number among all."""
        return int(self.environment.get("RANK", "0"))

    @property
    def world_size(self) -> int:
        """How many there are."""
        return int(self.environment.get("WORLD_SIZE", "1"))

    @property
    def local_rank(self) -> int:
        """Its number on its machine."""
        return int(self.environment.get("LOCAL_RANK", "0"))

    @property
    def on_a_machine(self) -> int:
        """How many there are on one machine."""
        said = self.environment.get("LOCAL_WORLD_SIZE") or self.environment.get("LOCAL_SIZE")
        return int(said or "1")


class _Captured(BaseException):
    """All that was asked for is known: nothing is started."""


def started_by(launch: Sequence[str], card: Gpu, cards: int) -> list[Started]:
    """What the processes on the first and the last machine are told.

    Args:
        launch: the launcher's command, from its name on.
        card: what it finds on its machine.
        cards: how many.

    Raises InspectorError with the launcher's own words where it refuses.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _ask(launch, card, cards, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    answer: dict[str, Any] = json.loads(said or "{}")
    if "started" not in answer:
        words = answer.get("error") or "it ended without a word"
        raise InspectorError(f"{_named(launch)} refuses: {words}")
    return [Started(environment, tuple(argv)) for environment, argv in answer["started"]]


def _named(launch: Sequence[str]) -> str:
    return "accelerate launch" if launch[0] == "accelerate" else launch[0]


def _ask(launch: Sequence[str], card: Gpu, cards: int, pipe: int) -> None:
    """In the fork: let the launcher come as far as its processes, tell of them, and end."""
    found: list[tuple[dict[str, str], list[str]]] = []
    answer: dict[str, Any]
    said = ""
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            read, write = os.pipe()
            os.set_inheritable(write, False)
            os.dup2(nowhere.fileno(), 1)
            os.dup2(write, 2)
            os.close(write)
            try:
                _cards(card, cards)
                _LAUNCHERS[launch[0]](launch[1:], cards, found)
            finally:
                os.dup2(nowhere.fileno(), 2)
                os.set_blocking(read, False)
                with contextlib.suppress(OSError):
                    said = os.read(read, 1 << 16).decode(errors="replace")
        answer = {"error": "nothing was started"}
    except _Captured:
        answer = {"started": found}
    except SystemExit:
        # argparse says on standard error what it does not understand.
        lines = [line for line in said.splitlines() if line.strip()]
        answer = {"error": lines[-1].rpartition("error: ")[2] if lines else ""}
    except BaseException as error:  # noqa: BLE001 -- the launcher's own refusal, whatever it is
        answer = {"error": " ".join(str(error).split()) or type(error).__name__}
    with os.fdopen(pipe, "w", encoding="utf-8") as out:
        json.dump(answer, out)
    os._exit(0)


def _cards(card: Gpu, cards: int) -> None:
    for name, ours in {
        "is_available": lambda: True,
        "device_count": lambda: cards,
        "get_device_name": lambda *_: card.device_name,
        "get_device_properties": lambda *_: Properties(card),
        "get_device_capability": lambda *_: card.capability,
        "is_bf16_supported": lambda *_, **__: True,
    }.items():
        replace(f"torch.cuda.{name}", ours)
    replace("torch.version.cuda", "12.8")


def _torchrun(words: Sequence[str], _cards: int, found: list[Any]) -> None:
    from torch.distributed import run

    _capture_agents(found)
    run.run(run.parse_args(list(words)))


def _accelerate(words: Sequence[str], cards: int, found: list[Any]) -> None:
    from accelerate.commands.launch import launch_command, launch_command_parser

    _capture_agents(found)
    _capture_processes(found)
    said = launch_command_parser().parse_args(list(words))
    # It starts several processes only where it sees several cards: a machine has one for each that is asked of it.
    processes = (said.num_processes or 1) // max(said.num_machines or 1, 1)
    replace("torch.cuda.device_count", lambda: max(cards, processes))
    launch_command(said)


def _deepspeed(words: Sequence[str], _cards: int, found: list[Any]) -> None:
    from inspector.simulate.script.child.imports import OnImport
    from inspector.simulate.script.child.rank import zero

    imports = OnImport()
    sys.meta_path.insert(0, imports)
    zero.install(imports)
    from deepspeed.launcher import launch, runner

    first: list[Any] = []
    _capture_processes(first)
    with contextlib.suppress(_Captured):
        runner.main(list(words))
    if not first:
        raise InspectorError("nothing was started")
    environment, command = first[0]
    name = "deepspeed.launcher.launch"
    if name not in command:
        raise InspectorError("it goes to other machines, which are not simulated: --num_nodes 1")
    os.environ.update(environment)
    sys.argv = [name, *command[command.index(name) + 1 :]]
    _capture_processes(found)
    launch.main()


def _torch_launch(words: Sequence[str], _cards: int, found: list[Any]) -> None:
    from torch.distributed import launch

    _capture_agents(found)
    launch.main(list(words))


_LAUNCHERS = {
    "torchrun": _torchrun, "accelerate": _accelerate, "deepspeed": _deepspeed,
    "torch.distributed.launch": _torch_launch,
}  # fmt: skip


def _capture_agents(found: list[Any]) -> None:
    """PyTorch's agent goes as far as its workers; where machines meet, these are the first and the last."""
    from torch._C._distributed_c10d import HashStore
    from torch.distributed.elastic.agent.server import local_elastic_agent
    from torch.distributed.elastic.rendezvous import (
        RendezvousHandler,
        RendezvousInfo,
        RendezvousParameters,
        RendezvousStoreInfo,
    )

    # All machines are alike, and none of the others is there to tell its size.
    os.environ["TORCH_ELASTIC_WORKER_IDENTICAL"] = "1"

    class Meeting(RendezvousHandler):
        """Where all machines are there already."""

        def __init__(self, asked: RendezvousParameters) -> None:
            self._asked, self._node = asked, 0

        @property
        def use_agent_store(self) -> bool:
            return bool(self._asked.backend == "c10d")

        def get_backend(self) -> str:
            return str(self._asked.backend)

        def next_rendezvous(self) -> Any:
            nodes = self._asked.min_nodes
            node, self._node = self._node, nodes - 1
            host, _, port = str(self._asked.endpoint).rpartition(":")
            store = RendezvousStoreInfo(host or "localhost", int(port) if port.isdecimal() and int(port) else 29500)
            return RendezvousInfo(HashStore(), node, nodes, store)

        def is_closed(self) -> bool:
            return False

        def set_closed(self) -> None: ...

        def num_nodes_waiting(self) -> int:
            return 0

        def get_run_id(self) -> str:
            return str(self._asked.run_id)

        def shutdown(self) -> bool:
            return True

    agent = local_elastic_agent.LocalElasticAgent
    initialize = agent._initialize_workers

    def started(
        *, entrypoint: Any, args: dict[int, tuple[str, ...]], envs: dict[int, dict[str, str]], **_: Any
    ) -> None:
        del entrypoint
        mine = {name: value for name, value in os.environ.items() if name != "TORCH_ELASTIC_WORKER_IDENTICAL"}
        for number, environment in envs.items():
            words = list(args[number])
            found.append(({**mine, **environment}, words[words[:1] == ["-u"] :]))
        raise _Captured

    def every_machine(self: object, group: Any) -> None:
        for _ in NODES_ASKED:
            try:
                initialize(self, group)
            except _Captured:
                if group.group_world_size == 1:
                    raise
        raise _Captured

    replace("torch.distributed.elastic.rendezvous.registry.get_rendezvous_handler", Meeting)
    replace("torch.distributed.elastic.agent.server.local_elastic_agent.start_processes", started)
    replace("torch.distributed.elastic.agent.server.local_elastic_agent.LocalElasticAgent._initialize_workers",
            every_machine)  # fmt: skip


def _capture_processes(found: list[Any]) -> None:
    def begun(
        self: Any, command: str | Sequence[str], *_: object, env: Mapping[str, str] | None = None, **__: object
    ) -> None:
        self.pid = 0
        environment = dict(os.environ if env is None else env)
        words = [str(word) for word in ([command] if isinstance(command, (str, os.PathLike)) else command)]
        if Path(words[0]).name.partition(".")[0].rstrip("0123456789") != "python":
            raise FileNotFoundError(words[0])  # what asks the driver, or another program
        found.append((environment, words[1 + (words[1:2] == ["-u"]) :]))
        if len(found) >= int(environment.get("LOCAL_SIZE", "1")):
            raise _Captured

    replace("subprocess.Popen.__init__", begun)


def one_of(every: Sequence[Started], rank: int) -> Started:
    """The process of a rank; below zero from the end."""
    world = every[0].world_size
    wanted = rank if rank >= 0 else world + rank
    found = next((each for each in every if each.rank == wanted), None)
    if found is None:
        there = ", ".join(str(each.rank) for each in every)
        raise InspectorError(f"rank {wanted} is not among those of the first and the last machine", hint=there)
    return found

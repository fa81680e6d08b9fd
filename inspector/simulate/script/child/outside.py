"""What a script does beyond itself: the network is refused, commands of its own are not run, forks have no card."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from torch.utils._python_dispatch import _pop_mode, _push_mode

from inspector.errors import InspectorError
from inspector.simulate.script.child.errors import emulated, handed_on
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from types import ModuleType

    from inspector.simulate.script.child.lines import Lines
    from inspector.simulate.script.child.world import World

_HERE = frozenset({"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", ""})  # noqa: S104 -- nothing is bound


Address = tuple[str | None, int] | str | bytes
"""Host and port, or a socket's name."""


def install(world: World, lines: Lines) -> None:
    """Put all of it in its place."""
    if not world.job.network:
        _no_network(world)
    _no_commands(world, lines)
    _forks(world)
    _threads(world)


def _no_network(world: World) -> None:
    import socket

    def refuse(host: object) -> OSError:
        world.skip(f"a connection to {host} was refused (--network lets it through)")
        return emulated(OSError(errno.ENETUNREACH, "the network is refused in a dry run (inspector run --network)"))

    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    getaddrinfo: Any = socket.getaddrinfo

    def is_outside(address: Address) -> bool:
        return isinstance(address, tuple) and str(address[0]) not in _HERE

    def connected(self: socket.socket, address: Address) -> None:
        if is_outside(address):
            raise refuse(address[0])
        handed_on(connect, self, address)

    def connected_ex(self: socket.socket, address: Address) -> int:
        if is_outside(address):
            refuse(address[0])
            return errno.ENETUNREACH
        return int(handed_on(connect_ex, self, address))

    def looked_up(host: Any = None, *args: object, **kwargs: object) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name not in _HERE:
            refuse(name)
            said = "the network is refused in a dry run (inspector run --network)"
            raise emulated(socket.gaierror(socket.EAI_AGAIN, said))
        return handed_on(getaddrinfo, host, *args, **kwargs)

    def sending(send: Any) -> Any:
        def sent(self: socket.socket, *args: Any) -> Any:
            if args and is_outside(args[-1]):
                raise refuse(args[-1][0])
            return handed_on(send, self, *args)

        return sent

    def named(name: str) -> str:
        looked_up(name)
        return str(handed_on(by_name, name))

    by_name, send_to, send_message = socket.gethostbyname, socket.socket.sendto, socket.socket.sendmsg
    replace("socket.gethostbyname", named)
    replace("socket.socket.sendto", sending(send_to))
    replace("socket.socket.sendmsg", sending(send_message))
    replace("socket.socket.connect", connected)
    replace("socket.socket.connect_ex", connected_ex)
    replace("socket.getaddrinfo", looked_up)


def _no_commands(world: World, lines: Lines) -> None:
    """Commands that the script itself starts are not run: they would do for real what is only tried here."""
    start: Any = subprocess.Popen.__init__
    system, main = os.system, os.getpid()
    starting: list[bool] = []

    def dry(command: object) -> bool:
        if starting or not lines.called_by_own():
            return False
        said = command if isinstance(command, (str, bytes)) else " ".join(map(str, handed_on(list, command)))
        world.skip(f"the command {said!s:.100} is not run, and said to have done well ({lines.now()})")
        return True

    def started(self: Any, args: Any, *more: object, **kwargs: object) -> None:
        if not dry(args):
            handed_on(start, self, args, *more, **kwargs)
            return
        starting.append(True)
        try:
            kwargs |= {"shell": False}
            kwargs.pop("executable", None)
            handed_on(start, self, [sys.executable, "-S", "-c", ""], *more, **kwargs)
        finally:
            starting.pop()

    def ran(command: str) -> int:
        return 0 if dry(command) else int(handed_on(system, command))

    def spawning(spawn: Any) -> Any:
        def spawned(path: Any, argv: Any, env: Any, **kwargs: object) -> int:
            if dry(argv):
                return int(handed_on(spawn, sys.executable, [sys.executable, "-S", "-c", ""], env, **kwargs))
            return int(handed_on(spawn, path, argv, env, **kwargs))

        return spawned

    def replacing(execute: Any) -> Any:
        def executed(path: Any, argv: Any, *env: Any) -> Any:
            if not dry(argv):
                return handed_on(execute, path, argv, *env)
            if os.getpid() != main:
                os._exit(0)
            raise InspectorError(
                f"{lines.now()}: the script makes way for another program: {' '.join(map(str, argv)):.60}",
                hint="run that one: inspector run ...",
            )

        return executed

    replace("subprocess.Popen.__init__", started)
    replace("os.system", ran)
    for name in ("posix_spawn", "posix_spawnp"):
        replace(f"os.{name}", spawning(getattr(os, name, None)), optional=True)
    for name in ("execv", "execve"):
        replace(f"os.{name}", replacing(getattr(os, name)))


def _threads(world: World) -> None:
    """A mode is a thread's own: the threads of the script are on the card as well."""
    run = threading.Thread.run

    def on_the_card(self: threading.Thread) -> None:
        _push_mode(world.tracer)
        try:
            handed_on(run, self)
        finally:
            _pop_mode()

    replace("threading.Thread.run", on_the_card)


def _forks(world: World) -> None:
    """A forked process has no card, as CUDA has it; one that is spawned would have none of this world."""

    def no_card() -> None:
        raise emulated(
            RuntimeError(
                "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the "
                "'spawn' start method"
            )
        )

    def forked() -> None:
        world.tracer.forked = no_card

    os.register_at_fork(after_in_child=forked)

    def refused(module: ModuleType) -> None:
        def spawn(*_: object, **__: object) -> None:
            raise InspectorError(
                "the script spawns a process, which would not be simulated",
                hint="one process, one card: leave it out, or let workers fork (the default of DataLoader)",
            )

        replace(f"{module.__name__}.Popen.__init__", spawn)

    for way in ("spawn_posix", "forkserver"):
        world.imports.then(f"multiprocessing.popen_{way}", refused)

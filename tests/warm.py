"""Interpreters for children of tests, forked from a process that has imported torch: each would take seconds to do so.

A fork is what a new interpreter is after those imports: its own session, environment, folder and streams. Where the
environment differs in what an interpreter or torch reads as it starts, one is started anew. Pipes are files.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from importlib import import_module

EARLY = ("PYTHON", "OMP_", "MKL_", "TORCH", "PYTORCH", "LD_", "MALLOC_", "CUDA_")
WARM = {}


def warm(imports, env, *options):
    """A process of this test run that has imported these, and forks; it ends with the run."""
    key = (imports, early(env), options)
    if key not in WARM:
        WARM[key] = Warm(imports, env, options)
    return WARM[key]


def close():
    for each in WARM.values():
        each.close()
    WARM.clear()


def early(environment):
    """What is read before the first line of a program runs."""
    return tuple(sorted((name, value) for name, value in environment.items() if value and name.startswith(EARLY)))


class Warm:
    """A process that forks."""

    def __init__(self, imports, environment, options):
        self.line, its = socket.socketpair()
        with its:
            self.process = subprocess.Popen(
                [sys.executable, *options, __file__, str(its.fileno()), *imports], pass_fds=[its.fileno()],
                env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def run(self, arguments, env):
        """As `subprocess.run` with ``capture_output`` and ``text``."""
        child = Forked(self, arguments, env, [subprocess.PIPE] * 2)
        said = [text.decode() for text in child.communicate()]
        return subprocess.CompletedProcess(arguments, child.returncode, *said)

    def close(self):
        self.line.close()
        self.process.wait()


class Forked:
    """An interpreter with these arguments, and with what is used of `subprocess.Popen`."""

    def __init__(self, warm, arguments, env, streams, passed=()):
        self.args, self.line, self.returncode = arguments, warm.line, None
        both = [tempfile.TemporaryFile() if each == subprocess.PIPE else None for each in streams]  # noqa: SIM115
        self.stdout, self.stderr = both
        files = [*(each.fileno() if each else stream for each, stream in zip(both, streams, strict=True)), *passed]
        said = {"arguments": arguments, "env": dict(env), "cwd": os.getcwd(), "passed": passed}  # noqa: PTH109
        order = json.dumps(said).encode()
        self.line.settimeout(None)
        socket.send_fds(self.line, [len(order).to_bytes(4)], files)
        self.line.sendall(order)
        self.pid = int.from_bytes(exactly(self.line, 4))

    def wait(self, timeout=None):
        if self.returncode is None:
            self.line.settimeout(timeout)
            try:
                self.returncode = int.from_bytes(exactly(self.line, 4), signed=True)
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.args, timeout) from None
        return self.returncode

    def communicate(self, timeout=None):
        self.wait(timeout)
        said = []
        for file in (self.stdout, self.stderr):
            with file:
                file.seek(0)
                said.append(file.read())
        return said

    def send_signal(self, number):
        os.kill(self.pid, number)


def popen(imports):
    """In the place of `subprocess.Popen`."""

    def start(command, *, env, start_new_session, pass_fds, stdout, stderr):
        assert (command[0], start_new_session) == (sys.executable, True)
        if early(env) != early({**os.environ, "PYTHONPATH": env["PYTHONPATH"]}):
            return subprocess.Popen(
                command, env=env, start_new_session=True, pass_fds=pass_fds, stdout=stdout, stderr=stderr
            )
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            files = [nowhere.fileno() if stream == subprocess.DEVNULL else stream for stream in (stdout, stderr)]
            return Forked(warm(imports, env), command[1:], env, files, pass_fds)

    return start


def exactly(line, count):
    """So many bytes. Raises TimeoutError before the first of them, EOFError where there are no more."""
    found = b""
    while len(found) < count:
        part = line.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def serve(line):
    """Fork for each order; say the child's number, and what it ended with."""
    while True:
        size, files, _, _ = socket.recv_fds(line, 4, 3)
        if not size:
            return
        order = json.loads(exactly(line, int.from_bytes(size)))
        child = os.fork()
        if not child:
            become(line, order, files)
        for each in files:
            os.close(each)
        line.sendall(child.to_bytes(4))
        line.sendall(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]).to_bytes(4, signed=True))


def become(line, order, files):
    """Be an interpreter that was started with these arguments; does not return."""
    code = 1
    try:
        os.setsid()
        line.close()
        # What is passed has another number here.
        numbers = {str(old): str(new) for old, new in zip(order["passed"], files[2:], strict=True)}
        order["arguments"] = [numbers.get(each, each) for each in order["arguments"]]
        for number, file in enumerate(files[:2], 1):
            os.dup2(file, number)
            os.close(file)
        os.environ.clear()
        os.environ.update(order["env"])
        os.chdir(order["cwd"])
        run(order["arguments"])
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else bool(error.code)
    except BaseException:  # noqa: BLE001 -- as an interpreter ends
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(arguments):
    """What is behind ``python``: ``-m`` and a module, ``-c`` and a text, or a file."""
    if arguments[0] == "-m":
        sys.path[0] = os.getcwd()  # noqa: PTH109
        sys.argv = arguments[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.path[0] = ""
        sys.argv = ["-c", *arguments[2:]]
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 -- its purpose
    else:
        sys.path[0] = os.path.dirname(arguments[0])  # noqa: PTH120
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in sys.argv[2:]:
        import_module(name)
    serve(socket.socket(fileno=int(sys.argv[1])))

"""The child: started, its output let through, and ended with everything that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.simulate.script.signalled import Signalled

if TYPE_CHECKING:
    from collections.abc import Mapping

GRACE = 20.0
"""Seconds that a script has to end, once Ctrl-C or the end of its time was told it."""

LITTLE = 2.0
"""Seconds that it has where we were told to end ourselves: who sends a signal waits little before killing."""

TELLING = 20.0
"""Seconds that the child has to write what the script did, where that goes on nevertheless."""


def run_child(
    job: Path, environment: Mapping[str, str], *, to_stderr: bool, timeout: float | None, silent: bool = False
) -> int | None:
    """Run a job's child to its end; returns its exit code, None where its time was up.

    The script reads and writes as it would: its standard output is ours, or goes to standard error. Ctrl-C ends the
    child and all that it started, and is raised again here, and so do the signals of `signalled`. A ``silent`` one
    prints nothing.
    """
    # Held open by us alone: however we end, the child reads its end, and ends with its group.
    ours_ends, held = os.pipe()
    command = [sys.executable, "-m", "inspector.simulate.script.child", str(job), str(ours_ends)]
    root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    output, copied = ((subprocess.DEVNULL,) * 2, False) if silent else _output(to_stderr=to_stderr)
    child = subprocess.Popen(
        command,
        env={
            **os.environ,
            **environment,
            "PYTHONPATH": path,
            "PYTHONUNBUFFERED": os.environ.get("PYTHONUNBUFFERED", ""),
        },
        start_new_session=True,
        pass_fds=[ours_ends],
        stdout=output[0],
        stderr=output[1],
    )
    os.close(ours_ends)
    try:
        if copied:
            _copied(child, timeout, to_stderr=to_stderr)
        return child.wait(timeout)
    except subprocess.TimeoutExpired:
        # A script that catches what Ctrl-C raises and goes on hears nothing of the second, which writes and ends.
        _end(child, (signal.SIGINT, GRACE), (signal.SIGTERM, TELLING))
        return None
    except (KeyboardInterrupt, Signalled) as error:
        _end(child, (signal.SIGINT, LITTLE if isinstance(error, Signalled) else GRACE))
        raise
    finally:
        _kill(child)
        os.close(held)


def _descendants(of: int) -> list[int]:
    """The processes below one, as far as the system tells (``/proc``)."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # A name may have spaces and brackets in it; state and parent stand behind it.
            parents[int(path.parent.name)] = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
    found = [of]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def _output(*, to_stderr: bool) -> tuple[tuple[Any, Any], bool]:
    """Where the child writes; where our own streams are no files (in a notebook, a test) it is copied into them."""
    try:
        out, err = sys.stdout.fileno(), sys.stderr.fileno()
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        return (subprocess.PIPE, subprocess.PIPE), True
    return (err if to_stderr else out, err), False


def _copied(child: subprocess.Popen[bytes], timeout: float | None, *, to_stderr: bool) -> None:
    out, err = child.communicate(timeout=timeout)
    (sys.stderr if to_stderr else sys.stdout).write(out.decode(errors="replace"))
    sys.stderr.write(err.decode(errors="replace"))


def _end(child: subprocess.Popen[bytes], *asked: tuple[int, float]) -> None:
    """Ask the child to end by signals, each with the seconds it is given; then end it, and all that it started."""
    # Asked before: those with a session of their own have another parent when it has ended.
    started = _descendants(child.pid)
    for number, seconds in asked:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
        try:
            child.communicate(timeout=seconds) if child.stdout else child.wait(seconds)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            continue
        break
    for each in started:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End whatever of its group is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(Exception):
        child.wait(1)

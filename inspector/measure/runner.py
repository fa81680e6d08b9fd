"""Run a measurement in a child process, so that its memory is really freed and its failure is only a result."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.measure.spec import Order


CHILD = ("-m", "inspector.measure.child")
"""What the interpreter of the measuring process is told to run."""

KILLED = getattr(signal, "SIGKILL", 9)
"""How a system ends a process for want of memory; Windows has no such signal, and no exit code below zero."""


def run_order(order: Order, progress: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """The result of an order, whatever becomes of the child.

    ``status`` is ``measured``, ``out of memory`` (also when the system killed the child for it) or ``failed``, where a
    library, the model's code or the device failed.

    Raises:
        InspectorError: for what the child found wrong with the order.
        RuntimeError: for a mistake of ours in the child, with its traceback as a note. It is no result.
        KeyboardInterrupt: passed on, after the child has been ended.
    """
    # A file and no pipe: nobody reads it while the child works, and a full pipe would stop the child.
    with tempfile.TemporaryFile() as errors:
        child = _start(errors)
        try:
            return _follow(child, order, errors, progress)
        finally:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    pipe.close()


def _start(errors: IO[bytes]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        # A new interpreter and no fork: CUDA does not work in a fork of a process that has used it.
        [sys.executable, *CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C is for us; we end the child
    )


def _follow(
    child: subprocess.Popen[str],
    order: Order,
    errors: IO[bytes],
    progress: Callable[[dict[str, Any]], None] | None,
) -> dict[str, Any]:
    assert child.stdin
    assert child.stdout
    last: dict[str, Any] = {}
    try:
        child.stdin.write(json.dumps(order.to_dict()) + "\n")
        child.stdin.flush()
    except BrokenPipeError:
        pass  # it died at once: told below
    for line in child.stdout:
        message = json.loads(line)
        if "result" in message:
            result: dict[str, Any] = message["result"]
            return result
        if "error" in message:
            raise InspectorError(message["error"]["message"], hint=message["error"]["hint"])
        if "fault" in message:
            raise _fault(message["fault"])
        last = message["progress"]
        if progress:
            progress(last)
    return _died(child.wait(), last, errors)


def _died(code: int, reached: dict[str, Any], errors: IO[bytes]) -> dict[str, Any]:
    """The result of a child that ended without one."""
    if code == -KILLED:
        said = "the system ended the process, most likely because the machine ran out of memory"
        return {"status": "out of memory", "reached": reached, "said": said}
    errors.seek(0)
    text = errors.read().decode(errors="replace")
    # 1 is how Python ends after a traceback. Before the first word the child runs nothing but our own code.
    if code == 1 and not reached:
        raise _fault(text)
    # The last line of a traceback is the error itself.
    lines = [line for line in text.splitlines() if line.strip()]
    said = lines[-1].strip()[:300] if lines else f"exit code {code}"
    return {"status": "failed", "reached": reached, "said": said}


def _fault(text: str) -> RuntimeError:
    """Our own mistake in the child, told with its traceback."""
    error = RuntimeError("the measuring process failed by a fault of Inspector's own")
    error.add_note(text.strip())
    return error

"""A child whose parent was killed ends: nobody would wait for it, and a session of its own hears no hangup."""

from __future__ import annotations

import _thread
import os
import signal


def end_with_parent(pipe: int) -> None:
    """Kill this process's group as soon as the pipe's other end, which the parent alone holds, is closed."""

    def wait() -> None:
        try:
            os.read(pipe, 1)
        except OSError:  # a script that closes every file it finds
            return
        os.killpg(0, signal.SIGKILL)

    # No `threading.Thread`: a script that counts its threads shall not find ours.
    _thread.start_new_thread(wait, ())

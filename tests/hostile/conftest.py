"""Running the command line with no more than the memory and time a hostile file may take."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources.conftest import LLAMA

ADDRESS_SPACE = 6 << 30
"""Virtual bytes: torch maps far more than it uses, so this is a fence against runaway; resident memory is measured."""

RESIDENT = 10**9

# Importing torch and transformers alone takes six of them where two workers share a slow machine; what these tests
# are to find (a search in a search, a loop without an end) takes minutes.
SECONDS = 20

BATCH = """
import json, resource, sys, time
import inspector.cli.main as main
import io, contextlib
answers = []
for args in json.load(sys.stdin):
    print(args, file=sys.__stderr__)  # the last one is named when the limit ends the process
    most = int(time.process_time()) + int(sys.argv[1]) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    out, err, started = io.StringIO(), io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main.run(args)
    answers.append([code, out.getvalue(), err.getvalue(), time.process_time() - started])
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
print(json.dumps([answers, int(peak) * 1024]))
"""


@pytest.fixture(scope="session")
def limited_each():
    """Run Inspector on many inputs in one process: each within `SECONDS` of CPU time, all within 1 GB resident.

    Returns exit code, standard output and standard error of each; refusals are one line and what to do.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("what is resident at the peak is read from Linux's /proc")

    def run(commands):
        text = json.dumps([[str(word) for word in command] for command in commands])
        seconds = SECONDS * len(commands) + 3
        fence = f'ulimit -t {seconds} -v {ADDRESS_SPACE >> 10} -c 0; exec "$@"'
        done = subprocess.run(
            ["sh", "-c", fence, "sh", sys.executable, "-c", BATCH, str(SECONDS)], input=text, capture_output=True,
            text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=20 * seconds, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2000:]}"
        answers, peak = json.loads(done.stdout)
        for command, (code, out, err, seconds) in zip(commands, answers, strict=True):
            assert seconds <= SECONDS, (command, seconds)
            assert code in {0, 1, 2}, (command, err)
            assert code != 2 or (not out and len(err.splitlines()) <= 2), (command, err)
            assert not UNSAFE & set(out + err), command
        assert peak <= RESIDENT, f"{peak:,} bytes resident"
        return [tuple(answer[:3]) for answer in answers]

    return run


@pytest.fixture(scope="session")
def limited(limited_each):
    """Run Inspector once, within `SECONDS` and 1 GB resident: exit code, standard output, standard error."""
    return lambda *args: limited_each([args])[0]


UNSAFE = set("\x1b\x07\x9b\u202e\u2066\u200f\r\x00")
"""What takes hold of a terminal: escapes, bells, marks that turn the direction of text."""


@pytest.fixture
def write(tmp_path):
    """Write a file below the test's folder and name it."""

    def file(name, content):
        path = Path(tmp_path, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return file


@pytest.fixture
def llama_config():
    return json.loads(json.dumps(LLAMA))

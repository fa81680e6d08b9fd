"""What every test shares: a cache of its own, no colour, a fixed width, and one flag to renew the golden files."""

import contextlib
import gc
import importlib.util
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from tests import measuring_here, warm

GOLDEN = Path(__file__).parent / "golden"

# Libraries keep things under the home folder, which may be read-only, and read what earlier runs left there; they look
# where that is when they are imported.
HOME = tempfile.TemporaryDirectory(prefix="inspector-tests-", ignore_cleanup_errors=True)
os.environ.update(HF_HOME=HOME.name, XDG_CACHE_HOME=HOME.name)
# As the command line has it, which sets it where a process begins: the hub's library asks who runs it, once a process.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# A worker for each core: with as many threads each, they would wait for one another's in busy loops, twice the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell's background jobs are deaf to Ctrl-C, and so is every child they start. The program keeps to that, as others
# do; tests that press Ctrl-C would wait for ever. With a handler here, children begin with the usual one.
with contextlib.suppress(ValueError):  # not in the main thread
    signal.signal(signal.SIGINT, signal.default_int_handler)

# As the program's own process has it: half a million objects of torch and transformers live to the end, and every
# collection walks through them.
gc.set_threshold(100_000, 20, 50)


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing")


def pytest_runtest_logfinish():
    """Keep what stays for good, the libraries and the tests themselves, out of the garbage collector's sight.

    A look through all that torch and transformers leave when they are imported takes 0.3 s, and there is one every few
    seconds: a sixth of the time of tests that simulate.
    """
    if len(sys.modules) > SEEN["modules"] + 200:
        SEEN["modules"] = len(sys.modules)
        with contextlib.suppress(ImportError):
            # As it is imported it asks who refers to generators of random numbers, and would not see who is frozen.
            import hypothesis  # noqa: F401
        gc.collect()
        gc.freeze()


SEEN = {"modules": 0}
"""How many modules there were when the collector was last told to leave them alone."""


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id):
    """A folder that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def once(shared):
    """Make a folder by its name, once for all workers: the others wait and find it."""

    def once(name, make):
        folder = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not (shared / f"{name}.made").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                (shared / f"{name}.made").touch()
        return folder

    return once


@pytest.fixture(scope="session", autouse=True)
def _warm():
    """Processes that children are forked from end with the run."""
    yield
    warm.close()


@pytest.fixture(scope="session", autouse=True)
def _session_cache(shared):
    """For what fixtures of a module or a session make: never the user's cache, never the last run's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSPECTOR_CACHE", str(shared / "cache"))
        yield


@pytest.fixture
def kept_answers(shared, monkeypatch):
    """The cache that all workers share: for a test that asks long questions and neither breaks nor counts anything."""
    monkeypatch.setenv("INSPECTOR_CACHE", str(shared / "cache"))


@pytest.fixture(scope="session")
def _caches(tmp_path_factory):
    """Folders by their numbers: ``mktemp`` would look through all of the thousands before, for each test."""
    folder = tmp_path_factory.mktemp("caches")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, _caches):
    cache = next(_caches)
    cache.mkdir()
    monkeypatch.setenv("INSPECTOR_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def _whole_bitsandbytes():
    """Nothing without data is left in what bitsandbytes keeps for the process: it spoils the next real tensor."""
    yield
    functional = sys.modules.get("bitsandbytes.functional")
    left = functional.name2qmap.get("dynamic") if functional else None
    if left is not None and left.is_meta:
        functional.name2qmap.clear()
        pytest.fail("a map without data was left in bitsandbytes.functional.name2qmap")


@pytest.fixture
def golden(request):
    """Compare a text with tests/golden/<name>; what differs is saved beside it as <name>.actual."""

    def compare(name: str, actual: str) -> None:
        # Two workers that ask one thing at once: that one waits is no part of its answer.
        actual = re.sub(r"(?m)^.*another run is making .*\n", "", actual)
        path = GOLDEN / name
        saved = path.with_name(path.name + ".actual")
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
        expected = path.read_text(encoding="utf-8")
        if actual != expected:
            saved.write_text(actual, encoding="utf-8")
        assert actual == expected, f"differs from {path}; run with --update-golden if that is meant"
        saved.unlink(missing_ok=True)

    return compare


@pytest.fixture
def inspector():
    """Run the command line as a user does, in a process of its own."""

    def run(*args: str, env: dict[str, str] | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "inspector", *args]
        merged = {**os.environ, **(env or {})}
        return subprocess.run(command, capture_output=True, text=True, env=merged, timeout=timeout, check=False)

    return run


@pytest.fixture
def forked(monkeypatch):
    """Children of users' scripts are forked: for tests to which it is no question how one is started."""
    from inspector.simulate.script import child_process

    # The child imports it before it replaces anything.
    stands_in = ("triton_stands_in",) if importlib.util.find_spec("triton") else ()
    popen = warm.popen((*stands_in, "torch._dynamo"))
    monkeypatch.setattr(child_process, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": popen}))


@pytest.fixture
def measured_here(monkeypatch):
    """A switch: measurements are made in the tests' process, where one of their own is not the question."""
    return lambda: monkeypatch.setattr("inspector.measure.runner.run_order", measuring_here.measured)

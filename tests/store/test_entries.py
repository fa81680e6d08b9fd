"""The cache among concurrent and killed runs, without locks, read-only, damaged, on a full disk."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inspector.architecture import build_skeleton
from inspector.errors import InspectorError
from inspector.skeleton.json_form import dumps
from inspector.store import lock
from inspector.store.entries import stored
from inspector.store.skeletons import kept_skeleton, skeleton_entry
from tests.sources.conftest import LLAMA

BUILDER = """
import sys, time
import inspector.architecture
from inspector.skeleton.json_form import loads
def slowly(*args, **kwargs):
    with open(sys.argv[1], "a") as stream:
        stream.write("built\\n")
    time.sleep(1)
    with open(sys.argv[3]) as stream:
        return loads(stream.read())
inspector.architecture.build_skeleton = slowly
from inspector.cli.main import run
sys.exit(run(["layers", sys.argv[2], "--json"]))
"""
"""Who waits for whom is the question: what is built lies ready, and the libraries are not imported for it."""

HOLDER = """
import sys, time
from pathlib import Path
from inspector.store.lock import locked
with locked(Path(sys.argv[1]), "x"):
    print("held", flush=True)
    time.sleep(60)
"""


def entry(made, *, name="things/ab12", load=bytes):
    return stored(Path(name), "the thing", load=load, make=made, dump=bytes)


def lock_file(folder, name="things-ab12"):
    return folder / "locks" / f"{name}.lock"


@pytest.fixture
def folder():
    return Path(os.environ["INSPECTOR_CACHE"])


@pytest.fixture
def holder(folder):
    """Another process that holds the lock of the entry."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock_file(folder))], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_runs_at_once_build_an_entry_once(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "skeleton.json").write_text(dumps(build_skeleton(LLAMA, model_id="a")))
    files = (str(tmp_path / name) for name in ("log", "config.json", "skeleton.json"))
    command = [sys.executable, "-c", BUILDER, *files]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outs = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outs
    assert outs[0][0] == outs[1][0]
    assert (tmp_path / "log").read_text() == "built\n"
    waited = "".join(err for _, err in outs)
    assert "another run is making the skeleton of" in waited


def test_the_lock_of_a_killed_run_is_free(folder, holder):
    holder.send_signal(signal.SIGKILL)
    started = time.monotonic()
    assert entry(lambda: b"new") == b"new"
    assert time.monotonic() - started < 5


def test_a_run_that_hangs_is_not_waited_for_without_end(folder, holder, monkeypatch, caplog):
    monkeypatch.setattr(lock, "PATIENCE", 0.3)
    holder.send_signal(signal.SIGSTOP)
    assert entry(lambda: b"new") == b"new"
    assert entry(lambda: b"other") == b"new"
    assert "another run is making the thing" in caplog.text
    assert "going on without it" in caplog.text


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_it_goes_on_and_says_so(folder, monkeypatch, caplog, number):
    """What flock answers on NFS without a lock daemon, and on file systems that have none."""
    import fcntl

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert entry(lambda: b"new") == b"new"
    assert entry(lambda: b"other") == b"new"
    assert "the cache cannot be locked" in caplog.text


def test_where_the_system_has_no_locks_a_lock_file_serves(folder, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert entry(lambda: b"new") == b"new"
    assert not lock_file(folder).exists()


def test_a_cache_that_cannot_be_written_costs_a_line_not_the_answer(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path / "file"))  # root may write anywhere, but not below a file
    assert entry(lambda: b"new") == b"new"
    assert len(caplog.records) == 1
    assert "the thing was not cached: cannot write" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_a_read_only_cache_is_read_and_costs_a_line_otherwise(folder, caplog):
    entry(lambda: b"kept")
    for path in (folder / "things", folder / "locks", folder):
        path.chmod(0o500)
    try:
        assert entry(lambda: b"other") == b"kept"
        assert entry(lambda: b"new", name="things/cd34") == b"new"
    finally:
        for path in (folder, folder / "things", folder / "locks"):
            path.chmod(0o700)
    assert "was not cached: cannot write" in caplog.text


DAMAGE = {
    "cut short": lambda data: data[:-3],
    "one bit": lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
    "empty": lambda _data: b"",
    "zeros": lambda data: bytes(len(data)),
    "over the limit": lambda data: data * 100,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_entry_is_made_again_and_said_so_once(folder, caplog, name):
    def get():
        return stored(Path("things", "ab12"), "the thing", load=bytes, make=lambda: b"x" * 100, dump=bytes, limit=1000)

    get()
    path = folder / "things" / "ab12"
    path.write_bytes(DAMAGE[name](path.read_bytes()))
    assert get() == b"x" * 100
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == [
        "the thing was damaged in the cache"
    ]
    caplog.clear()
    assert get() == b"x" * 100
    assert not caplog.records


def test_a_damaged_skeleton_is_built_again(folder, caplog):
    first = kept_skeleton(LLAMA, "a", "here")
    (path,) = (folder / "skeletons").iterdir()
    path.write_text(path.read_text().replace("64", "65"))
    assert kept_skeleton(LLAMA, "a", "here") == first
    assert "the skeleton of a was damaged in the cache" in caplog.text


def test_an_entry_in_place_of_which_lies_a_folder(folder, caplog):
    (folder / "things" / "ab12").mkdir(parents=True)
    assert entry(lambda: b"new") == b"new"
    assert "was not cached" in caplog.text


def test_what_cannot_be_made_is_not_kept(folder):
    def fail():
        raise InspectorError("no")

    with pytest.raises(InspectorError, match="no"):
        entry(fail)
    assert entry(lambda: b"new") == b"new"


def test_an_interrupted_run_leaves_nothing_half_done(folder):
    def interrupted():
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        entry(interrupted)
    assert [path.name for path in folder.iterdir()] == ["locks"]
    assert entry(lambda: b"new") == b"new"


def test_locks_do_not_pile_up(folder):
    for number in range(200):
        entry(lambda: b"x", name=f"things/{number:03x}0")
    assert not list((folder / "locks").iterdir())


def test_threads_make_an_entry_once(folder):
    from concurrent.futures import ThreadPoolExecutor

    made = []

    def make():
        made.append(1)
        time.sleep(0.2)
        return b"x"

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: entry(make), range(8))) == [b"x"] * 8
    assert made == [1]


def test_files_made_in_threads_keep_the_umask(folder):
    from concurrent.futures import ThreadPoolExecutor

    before = os.umask(0o027)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: entry(lambda: b"x", name=f"things/{number:04x}"), range(64)))
        modes = {path.stat().st_mode & 0o777 for path in (folder / "things").iterdir()}
    finally:
        assert os.umask(before) == 0o027
    assert modes == {0o640}


def test_the_key_knows_the_config_and_the_versions():
    assert skeleton_entry(LLAMA) == skeleton_entry(dict(LLAMA))
    assert skeleton_entry(LLAMA) != skeleton_entry({**LLAMA, "hidden_size": 128})


def test_many_runs_that_wait_for_each_other_make_it_once(tmp_path, folder):
    """The lock's file is removed by each holder: those who wait on it must not take the removed one for the lock."""
    code = (
        "import sys, time; from pathlib import Path; from inspector.store.entries import stored\n"
        "def make():\n"
        "    with open(sys.argv[1], 'a') as stream: stream.write('made ')\n"
        "    time.sleep(0.05); return b'x'\n"
        "for n in range(20): stored(Path('things', f'{n:04}'), 'x', load=bytes, make=make, dump=bytes)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    runs = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(4)]
    assert [run.wait(timeout=60) for run in runs] == [0] * 4
    assert (tmp_path / "log").read_text().split() == ["made"] * 20

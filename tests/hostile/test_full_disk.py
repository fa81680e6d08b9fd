"""A full disk and a read-only one: a clear line, nothing half written, and the answer where it needs no disk."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.sources.conftest import LLAMA

# A file system of 200 KiB in a namespace of its own, that ends with the process. $1 is where, the rest is the command.
SMALL = """mount -t tmpfs -o size=200k none "$1" || exit 9
cd "$1" || exit 9
shift
"$@"
code=$?
ls -A >&2
exit $code"""

# Three such: one with room, one that is full, one that may not be written. What needs torch is asked there in one
# process, each from its own folder.
THREE = """cd "$1" || exit 9
for each in room full sealed; do mkdir $each && mount -t tmpfs -o size=200k none $each || exit 9; done
head -c 1000000 /dev/zero > full/filler 2>/dev/null
mount -o remount,ro sealed || exit 9
shift
exec "$@"
"""
ASKED = """
import contextlib, io, json, os, sys
import inspector.cli.main as main
import inspector.measure.runner as runner
from inspector.measure.child import Measuring
runner.run_order = lambda order, progress=None: Measuring(order, lambda **_: None).run()  # in this process
answers = {}
os.chdir(sys.argv[1])
for name, (folder, env, args) in json.load(sys.stdin).items():
    out, err, here = io.StringIO(), io.StringIO(), os.getcwd()
    kept = dict(os.environ)
    os.environ.update(env)
    os.chdir(folder)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main.run(args)
    left = os.listdir()
    os.chdir(here)
    os.environ.clear()
    os.environ.update(kept)
    answers[name] = [code, out.getvalue(), err.getvalue(), left]
print(json.dumps(answers))
"""
CONFIG = "../config.json"
QUESTIONS = {
    "trace": (
        "room", {}, ["simulate", "finetune", CONFIG, "--gpu", "T4", "--seq-len", "64", "--snapshot", "run.pickle"],
    ),
    "full cache": ("full", {"INSPECTOR_CACHE": "cache"}, ["layers", CONFIG, "--json"]),
    "read-only cache": ("sealed", {"INSPECTOR_CACHE": "cache"}, ["layers", CONFIG, "--json"]),
    "record": (
        "full", {"INSPECTOR_DATA": "data"},
        ["measure", "HuggingFaceTB/SmolLM2-135M", "--layers", "1", "--device", "cpu", "--save"],
    ),
}  # fmt: skip


def _can_mount():
    if not shutil.which("unshare"):
        return False
    command = ["unshare", "-Urm", "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


mounts = pytest.mark.skipif(not _can_mount(), reason="this machine lets nobody mount a file system of their own")


@pytest.fixture
def small(tmp_path):
    """Run Inspector in a folder that has 200 KiB; lists what is there at the end as the last lines of stderr."""

    def run(*args):
        place = tmp_path / "small"
        place.mkdir()
        command = ["unshare", "-Urm", "sh", "-c", SMALL, "sh", str(place), sys.executable, "-m", "inspector", *args]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def asked(once):
    """Exit code, standard output, standard error and the files left, of every one of `QUESTIONS`."""

    def make(folder):
        (folder / "config.json").write_text(json.dumps(LLAMA))
        command = ["unshare", "-Urm", "sh", "-c", THREE, "sh", str(folder), sys.executable, "-c", ASKED, str(folder)]
        env = {**os.environ, "INSPECTOR_CACHE": str(folder / "cache"), "COLUMNS": "80", "NO_COLOR": "1",
               "HF_HUB_OFFLINE": "1"}  # fmt: skip
        done = subprocess.run(
            command, input=json.dumps(QUESTIONS), capture_output=True, text=True, check=False, env=env
        )
        assert done.returncode == 0, done.stderr
        (folder / "answers.json").write_text(done.stdout)

    answers = json.loads((once("full-disk", make) / "answers.json").read_text())
    assert "Traceback" not in "".join(err for _, _, err, _ in answers.values())
    return answers


@mounts
def test_a_page_that_does_not_fit(small):
    done = small("report", "llama-3.1-8b", "-o", "page.html")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "inspector: cannot write page.html: No space left on device\n  make room, or choose another place\n"
    )


@mounts
def test_a_chart_that_does_not_fit(small):
    done = small("chart", "waterfall", "-o", "deep/chart.html")
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 3  # two lines, and the empty folder


@mounts
@pytest.mark.slow
def test_a_trace_that_does_not_fit(asked):
    code, _, err, left = asked["trace"]
    assert "cannot write run.pickle: No space left on device" in err
    assert code == 2
    assert err.splitlines()[-1] == "  make room, or choose another place"
    assert left == []


@mounts
@pytest.mark.slow
def test_a_full_cache_costs_a_line_and_not_the_answer(asked):
    code, out, err, left = asked["full cache"]
    assert code == 0
    assert json.loads(out)["num_parameters"] > 0
    assert "was not cached: cannot write" in err
    assert "No space left on device" in err
    assert len(err.splitlines()) + len(left) <= 3


@mounts
@pytest.mark.slow
def test_a_read_only_cache_costs_a_line_and_not_the_answer(asked):
    code, out, err, _ = asked["read-only cache"]
    assert code == 0
    assert json.loads(out)["num_parameters"] > 0
    assert err.count("\n") == 1
    assert "was not cached: cannot write" in err
    assert "Read-only file system" in err


@mounts
@pytest.mark.slow
def test_a_record_that_does_not_fit(asked):
    code, _, err, _ = asked["record"]
    assert code == 2
    assert "No space left on device" in err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize("args", [["layers", "--json"], ["memory"], ["report", "-o", "-"], ["--help"]])
def test_standard_output_on_a_full_disk(args):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "inspector", *args], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == (
        "inspector: cannot write the answer: No space left on device\n  make room, or write it elsewhere\n"
    )

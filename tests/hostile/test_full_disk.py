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
{before}
cd "$1" || exit 9
shift
"$@"
code=$?
ls -A >&2
exit $code"""


def _can_mount():
    if not shutil.which("unshare"):
        return False
    command = ["unshare", "-Urm", "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


mounts = pytest.mark.skipif(not _can_mount(), reason="this machine lets nobody mount a file system of their own")


@pytest.fixture
def small(tmp_path):
    """Run Inspector in a folder that has 200 KiB; lists what is there at the end as the last lines of stderr."""

    def run(*args, before="", env=None):
        place = tmp_path / "small"
        place.mkdir(exist_ok=True)
        command = ["unshare", "-Urm", "sh", "-c", SMALL.format(before=before), "sh", str(place),
                   sys.executable, "-m", "inspector", *args]  # fmt: skip
        cache = {"INSPECTOR_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **cache, **(env or {})}, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


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
def test_a_trace_that_does_not_fit(small, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    done = small(
        "simulate",
        "finetune",
        str(tmp_path / "config.json"),
        "--gpu",
        "T4",
        "--seq-len",
        "64",
        "--snapshot",
        "run.pickle",
    )
    assert "cannot write run.pickle: No space left on device" in done.stderr
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "  make room, or choose another place"


FULL = "head -c 1000000 /dev/zero > $1/filler 2>/dev/null;"


@mounts
def test_a_full_cache_costs_a_line_and_not_the_answer(small, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    done = small("layers", str(tmp_path / "config.json"), "--json", before=FULL, env={"INSPECTOR_CACHE": "cache"})
    assert done.returncode == 0
    assert json.loads(done.stdout)["num_parameters"] > 0
    assert "was not cached: cannot write" in done.stderr
    assert "No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) <= 3


@mounts
def test_a_read_only_cache_costs_a_line_and_not_the_answer(small, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    before = "mount -o remount,ro $1;"
    done = small("layers", str(tmp_path / "config.json"), "--json", before=before, env={"INSPECTOR_CACHE": "cache"})
    assert done.returncode == 0
    assert json.loads(done.stdout)["num_parameters"] > 0
    assert done.stderr.count("\n") == 1
    assert "was not cached: cannot write" in done.stderr
    assert "Read-only file system" in done.stderr


@mounts
@pytest.mark.slow
def test_a_record_that_does_not_fit(small):
    done = small(
        "measure", "HuggingFaceTB/SmolLM2-135M", "--layers", "1", "--device", "cpu", "--save",
        before=FULL, env={"INSPECTOR_DATA": "data"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "No space left on device" in done.stderr


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

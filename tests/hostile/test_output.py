"""Where an answer goes: devices, pipes and links are written into, and nothing is put in their place."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.files import write_bytes, write_output


def test_a_pipe_is_written_into_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, "a page")
    reader.join(10)
    assert read == [b"a page"]
    assert pipe.is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]  # noqa: PTH208


def test_a_device_is_written_into_and_stays_one(tmp_path):
    """As root an ordinary rename would replace /dev/null for everyone; a node of our own stands for it here."""
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o600 | 0o020000, os.makedev(1, 3))
        null.write_bytes(b"")
    except OSError:
        pytest.skip("no device can be made here")
    write_output(null, b"a page")
    assert null.is_char_device()


def test_a_link_leads_to_the_file_and_stays_one(tmp_path):
    (tmp_path / "deep").mkdir()
    link = tmp_path / "link"
    link.symlink_to("deep/page")
    write_output(link, b"a page")
    write_output(link, b"another")
    assert link.is_symlink()
    assert (tmp_path / "deep/page").read_bytes() == b"another"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "link", "page"]


def test_links_in_a_circle_are_one_line(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(InspectorError, match=r"cannot write .*/a: Too many levels of symbolic links"):
        write_output(tmp_path / "a", b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_without_an_output_nothing_breaks(closed):
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "inspector", "layers"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("wait", [0.5, 0.8, 1.1])
def test_a_table_that_is_interrupted_ends_at_once(wait):
    """Ctrl-C, pressed twice: every process hears both."""
    command = [sys.executable, "-c", "import os; os.cpu_count = lambda: 2; from inspector.cli.main import main; main()"]
    table = subprocess.Popen(
        [*command, "table"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        time.sleep(wait)
        os.killpg(table.pid, signal.SIGINT)
        time.sleep(0.02)
        os.killpg(table.pid, signal.SIGINT)
        table.communicate(timeout=10)
        assert table.returncode != 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(table.pid, signal.SIGKILL)
        table.wait()


def test_what_lies_in_our_own_folders_is_replaced(tmp_path):
    """A pipe where an entry of the cache should be would be waited for for ever."""
    os.mkfifo(tmp_path / "entry")
    write_bytes(tmp_path / "entry", b"sound")
    assert (tmp_path / "entry").read_bytes() == b"sound"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "m.gguf"])
def test_no_page_takes_the_place_of_a_models_file(tmp_path, capsys, name):
    there = tmp_path / name
    there.write_text("{}")
    assert run(["report", "gpt2", "-o", str(there)]) == 2
    assert "is a model's file" in capsys.readouterr().err
    assert there.read_text() == "{}"

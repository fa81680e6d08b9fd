"""Logs as they are pasted: long, coloured, of several ranks at once, from any shell; nothing in them does harm."""

# ruff: noqa: E501 -- messages and lines of code as they are printed

import time

import pytest

import inspector
from inspector.explain.log import MOST_BYTES, decoded, places, plain
from tests.explain.messages import put

FIRST = put("F5", {"tried": "3.91 GiB", "gpu": 0, "capacity": "79.15 GiB", "free": "1.00 GiB",
                   "allocated_by_pytorch": "75.00 GiB", "reserved_unallocated": "1.00 GiB"})  # fmt: skip
LAST = FIRST.replace("3.91 GiB", "112.00 MiB").replace("GPU 0", "GPU 1")
TRACE = """Traceback (most recent call last):
  File "/data/train.py", line {line}, in main
    {code}
  File "/opt/lib/python3.11/site-packages/torch/x.py", line 9, in {function}
    return {function}(x)
torch.OutOfMemoryError: {message}"""
ONE = TRACE.format(line=10, code="trainer.train()", function="cross_entropy", message=FIRST)
OTHER = TRACE.format(line=20, code="optimizer.step()", function="_foreach_sqrt", message=LAST)
MARKS = {
    "torchrun": "[rank{}]: ", "tee": "[default{}]:[rank{}]: ", "mpirun": "[1,{}]<stderr>:", "srun": "{}: ",
    "ray": "(RayTrainWorker pid=10{}, ip=10.0.0.4) ", "compose": "worker-{}  | ", "pods": "2026-01-02T03:04:05.678901Z [rank{}]: ",
}  # fmt: skip


def interleaved(mark):
    """Two ranks' lines in turn, one of them ahead."""
    lines = [
        [mark.replace("{}", str(rank)) + line for line in text.splitlines()] for rank, text in ((0, ONE), (1, OTHER))
    ]
    return "\n".join(line for pair in zip(["", *lines[0]], [*lines[1], ""], strict=True) for line in pair if line)


@pytest.mark.parametrize("name", MARKS)
def test_ranks_are_told_apart(name):
    report = inspector.explain_error(interleaved(MARKS[name]))
    assert report.found == 2
    assert [(error.figures.tried.text, error.own.line, error.operator.name) for error in report.errors] in (
        [("3.91 GiB", 10, "cross-entropy"), ("112.00 MiB", 20, "the optimizer")],
        [("112.00 MiB", 20, "the optimizer"), ("3.91 GiB", 10, "cross-entropy")],
    )
    if name not in {"ray", "compose"}:
        assert sorted(error.rank for error in report.errors) == ["0", "1"]


def test_the_first_and_the_last_of_many():
    middle = FIRST.replace("3.91 GiB", "1.50 GiB")
    report = inspector.explain_error(f"{ONE}\nDuring handling of it:\n{middle}\n{middle}\n{OTHER}\n{LAST}")
    assert (report.found, len(report.errors)) == (3, 2)
    assert [error.figures.tried.text for error in report.errors] == ["3.91 GiB", "112.00 MiB"]
    assert report.errors[1].own.line == 20
    assert inspector.explain_error(ONE + "\n" + ONE).found == 1


def test_every_shell_s_file_is_read():
    for data in (ONE.encode(), b"\xef\xbb\xbf" + ONE.encode(), ONE.replace("\n", "\r\n").encode("utf-16"),
                 b"\xff\x00\x80" * 9 + b"\n" + ONE.encode()):  # fmt: skip
        error = inspector.explain_error(data).errors[0]
        assert (error.figures.tried.text, error.own.line) == ("3.91 GiB", 10)


def test_colours_and_bars_are_taken_away():
    assert (
        plain("\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07 10%\r20%\r\nend") == "red link 10%\n20%\nend"
    )
    assert "\x1b" not in plain("\x1b[999999999999999" + "\x1b[" * 50 + "m").replace("\x1b[999999999999999", "").replace(
        "\x1b[", ""
    )


LONG = {
    "progress": " 12%|#2        | 71/600 [03:04<22:51,  2.59s/it]\r" * 180_000,
    "one line": "x" * 9_000_000,
    "escapes": "\x1b[" * 4_500_000,
    "almost": "CUDA out of memory. " * 450_000,
    "frames": '  File "/a.py", line 1, in f\n    x\n' * 250_000,
}


@pytest.mark.parametrize("name", LONG)
def test_ten_megabytes_take_a_second(name):
    text = (
        f"{LONG[name]}\n{ONE}\n{LONG[name]}"[: 10_000_000 + len(ONE)] if name == "progress" else f"{LONG[name]}\n{ONE}"
    )
    began = time.process_time()
    report = inspector.explain_error(text.encode())
    assert time.process_time() - began < 3
    assert any(error.figures.tried and error.figures.tried.text == "3.91 GiB" for error in report.errors)


def test_what_a_log_says_is_safe_to_print(capsys):
    from inspector.render.html_text import blocks
    from inspector.render.terminal import console
    from inspector.reporting import renderer

    evil = ONE.replace("trainer.train()", "\x07\u202e[bold]<script>alert(1)</script>\x9b31m").replace(
        "in main", "in \u202em"
    )
    report = inspector.explain_error(evil, source="\x1b[31m.txt")
    console().print(renderer("explain").text(report))
    shown = capsys.readouterr().out
    assert not set("\x07\x1b\x9b\u202e") & set(shown)
    assert "[bold]" in shown
    assert "<script>" not in "".join(blocks(renderer("explain").text(report)))


def test_a_log_larger_than_all_logs_is_not_read_whole():
    assert MOST_BYTES == 100_000_000
    assert places(decoded(b"")) == (0, ())

"""``%%inspector`` over a cell: the cells that make what it needs run with it, and nothing else of the notebook."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inspector.cli import magic
from inspector.errors import InspectorError
from inspector.simulate.script import advised, running

InteractiveShell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell


@pytest.fixture
def asked(monkeypatch):
    """What would be run: the cells of the notebook, and the options."""
    seen = {}

    def run(what, **options):
        cells = json.loads(Path(what.target).read_text())["cells"]
        seen.update(code=[cell["source"] for cell in cells], notes=what.notes, name=what.name, options=options)
        return seen

    monkeypatch.setattr(running, "run", run)
    monkeypatch.setattr(advised, "with_advice", lambda report, _, **options: report | {"advised": options})
    return seen


EARLIER = [
    "import torch\nimport os",
    "x = 1",
    "%load_ext inspector",
    "!pip install trl\ny = torch.ones(x)",
    "z = 3",
    "1 / 0",
]


def test_the_cells_that_make_its_names_run_before_it(asked):
    found = magic.run_cell("--gpu T4 --gpu 'RTX 4090' --oom --no-advise", "print(y)", EARLIER)
    assert found["code"][0] == "import torch\nimport os"
    assert found["code"][1:] == ["x = 1", "pass", "pass\ny = torch.ones(x)", "pass", "pass", "\nprint(y)"]
    assert found["notes"] == ("cells 1, 2, 4 run before it: they make what it needs",)
    assert found["name"] == "cell 7"
    assert found["options"]["gpu"] == ("T4", "RTX 4090")
    assert found["options"]["oom"] is True
    assert "advised" not in found


def test_alone_or_without_needs_nothing_else_runs(asked):
    assert magic.run_cell("--alone", "print(y)", EARLIER)["code"][:-1] == ["pass"] * 6
    found = magic.run_cell("--steps 2", "for i in range(3): print(i)", EARLIER)
    assert found["notes"] == ()
    assert found["advised"]["steps"] == 2


def test_a_cell_that_python_cannot_read_is_run_all_the_same(asked):
    assert magic.run_cell("", "x = (", ["x = )", "y = 2"])["code"][-1] == "\nx = ("


@pytest.mark.parametrize("line", ["--nope", "--gpu", "other.py", "-m json", "--steps 0"])
def test_options_that_there_are_not_are_one_line(line, asked):
    with pytest.raises(InspectorError) as caught:
        magic.run_cell(line, "x = 1", [])
    assert "\n" not in caught.value.message


def test_in_ipython(asked, capsys):
    shell = InteractiveShell()
    shell.run_cell("import inspector", store_history=True).raise_error()
    shell.run_cell("%load_ext inspector", store_history=True).raise_error()
    shell.run_cell("width = 4", store_history=True).raise_error()
    shell.run_cell("%%inspector --gpu nonesuch --nope\nprint(width)", store_history=True).raise_error()
    assert "inspector: No such option" in capsys.readouterr().err
    shown = []
    magic_show = magic._show
    magic._show = lambda report, _: shown.append(report)
    try:
        shell.run_cell("%%inspector --gpu T4\nprint(width)", store_history=True).raise_error()
    finally:
        magic._show = magic_show
    assert shown[0]["code"][2:] == ["width = 4", "pass", "\nprint(width)\n"]
    assert shell.user_ns[magic.REPORT] is not None


def test_a_cell_for_real(capsys, forked):
    pytest.importorskip("torch")
    shell = InteractiveShell()
    shell.run_cell("%load_ext inspector", store_history=True).raise_error()
    shell.run_cell("def rows():\n    return 1024\nimport torch", store_history=True).raise_error()
    lines = ["x = torch.ones(rows(), 1024, device='cuda')", "print('PEAK', torch.cuda.max_memory_allocated())"]
    lines += ["x[0, 0].item()"]
    cell = "\n".join(["%%inspector --gpu T4", *lines])
    shell.run_cell(cell, store_history=True).raise_error()
    report = shell.user_ns[magic.REPORT]
    assert report.peak_allocated_bytes == 4 * 2**20
    assert [share.name for share in report.lines_at_peak] == ["cell 3:2"]
    assert report.assumed == ("unknown numbers (losses, norms, scores) are read as 1 (cell 3:4)",)
    assert report.fits
    printed = capsys.readouterr().out
    assert f"PEAK {4 * 2**20}" in printed
    assert "peak allocated" in printed
    assert "x" not in shell.user_ns
    # Of the file that the cells were put into nothing is seen, wherever the report is told.
    told = [printed, json.dumps(report.to_dict()), report._repr_html_(), str(report)]
    assert not [text for text in told if "inspector-cell" in text or "notebook.ipynb" in text]


def test_a_cell_that_fails_is_told_by_its_number_and_its_line(capfd, forked, monkeypatch, tmp_path):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text("import torch\ndef made():\n    return torch.ones(256, device='cuda')\n")
    report = magic.run_cell("", "kept = beside.made()\nsize(kept)", ["import beside", "def size(x):\n    x.nope()"])
    assert report.error == "AttributeError: 'Tensor' object has no attribute 'nope'"
    told = capfd.readouterr().err
    assert 'File "cell 3", line 3, in <module>\n    size(kept)' in told
    assert 'File "cell 2", line 2, in size\n    x.nope()' in told
    assert "inspector-cell" not in told
    assert [share.name for share in report.lines_at_peak] == ["beside.py:3"]

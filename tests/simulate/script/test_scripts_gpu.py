"""Scripts measured for real beside their dry runs: what is said without a GPU, and how figures are set side by side."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "scripts_gpu.py"


@pytest.fixture
def benchmark(monkeypatch):
    for name in ("PYTHONPATH", "HF_HUB_OFFLINE"):  # what it sets is put back
        monkeypatch.setenv(name, "")
    monkeypatch.syspath_prepend("")
    spec = importlib.util.spec_from_file_location("scripts_gpu", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_is_one_line_and_2(benchmark, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert benchmark.main([]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "no CUDA GPU here" in said.err
    assert all((BENCHMARK.parents[1] / name).is_file() for name in benchmark.PROGRAMS)


def test_figures_of_both_runs_stand_by_their_names(benchmark):
    real = "PEAK length 7 99\nstep 3\nPIECE views 10 20\nPEAK length 7 100\nWHOLE reserved 4096\n"
    dry = "PIECE views 10 21\nPEAK length 7 100\nNOW loaded 5\n"
    assert sorted(benchmark.compared(dry, real)) == [
        ("NOW loaded", 5, None),
        ("PEAK length 7", 100, 100),
        ("PIECE views 1", 10, 10),
        ("PIECE views 2", 21, 20),
        ("WHOLE reserved", None, 4096),
    ]

"""Mistakes of a script: Python's own words and the script's own line, as on a machine with the card."""

from __future__ import annotations

import json
import re

from torch.torch_version import TorchVersion, __version__


def test_mistakes_are_told_as_they_are_for_real_and_are_the_script_s(on_both):
    real, said, report = on_both("broken.py")
    real, simulated = ([json.loads(line[8:]) for line in lines if line.startswith("MISTAKE")] for lines in (real, said))
    assert len(real) > 40
    assert all(len(each) == 4 for each in real)
    # An older PyTorch says some in other words; which mistake it is and at which line is the same in all.
    told = 4 if TorchVersion(__version__) >= (2, 13) else 3
    assert [each[:told] for each in simulated] == [each[:told] for each in real]
    assert report.script_exit_code == 0
    # Whose each is: a mistake is the script's whoever handed it on, and a fault of ours never is.
    whose = dict(line.split()[1:] for line in said if line.startswith("WHOSE"))
    faults = ["_carry", "_place_all", "_made", "_arrives", "mark", "enter"]
    assert {name for name, ours in whose.items() if ours == "True"} == set(faults)
    assert set(whose) == {each[0] for each in real} | set(faults)


def test_what_stops_a_script_is_its_own(dry):
    """An error that nobody catches: its last line, its own frames and no other, and Python's exit code."""
    text = """
    import torch
    from torch import nn

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(8, 4)

        def forward(self, x):
            return self.out(x)

    def main():
        model = Head().half().to("cuda")
        return model(torch.ones(2, 8, device="cuda"))

    main()
    """
    report, _, err = dry(text)
    assert report.script_exit_code == report.exit_code == 1
    assert report.error.startswith("RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half")
    assert err.rstrip().endswith(report.error)
    assert re.findall(r'train\.py", line (\d+)', err) == ["17", "15", "11"]
    assert "/inspector/" not in err


def test_a_metric_that_is_not_here_is_stood_in_for(dry, tmp_path):
    """The evaluate library looks for its code on the hub; a package of its form stands for it here."""
    (tmp_path / "evaluate").mkdir()
    (tmp_path / "evaluate" / "__init__.py").write_text("from evaluate.loading import load\n")
    loading = "def load(path, config_name=None):\n    raise ConnectionError('could not reach ' + path)\n"
    (tmp_path / "evaluate" / "loading.py").write_text(loading)
    text = """
    import evaluate
    import torch

    rows = torch.zeros(4, device="cuda")
    glue, wer = evaluate.load("glue", "mrpc"), evaluate.load("wer")
    glue.add_batch(predictions=rows, references=rows)
    print(glue.compute(), glue.compute()["matthews_correlation"], wer.compute(predictions=rows, references=rows))
    """
    report, out, _ = dry(text, assume=("number=0.5",))
    assert out == "{'accuracy': 0.5, 'f1': 0.5} 0.5 0.5\n"
    assert any(line.startswith("the metric glue is not on this disk") for line in report.skipped)
    assert any("read as 0.5 (train.py:6)" in line for line in report.assumed)

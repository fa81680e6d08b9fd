"""Where a script does not fit, a second run of it with one thing changed says what helps; the script stays as it is."""

from __future__ import annotations

import json

from inspector.cli.main import run

SCRIPT = """import torch
BATCH = 8
model = torch.nn.Linear(2**14, 2**14, bias=False).to("cuda")
for _ in range(2):
    print("ran with", BATCH)
    model(torch.rand(BATCH * 2**15, 2**14, device="cuda")).square().mean().backward()
"""


def test_the_batch_that_fits_is_found_by_running_it(tmp_path, monkeypatch, capfd, forked):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)
    assert run(["run", "--json", "--gpu", "A100-80GB", "train.py"]) == 1
    printed = capfd.readouterr()
    document = json.loads(printed.out)
    advice = document["advice"]
    assert (document["verdict"], advice["gpu"]) == ("does not fit", "A100-80GB")
    found, *others = advice["alone"]
    assert found["changes"] == [{"what": "BATCH = 4", "cost": "smaller batches", "place": "train.py:2"}]
    assert found["fits"]
    # Half of all that grows with the batch.
    fixed = 2 * 2**14 * 2**14 * 4
    assert abs(found["peak_allocated_bytes"] - fixed - (document["peak_allocated_bytes"] - fixed) / 2) < 64 * 2**20
    # What the second run prints is nobody's business.
    assert printed.err.count("ran with 8") == 2
    assert "ran with 4" not in printed.err
    assert (tmp_path / "train.py").read_text() == SCRIPT
    assert not any(other["fits"] for other in others)
    assert 1 <= advice["runs"] <= 3


def test_a_batch_in_a_module_beside_it_is_changed_for_the_run_alone(tmp_path, monkeypatch, capfd, forked):
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "package"
    package.mkdir()
    (package / "train.py").write_text(SCRIPT.replace("BATCH = 8", "from package.config import BATCH"))
    (package / "config.py").write_text("BATCH = 8\n")
    assert run(["run", "--json", "--gpu", "A100-80GB", "-m", "package.train"]) == 1
    printed = capfd.readouterr()
    found, *_ = json.loads(printed.out)["advice"]["alone"]
    assert found["changes"] == [{"what": "BATCH = 4", "cost": "smaller batches", "place": "package/config.py:1"}]
    assert found["fits"]
    assert "ran with 4" not in printed.err
    assert (package / "config.py").read_text() == "BATCH = 8\n"

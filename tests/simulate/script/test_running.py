"""A user's script, run: what it finds, what it is told, and what the report says of it."""

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from rich.console import Console

import inspector
from inspector.cli.main import run as command
from inspector.errors import InspectorError
from inspector.render.script import text
from inspector.simulate.script import child_process
from inspector.simulate.script.run_folder import run_folder
from inspector.simulate.script.running import OurFaultError, run
from inspector.simulate.script.signalled import Signalled, ends_on_signals
from inspector.simulate.snapshot.writer import write_snapshot

PROGRAMS = Path(__file__).parent / "programs"


def printed(report):
    """The page, as `inspector run` prints it after the script's own output."""
    console = Console(width=100, file=io.StringIO())
    console.print(text(report))
    return console.file.getvalue()


MODEL = """
    import sys, torch
    from torch import nn
    model = nn.Sequential(*(nn.Linear(1024, 1024, bias=False) for _ in range(4))).to("cuda")
    optimizer = torch.optim.AdamW(model.parameters())
    def step(rows):
        optimizer.zero_grad()
        model(torch.randn(rows, 1024, device="cuda")).square().mean().backward()
        optimizer.step()
"""


def test_tensors_on_the_card_say_so_and_carry_what_is_known(dry):
    report, out, err = dry((PROGRAMS / "says.py").read_text())
    assert out == "SAID ALL\n", err[-2000:]
    assert report.script_exit_code == 0
    assert any("unknown numbers" in line and "train.py:" in line for line in report.assumed)
    assert any("GradScaler skips no step" in line for line in report.assumed)
    said = [line for line in report.assumptions if "torch.compile" in line or "Triton kernel" in line]
    assert [line.split(" is ")[0] for line in said] == [
        "torch.compile",
        "torch.compile with CUDA graphs",
        "copied",
    ]


def test_nothing_is_written_sent_or_started(dry, tmp_path):
    (tmp_path / "there.txt").write_text("kept")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "leaf.txt").write_text("kept")
    report, out, err = dry((PROGRAMS / "files.py").read_text(), str(tmp_path))
    assert "DID ALL" in out, err[-2000:]
    assert re.search(r"REFUSED .*the network is refused in a dry run", out)
    assert "FORKED Cannot re-initialize CUDA in forked subprocess" in out
    assert "UNSENT [Errno 101] the network is refused in a dry run" in out
    assert {each.name for each in tmp_path.iterdir()} == {"train.py", "there.txt", "tree"}
    assert (tmp_path / "tree" / "leaf.txt").read_text() == "kept"
    assert (tmp_path / "there.txt").read_text() == "kept"
    assert report.files == ((str(tmp_path / "state.pt"), 4_001_563),) or report.files[0][1] > 4_000_000
    assert [word for word in ("touched", "popen", "spawned") if not any(word in line for line in report.skipped)] == []
    assert any("example.org" in line for line in report.skipped)


def test_a_loop_of_one_s_own_its_stages_and_lines(dry):
    text = (
        MODEL
        + """
    print("LOADED", torch.cuda.memory_allocated())
    for number in range(3):
        step(4096)
    print("PEAK", torch.cuda.max_memory_allocated(), "RESERVED", torch.cuda.max_memory_reserved())
    import pickle
    torch.cuda.memory._dump_snapshot("memory.pickle")
    segments = pickle.load(open("memory.pickle", "rb"))["segments"]
    lie = [block["size"] for each in segments for block in each["blocks"] if block["state"] == "active_allocated"]
    print("SEGMENTS", sum(each["total_size"] for each in segments) == torch.cuda.memory_reserved())
    print("BLOCKS", sum(lie) == torch.cuda.memory_allocated(), segments == torch.cuda.memory_snapshot())
    model.eval()
    with torch.no_grad():
        model(torch.randn(8, 1024, device="cuda"))
    """
    )
    report, out, _ = dry(text, gpu=["T4", "L4"])
    weights = 4 * 1024 * 1024 * 4
    assert f"LOADED {weights}" in out
    figures = dict(re.findall(r"(PEAK|RESERVED) (\d+)", out))
    assert int(figures["PEAK"]) == report.peak_allocated_bytes > 4 * weights
    assert int(figures["RESERVED"]) == report.peak_reserved_bytes
    assert "SEGMENTS True\nBLOCKS True True" in out
    assert [line.name for line in report.found_stages] == ["load", "first step", "steady step", "evaluation"]
    assert (report.steps, report.exit_code) == (3, 0)
    kinds = {share.name: share.nbytes for share in report.alive_at_peak}
    assert kinds["base weights"] == weights
    assert kinds["optimizer state"] == 2 * weights
    assert any(share.name == "train.py:9" for share in report.lines_at_peak)
    assert [(each.gpu.name, each.verdict) for each in report.verdicts] == [("T4", "fits"), ("L4", "fits")]
    assert sum(share.nbytes for share in report.lines_at_peak) == report.peak_allocated_bytes
    # Everything that is printed is in the document, and the page can be drawn.
    document = report.to_dict()
    assert document["verdicts"][0]["gpu"] == "T4"
    assert document["script_exit_code"] == 0
    assert json.loads(json.dumps(document)) == document
    assert "train.py" in report._repr_html_()


def test_a_card_that_a_package_asks_otherwise_is_run_by_itself(dry):
    """flash_attn looks at the card: what an A100 did says nothing of a T4."""
    report, out, _ = dry(
        """
        import torch
        from flash_attn import flash_attn_func
        heads = torch.randn(1, 64, 4, 64, device="cuda", dtype=torch.float16)
        print("RAN", flash_attn_func(heads, heads, heads).shape)
        """,
        gpu=["A100-80GB", "T4"],
    )
    assert "RAN torch.Size([1, 64, 4, 64])" in out
    one, other = report.verdicts
    assert (one.exit_code, one.error) == (0, "")
    assert (other.exit_code, other.error) == (1, "RuntimeError: FlashAttention only supports Ampere GPUs or newer.")
    assert report.exit_code == 1


def test_the_card_refuses_where_it_is_full_and_the_batch_found_is_the_largest(dry):
    text = (
        MODEL
        + """
    rows = 2 ** 21
    while True:
        try:
            step(rows)
            break
        except torch.OutOfMemoryError as error:
            print("OOM", rows, error)
        optimizer.zero_grad()
        torch.cuda.empty_cache()
        rows //= 2
    print("FOUND", rows)
    torch.cuda.set_per_process_memory_fraction(0.2)
    try:
        torch.empty(2 ** 32, dtype=torch.uint8, device="cuda")
    except RuntimeError as error:
        print("FRACTION", error)
    """
    )
    report, out, _ = dry(text, oom=True)
    said = re.search(r"OOM 2097152 (CUDA out of memory\\. Tried to allocate .*)".replace("\\\\", "\\"), out)
    assert said, out
    assert re.match(
        r"CUDA out of memory\. Tried to allocate [\d.]+ GiB\. GPU 0 has a total capacity of 14\.56 GiB of which "
        r"[\d.]+ \w+ is free\. Including non-PyTorch memory, this process has [\d.]+ \w+ memory in use\. Of the "
        r"allocated memory [\d.]+ \w+ is "
        r"allocated by PyTorch, and [\d.]+ \w+ is reserved by PyTorch but unallocated\. If reserved but unallocated",
        said[1],
    )
    assert re.search(r"FRACTION .* is free\. .* in use\. 2\.91 GiB allowed; Of the allocated memory", out)
    found = int(re.search(r"FOUND (\d+)", out)[1])
    assert report.refusals
    assert report.exit_code == 0
    # As a run that is not refused says it: the batch found fits, and the next larger does not.
    fitting = dry(MODEL + f"\n    step({found})")[0]
    larger = dry(MODEL + f"\n    step({2 * found})")[0]
    assert fitting.exit_code == 0
    assert larger.verdict == "does not fit"
    assert larger.exit_code == 1
    assert larger.script_exit_code == 0


def test_an_error_is_the_script_s_own_at_its_own_line(dry):
    report, out, err = dry("""
        import torch
        def bad(x):
            return torch.nn.functional.linear(x, torch.zeros(5, 7, device="cuda"))
        print("before")
        bad(torch.zeros(2, 8, device="cuda"))
    """)
    assert out == "before\n"
    assert 'train.py", line 6, in <module>' in err
    assert 'train.py", line 4, in bad' in err
    assert "mat1 and mat2 shapes cannot be multiplied (2x8 and 7x5)" in err
    assert "inspector/simulate" not in err
    assert report.exit_code == report.script_exit_code == 1
    assert "cannot be multiplied" in report.error


def test_what_a_script_exits_with(dry):
    text = """
        import os, sys
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
        import torch
        torch.empty(2, device="cuda")
        print(sys.argv[1:], __name__)
        sys.exit(7)
    """
    report, out, _ = dry(text, "--lr", "1e-4")
    assert report.allocator.expandable_segments  # read with the first block, as PyTorch does
    assert out == "['--lr', '1e-4'] __main__\n"
    assert report.exit_code == 7


def test_a_model_that_is_nowhere_is_one_line(dry):
    text = 'from transformers import AutoModel\nAutoModel.from_pretrained("nobody/nothing-7b")'
    with pytest.raises(InspectorError, match=r"nobody/nothing-7b is no bundled model and not on this disk") as caught:
        dry(text)
    assert "`hf download nobody/nothing-7b config.json` once, which is enough" in caught.value.hint


def test_uploads_are_left_out_and_answered(dry):
    report, out, err = dry(
        """
        from huggingface_hub import HfApi, create_repo, hf_hub_download, login, whoami
        from huggingface_hub.errors import EntryNotFoundError
        login("token")
        api = HfApi()
        repo = create_repo("me/quotes", exist_ok=True, private=True)
        print(repo.repo_id, api.create_repo(repo_id="you/more").repo_id, whoami()["name"])
        try:
            hf_hub_download("me/quotes", "README.md")
        except EntryNotFoundError:
            print("no card")
        open("x", "w").write("1")
        print(api.upload_file(path_or_fileobj="x", path_in_repo="x", repo_id="me/quotes").oid[:3])
        print(api.upload_folder(folder_path=".", repo_id="me/quotes").commit_url.split("/commit")[0])
        """
    )
    assert report.script_exit_code == 0, err
    assert out.splitlines() == ["me/quotes you/more me", "no card", "000", "https://huggingface.co/me/quotes"]
    assert {"create_repo: nothing is sent to the hub", "login: nothing is sent to the hub"} <= set(report.skipped)


def test_torchscript_and_lists_of_what_is_on_the_card(dry):
    report, out, err = dry(
        """
        import torch

        @torch.jit.script
        def scaled(x, by: float):
            return x * by + torch.zeros(3, device=x.device).sum()

        layer = torch.jit.trace(torch.jit.script(torch.nn.Linear(3, 4)).cuda(), torch.ones(2, 3).cuda())
        losses = [layer(scaled(torch.ones(2, 3, device="cuda"), 2.0)).mean() for _ in range(3)]
        print(torch.tensor(losses).shape, torch.tensor([losses[:2], [1.0, 2.0]], device="cuda").shape)
        print(torch.tensor([n * 2 for n in torch.arange(3, device="cuda")]).tolist())
        """
    )
    assert report.script_exit_code == 0, err
    assert out == "torch.Size([3]) torch.Size([2, 2])\n[0, 2, 4]\n"
    assert any("torch.jit.script is traced as eager" in line for line in report.assumptions)


UNTIL_FULL = """
    import os, torch

    card = int(os.environ.get("LOCAL_RANK", torch.cuda.device_count() - 1))
    torch.cuda.set_device(card)
    kept = torch.empty(6 * 2**30 + card * 2**22, dtype=torch.uint8, device="cuda")
    for quarters in (8, 80, 12, 16, 20):
        try:
            torch.empty(quarters * 2**28, dtype=torch.uint8, device="cuda")
        except torch.OutOfMemoryError:
            print("FULL", quarters, torch.cuda.memory_reserved())
    print(torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())
"""


def test_a_card_that_refused_bounds_its_report_as_well(dry, tmp_path):
    report, out, _ = dry(UNTIL_FULL, oom=True, keep_events=True)
    full, peaks = out.splitlines()
    assert full == f"FULL 80 {6 * 2**30}"
    assert peaks == f"{report.peak_allocated_bytes} {report.peak_reserved_bytes}"
    assert report.peak_reserved_bytes == 13 * 2**30
    # 3, 4 and 5 GiB after each other, beside 6: cached segments had to go.
    assert report.peaks.gives_back
    assert report.verdict == "tight"
    # What the viewer of PyTorch is given had the same end.
    write_snapshot(tmp_path / "s.json", report.events, report.allocator, capacity=report.capacity)
    held = most = 0
    for entry in json.loads((tmp_path / "s.json").read_text())["device_traces"][0]:
        held += {"segment_alloc": 1, "segment_free": -1}.get(entry["action"], 0) * entry["size"]
        most = max(most, held)
    assert most == report.peak_reserved_bytes


def test_a_card_that_refuses_leaves_the_others_what_they_have_cached(dry):
    report, out, _ = dry(
        """
        import torch

        torch.empty(2**30, device="cuda:0")
        held = torch.empty(2**20, device="cuda:1")
        try:
            torch.empty(2**33, device="cuda:1")
        except torch.OutOfMemoryError:
            torch.empty(2**29, device="cuda:0")
        print(torch.cuda.max_memory_reserved(0))
        """,
        oom=True,
        gpus=2,
    )
    assert int(out) == report.ranks.each[0].peaks.reserved == 2**32
    # Half of what is cached already was asked for: nothing new, unless the other's refusal had emptied it.
    assert report.ranks.each[0].stages[-1].end_reserved == 2**32


def test_a_card_whose_refusal_ends_the_script_is_too_small(dry):
    report, _, _ = dry(
        "import torch\n\nheld = torch.empty(8 * 2**30, dtype=torch.uint8, device='cuda')\nheld.repeat(2)\n", oom=True
    )
    assert report.script_exit_code == report.exit_code == 1
    # What was refused is in no figure, and what was served would fit.
    assert report.margin_bytes > 0
    assert (report.fits, report.verdict, report.verdicts[0].verdict) == (False, "does not fit", "does not fit")
    assert "does not fit: 16,384.0 more were asked for" in printed(report)


def test_a_script_that_broke_fits_so_far(dry):
    report, _, _ = dry("import torch\n\ntorch.empty(2**30, device='cuda')\nraise ValueError\n", gpu="T4")
    assert "fits so far" in printed(report)
    report, _, _ = dry("raise ValueError\n", gpu="T4")
    assert "nothing was put on the card" in printed(report)
    assert "usable on the card" not in printed(report)


@pytest.mark.parametrize("cards", [{"nproc": 2}, {"gpus": 2}])
def test_every_card_that_refused_bounds_what_is_told_of_it(dry, cards):
    report, _, _ = dry(UNTIL_FULL, oom=True, **cards)
    last = report.ranks.each[-1]
    assert last.peaks.reserved == last.reserved_behind_bytes == 13 * 2**30 + 2**22
    assert [each.peaks.allocated for each in report.ranks.each[:-1]] == [11 * 2**30] * ("nproc" in cards) or [0]
    assert report.peak_reserved_bytes == last.peaks.reserved
    assert report.verdict == "tight"


@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="datasets is not installed")
def test_rows_stand_for_every_split_of_a_data_set(dry, tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"text": "{n}"}}\n' for n in range(10)))
    text = """
    import sys
    import torch
    from datasets import load_dataset

    torch.empty(1, device="cuda")
    whole = load_dataset("some/rows")
    print(sorted(whole), len(whole["test"]), len(whole["train_sft"]))
    for split in ("train_sft", "test[:50%]", ["train[:2]", "test"], "train+validation"):
        found = load_dataset("some/rows", split=split)
        print([len(each) for each in found] if isinstance(found, list) else len(found))
    print(type(load_dataset("some/rows", split="train", streaming=True)).__name__)
    """
    report, out, err = dry(text, data={"some/rows": str(tmp_path / "rows.jsonl")})
    assert report.script_exit_code == 0, err
    assert out.splitlines() == ["['test', 'train'] 10 10", "10", "5", "[2, 10]", "20", "IterableDataset"]
    assert "the data set some/rows, split train_sft: the same rows" in report.skipped


@pytest.fixture
def comes(monkeypatch, forked):
    """What comes to the waiting parent as soon as files are there: it is called then. Gives the children."""

    def comes(what, *files):
        start, started = child_process.subprocess.Popen, []

        def interrupted(*args, **kwargs):
            child = start(*args, **kwargs)
            wait = child.wait

            def first(timeout=None):
                while not all(path.is_file() and path.read_text() for path in files):
                    time.sleep(0.01)
                child.wait = wait
                what()
                time.sleep(60)  # until a signal is heard

            child.wait = first
            started.append(child)
            return child

        monkeypatch.setattr(child_process.subprocess, "Popen", interrupted)
        return started

    return comes


def ctrl_c():
    raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["interrupted", "killed", "signalled"])
def test_what_ends_a_run_ends_what_the_script_has_started(how, tmp_path, comes, monkeypatch):
    (tmp_path / "train.py").write_text(
        "import os, time\n"
        "for own in (False, True):\n"
        "    if not os.fork():\n"
        "        own and os.setsid()\n"
        "        open(f'{own}.pid', 'w').write(str(os.getpid()))\n"
        "        time.sleep(5 if own else 100)\n"
        "time.sleep(100)\n"
    )
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / "False.pid", tmp_path / "True.pid"]
    started = comes(ctrl_c if how != "signalled" else lambda: os.kill(os.getpid(), signal.SIGTERM), *files)
    if how == "killed":
        # Who is killed does nothing more, but for the system's closing of its files.
        monkeypatch.setattr(child_process, "_end", lambda *_: None)
        monkeypatch.setattr(child_process, "_kill", lambda _: None)
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with pytest.raises(SystemExit if how == "signalled" else KeyboardInterrupt) as caught:
        run("train.py", write=True, quiet=True)
    if how == "signalled":
        assert caught.value.code == 143
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert list(scratch.iterdir()) == []
    assert started[0].wait(10) < 0 or how != "killed"
    for path in files[: 1 if how == "killed" else 2]:
        stat = Path("/proc", path.read_text(), "stat")
        deadline = time.monotonic() + 10
        # What is dead may wait for its new parent to ask for it.
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("uses", [True, False])
def test_a_script_without_an_end_is_told_up_to_its_time(uses, tmp_path, comes, monkeypatch, capfd):
    """One that lets nothing end it, but for the signal that cannot be caught by ``except``."""
    (tmp_path / "train.py").write_text(
        "import time, torch\n"
        f"x = torch.ones({2**24 * uses}, 256, device='cuda')\n"
        "open('begun', 'w').write('yes')\n"
        "while True:\n"
        "    try:\n"
        "        time.sleep(0.01)\n"
        "    except:\n"
        "        pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(child_process, "GRACE", 0.2)

    def up():
        raise subprocess.TimeoutExpired("python", 7)

    comes(up, tmp_path / "begun")
    code = command(["run", "--gpu", "T4", "--timeout", "7", "--no-advise", "--json", "--write", "train.py"])
    out, err = capfd.readouterr()
    if not uses:
        assert (code, out) == (2, "")
        assert err == "inspector: train.py had put nothing on the card after 7 s\n  give it a longer --timeout\n"
        return
    document = json.loads(out)
    assert code == 1
    assert (document["stopped_after_seconds"], document["script_exit_code"]) == (7, 0)
    assert document["verdict"] == "does not fit"
    assert document["peak_allocated_bytes"] == 2**34


def test_what_a_killed_run_has_left_goes_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with run_folder() as living, run_folder("other-") as other:
        dead, young = tmp_path / "inspector-run-dead", tmp_path / "inspector-run-young"
        for each in (dead, young):
            (each / "0").mkdir(parents=True)
        for each in (living, dead, other):
            os.utime(each, (1, 1))
        with run_folder() as folder:
            assert {*tmp_path.iterdir()} == {living, other, young, folder}
    assert [*tmp_path.iterdir()] == [young]


def test_signals_that_somebody_answers_are_left_to_them(monkeypatch):
    heard = []
    with ends_on_signals():
        with pytest.raises(Signalled) as caught:
            os.kill(os.getpid(), signal.SIGHUP)
        assert caught.value.code == 129
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(True))
    try:
        with ends_on_signals():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [True]


def test_a_config_in_the_cache_is_enough(dry, tmp_path, monkeypatch):
    snapshot = tmp_path / "hub" / "models--nobody--tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(
        '{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "intermediate_size": 64,'
        '"num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 96, "dtype": "bfloat16"}'
    )
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    report, out, err = dry(
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer
        model = AutoModelForCausalLM.from_pretrained("nobody/tiny", device_map="cuda")
        print(len(AutoTokenizer.from_pretrained("nobody/tiny")), model.num_parameters(), model.dtype)
        """
    )
    assert report.script_exit_code == 0, err
    assert out == "96 26784 torch.bfloat16\n"
    assert "the weights of nobody/tiny are not on this machine: their shapes are its config's" in report.assumptions


def test_steps_end_a_training_and_not_the_script(dry):
    text = (
        MODEL
        + """
    from torch.utils.data import DataLoader, TensorDataset
    rows = DataLoader(TensorDataset(torch.randn(64, 1024)), batch_size=8, shuffle=True)
    held = DataLoader(TensorDataset(torch.randn(16, 1024)), batch_size=8)
    model.eval()  # as from_pretrained gives it
    for epoch in range(2):
        for number, (batch,) in enumerate(rows):
            loss = model(batch.cuda()).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            print("EPOCH", epoch, number, loss.item(), sum(len(model(batch.cuda())) for batch, in held))
    for batch, in held:
        model(batch.cuda())  # somebody forgot no_grad
    torch.save(model.state_dict(), "model.pt")
    while True:
        step(16)
    """
    )
    report, out, _ = dry(text, steps=2, assume=["number=2.5"])
    assert out.splitlines() == ["EPOCH 0 1 2.5 16", "EPOCH 1 1 2.5 16"]  # and a loop without a loader ends at its step
    assert report.steps == 4
    assert report.exit_code == 0
    assert any("training after 2 optimizer steps (--steps)" in line for line in report.skipped)
    assert [(each.name, each.times) for each in report.found_stages] == [
        ("load", 1), ("first step", 1), ("steady step", 3), ("evaluation", 2), ("save", 1),
    ]  # fmt: skip
    for wrong in ("number", "colour=1", "mask=maybe"):
        with pytest.raises(InspectorError):
            dry(text, assume=[wrong])


def test_a_notebook_is_run_cell_by_cell(tmp_path, capfd, forked):
    cells = [["!pip install torch\n", "import torch"],
             ["from google.colab import drive\n", "from getpass import getpass\n", "drive.mount('/content/drive')\n",
              "display(bool(getpass('Token: ')), input('Name? '))"],
             ["x = torch.zeros(256, device='cuda')\n", "print(x.device)"],
             ["1 / 0"]]  # fmt: skip
    path = tmp_path / "week7.ipynb"
    rows = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells]
    path.write_text(json.dumps({"cells": rows, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    report = inspector.run(path, gpu="T4")
    out, err = capfd.readouterr()
    assert out == "Name? \nTrue\n\ncuda:0\n"
    assert f'File "{path}, cell 4", line 1, in <module>\n    1 / 0' in err
    assert "ZeroDivisionError" in err
    assert any("pip install" in line for line in report.skipped)
    assert report.lines_at_peak[0].name == "week7.ipynb, cell 3:1"


def test_a_fault_of_ours_is_not_the_script_s(dry):
    with pytest.raises(OurFaultError):
        dry("""
            import torch
            from inspector.simulate.script.child.card_tracer import CardTracer
            CardTracer._made = 5
            torch.zeros(2, device="cuda")
        """)


def test_the_command_prints_the_script_s_lines_and_then_json(tmp_path, capfd):
    path = tmp_path / "train.py"
    path.write_text("import torch\nprint('MINE', torch.zeros(2, device='cuda').sum().item())\n")
    assert command(["run", "--gpu", "T4", "--json", str(path), "--an-option", "of-the-script"]) == 0
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert document["format"] == "inspector.script"
    assert "MINE 0.0" in err
    assert document["verdict"] == "fits"

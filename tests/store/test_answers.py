"""Kept dry runs: the same answer as a fresh one, no torch to give it, never one of other code, never a damaged one."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.cli.main import run
from inspector.errors import CannotSimulateError
from inspector.fit.simulator import Simulator
from inspector.gpus import card_of_size, find_gpu
from inspector.simulate.finetuning import finetune
from inspector.simulate.generation import simulate_generate
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.store import answers as kept
from inspector.store import freshness, skeletons
from inspector.store.entries import drop_oldest, store_folder
from inspector.store.plain_data import from_plain, to_plain
from inspector.store.skeletons import ROOMS, skeleton_entry

TINY = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4000,
    "dtype": "bfloat16",
}  # fmt: skip
COMMANDS = (
    ["simulate", "finetune", "MODEL", "--gpu", "T4", "--seq-len", "128"],
    ["simulate", "finetune", "MODEL", "--vram", "530MiB", "--method", "full", "--seq-len", "512", "--batch-size", "8"],
    ["simulate", "generate", "MODEL", "--prompt-len", "64", "--gpu", "T4"],
    ["fit", "MODEL", "--gpu", "T4", "--gpu", "L4", "--seq-len", "64"],
)
LATER = """
import contextlib, io, json, sys
from inspector.cli.main import run
for args in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(args)
    print(json.dumps([code, out.getvalue(), err.getvalue(), "torch" in sys.modules]))
"""
"""A process that comes later answers commands, and says of each whether torch is imported by then."""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TINY))
    return str(path)


def entries():
    return sorted((store_folder() / kept.KIND).glob("*.json"))


def test_the_second_answer_is_the_first_without_torch(model, capsys):
    asked = [[model if part == "MODEL" else part for part in args] for args in COMMANDS]
    first = []
    for args in asked:
        before = len(entries())
        code = run([*args, "--json"])
        first.append((code, capsys.readouterr().out))
        assert code in {0, 1}
        assert first[-1][1]
        assert len(entries()) > before, "it was simulated"
    # The form it is printed in is not part of the question.
    again = json.dumps([*([*args, "--json"] for args in asked), *asked])
    done = subprocess.run([sys.executable, "-c", LATER], input=again, capture_output=True, text=True, check=True)
    later = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(code, out) for code, out, *_ in later[: len(asked)]] == first
    assert [code for code, *_ in later[len(asked) :]] == [code for code, _ in first]
    assert [(err, torch) for *_, err, torch in later] == [("", False)] * 2 * len(asked)


def test_a_kept_report_equals_a_fresh_one(monkeypatch, tmp_path):
    options = {"method": "lora", "r": 4, "target_modules": ("q_proj",), "seq_len": 64, "grad_clip": 1.0}
    first, second = (finetune(TINY, **options) for _ in range(2))
    assert second == first
    assert second.timeline[0] == first.timeline[0]
    assert len(entries()) == 1
    monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path / "another"))
    assert finetune(TINY, **options) == first


def test_who_set_what_and_the_model_s_name_are_not_part_of_the_question():
    default = finetune(TINY, seq_len=64)
    said = finetune({**TINY}, seq_len=64, r=8)
    assert len(entries()) == 1
    assert said.settings["r"] == {"value": 8, "set_by": "you"}
    assert default.settings["r"] == {"value": 8, "set_by": "library"}


def test_a_kept_generation_equals_a_fresh_one(model):
    first, second = (simulate_generate(model, gpu=find_gpu("T4"), prompt_len=32) for _ in range(2))
    assert second == first
    assert len(entries()) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * 200, b"\xff\xfe"])
def test_a_damaged_entry_is_made_again_and_said_so(content, caplog):
    setup, card = resolve_setup(seq_len=64).settings, find_gpu("T4")
    first = Simulator(TINY, card).peaks(setup)
    (entry,) = entries()
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-20] + content)
    assert Simulator(TINY, card).peaks(setup) == first
    assert "damaged" in caplog.text
    assert entry.read_bytes() == whole


def test_an_entry_of_another_sort_counts_as_damaged(caplog):
    assert kept.answered(("question",), int, lambda: 3) == 3
    assert kept.answered(("question",), str, lambda: "three") == "three"
    assert "no answer of a dry run" in caplog.text


def test_a_refusal_is_not_kept():
    settings = resolve_setup(method="lora", target_modules=("nowhere",), seq_len=64).settings
    with pytest.raises(CannotSimulateError, match="match nothing"):
        Simulator(TINY, find_gpu("T4")).peaks(settings)
    assert entries() == []


def test_other_code_and_other_libraries_make_other_entries(tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "inner").mkdir(parents=True)
    (package / "inner" / "code.py").write_text("a = 1\n")
    seen = {freshness.source_of.__wrapped__(package=package)}
    (package / "inner" / "code.py").write_text("a = 2\n")
    seen.add(freshness.source_of.__wrapped__(package=package))
    (package / "inner" / "code.py").rename(package / "code.py")
    seen.add(freshness.source_of.__wrapped__(package=package))
    assert len(seen) == 3

    names = {freshness.entry_name(("question",))}
    monkeypatch.setattr(freshness, "source_of", lambda: "other code")
    names.add(freshness.entry_name(("question",)))
    (tmp_path / "kernels-0.1.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(freshness, "installed", freshness.installed.__wrapped__)
    names.add(freshness.entry_name(("question",)))
    assert len(names) == 3
    assert any(name.startswith("torch-") for name in freshness.installed())


def test_what_setuptools_brings_along_is_not_installed(tmp_path, monkeypatch):
    """It is on the path of whoever has imported it: the same question would have another name there."""
    before = freshness.installed.__wrapped__()
    for folder, counts in (("setuptools/_vendor", False), ("more", True)):
        (tmp_path / folder / "thing-1.0.dist-info").mkdir(parents=True)
        monkeypatch.syspath_prepend(str(tmp_path / folder))
        assert (freshness.installed.__wrapped__() != before) is counts


def test_every_setting_and_fact_of_the_card_is_part_of_the_question():
    setup, card = resolve_setup().setup, find_gpu("T4")
    questions = [
        ("outcome", TINY, setup, card),
        ("outcome", {**TINY, "num_hidden_layers": 3}, setup, card),
        ("outcome", TINY, resolve_setup(r=16).setup, card),
        ("outcome", TINY, setup, card_of_size("16GiB")),
        ("finetune", TINY, setup, card),
    ]
    assert len({freshness.entry_name(question) for question in questions}) == len(questions)


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path / "file"))
    assert [kept.answered((number,), int, lambda: 7) for number in range(3)] == [7, 7, 7]
    assert caplog.text.count("not cached") == 1


def test_the_longest_unused_entries_go_first(tmp_path):
    for number in range(10):
        (tmp_path / f"{number}.json").write_bytes(b"x" * 10_000)
        os.utime(tmp_path / f"{number}.json", (number, number))
    drop_oldest(tmp_path, 35_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7.json", "8.json", "9.json"]
    drop_oldest(tmp_path / "missing", 35_000)


def test_what_is_asked_again_is_used_again():
    kept.answered(("question",), int, lambda: 7)
    (entry,) = entries()
    os.utime(entry, (1, 1))
    kept.answered(("question",), int, lambda: 7)
    assert entry.stat().st_mtime > 1


def test_only_our_own_classes_are_kept():
    with pytest.raises(KeyError):
        from_plain({"Popen": ["true"]})
    for name in ("subprocess.Popen", "os.system", "cli.main.run", "fit.simulator.replay", "fit.simulator.Peaks"):
        with pytest.raises(KeyError):
            from_plain({name: ["true"]})
    with pytest.raises(ValueError, match="unpack"):
        from_plain({"simulate.on_card.Peaks": [], "gpus.Gpu": []})
    card = find_gpu("T4")
    assert from_plain(json.loads(json.dumps(to_plain(card)))) == card


def test_a_skeleton_is_named_by_all_the_code_that_makes_it():
    """Every module that the building of a skeleton imports lies in one of the rooms that name its entry."""
    package = freshness.PACKAGE

    def file_of(module):
        at = package.joinpath(*module.split(".")[1:])
        return at / "__init__.py" if at.is_dir() else at.with_suffix(".py")

    files, ahead = set(), [file_of("inspector.architecture")]
    while ahead:
        if (file := ahead.pop()) not in files:
            files.add(file)
            nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
            ahead += [file_of(node.module) for node in nodes if node.module.startswith("inspector.")]
    assert len(files) > 10
    assert files <= {file for room in ROOMS for file in package.glob(room)}


def test_a_skeleton_of_other_code_is_another_entry(monkeypatch):
    """Also where nobody counted a version up: what is built follows the source that builds it."""
    names = {skeleton_entry(TINY)}
    real = Path.read_bytes

    def changed(path):
        return real(path) + b"#" * (path.name == "parts.py")

    monkeypatch.setattr(Path, "read_bytes", changed)
    monkeypatch.setattr(freshness, "source_of", freshness.source_of.__wrapped__)
    names.add(skeleton_entry(TINY))
    assert len(names) == 2


def test_kept_skeletons_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(skeletons, "LIMIT_BYTES", 10_000)
    for layers in range(1, 5):
        skeletons.kept_skeleton({**TINY, "num_hidden_layers": layers}, "tiny", "here")
    assert 1 <= len(list((store_folder() / "skeletons").iterdir())) <= 3

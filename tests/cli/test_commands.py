"""What a user types, and what comes back: golden pages, JSON keys others rely on, CSV, exit codes."""

import csv
import io
import json
import os
import subprocess
import sys

import click
import pytest

from inspector.cli.main import COMMANDS, cli, run

PAGES = {
    "layers-llama-3.1-8b.txt": ["layers"],
    "layers-llama-3.2-1b-tied.txt": ["layers", "llama-3.2-1b"],
    "layers-qwen3-next-hybrid.txt": ["layers", "qwen3-next-80b-a3b-instruct", "--depth", "4"],
    "layers-gemma-3-4b-multimodal.txt": ["layers", "gemma-3-4b-it", "--depth", "4"],
    "layers-filter.txt": ["layers", "--filter", "*_proj"],
    "memory-llama-3.1-8b.txt": ["memory"],
    "memory-4-bits.txt": ["memory", "--bits", "4"],
    "memory-by-layer-moe.txt": ["memory", "qwen3-30b-a3b", "--scheme", "nf4-dq", "--by", "layer"],
    "lora-llama-3.1-8b.txt": ["lora"],
    "lora-experts.txt": ["lora", "qwen3-30b-a3b", "--r", "8"],
}


@pytest.mark.pinned  # another transformers than the bundled skeletons' adds a note
@pytest.mark.parametrize("name", PAGES)
def test_pages(name, golden, capsys):
    assert run(PAGES[name]) == 0
    golden(name, capsys.readouterr().out)


@pytest.mark.pinned
@pytest.mark.parametrize("name", ["memory-4-bits.txt", "layers-llama-3.1-8b.txt", "lora-llama-3.1-8b.txt"])
def test_a_terminal_of_40_columns_loses_no_digit(name, golden, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert run(PAGES[name]) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 40
    assert "…" not in page
    golden(f"narrow-{name}", page)


def answer(capsys, *args):
    assert run([*args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_layers_json_has_the_keys_others_rely_on(capsys):
    data = answer(capsys, "layers")
    assert (data["format"], data["version"]) == ("inspector.layers", 1)
    assert data["model"] == "meta-llama/Llama-3.1-8B"
    assert data["num_parameters"] == data["num_active_parameters"] == 8_030_261_248
    (layers,) = data["decoder_layers"]
    assert layers == {"path": "model.layers", "class": "LlamaDecoderLayer", "count": 32, "first": 0, "last": 31}
    assert {"path", "class", "parameters"} <= set(data["modules"][0])


def test_memory_json_has_the_keys_others_rely_on(capsys):
    data = answer(capsys, "memory", "--bits", "4")
    first = data["schemes"][0]
    assert first["scheme"] == "nf4-dq"
    assert first["bits"] == 4
    assert first["naive_bytes"] == 4_015_130_624
    assert first["footprint_bytes"] == 5_591_540_224
    assert first["tensor_bytes"] == 5_702_540_672
    assert first["allocated_bytes"] == 5_702_756_352
    assert first["coverage"] == pytest.approx(0.869, abs=1e-3)
    assert all(isinstance(first[key], int) for key in first if key.endswith("_bytes"))


def test_lora_json_has_the_keys_others_rely_on(capsys):
    data = answer(capsys, "lora", "--r", "32", "--target-modules", "q_proj,k_proj,v_proj,o_proj")
    (row,) = data["rows"]
    assert row["target_modules"] == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert (row["r"], row["trainable_parameters"]) == (32, 27_262_976)
    assert isinstance(row["adapter_file_bytes"], int)
    assert row["target_set"]


@pytest.mark.parametrize("command", ["layers", "memory", "lora"])
def test_csv_has_the_rows_of_the_table(command, capsys):
    assert run([command, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) > 5
    assert run([command, "--csv", "--json"]) == 2


def every_command():
    for name in COMMANDS:
        command = cli.get_command(None, name)
        subcommands = command.list_commands(None) if isinstance(command, click.Group) else [None]
        yield from ([name, each] if each else [name] for each in subcommands)


@pytest.mark.parametrize("command", [[], *every_command()], ids=" ".join)
def test_help_has_examples(command, capsys):
    assert run([*command, "--help"]) == 0
    page = capsys.readouterr().out
    assert "Examples:" in page
    assert "Usage: inspector" in page


def test_models_lists_all_and_filters(capsys):
    assert run(["models"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 166
    assert run(["models", "QWEN3-30B"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert run(["models", "nothing like it"]) == 2


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("META-LLAMA/llama-3.1-8b", "meta-llama/Llama-3.1-8B"),
        ("llama-3.1-8b", "meta-llama/Llama-3.1-8B"),
        ("3.1-405b", "meta-llama/Llama-3.1-405B"),
        ("gpt2", "openai-community/gpt2"),
    ],
)
def test_a_model_is_found_by_id_in_any_case_and_by_a_unique_ending(name, model, capsys):
    assert answer(capsys, "layers", name)["model"] == model


def test_completion_offers_the_bundled_names():
    environment = {
        "_INSPECTOR_COMPLETE": "bash_complete",
        "COMP_WORDS": "inspector layers llama-3.1-8",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [sys.executable, "-c", "from inspector.cli.main import main; main()"],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["plain,meta-llama/Llama-3.1-8B", "plain,meta-llama/Llama-3.1-8B-Instruct"]


def test_low_coverage_is_red(monkeypatch, capsys):
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run(["memory", "qwen3-30b-a3b", "--bits", "4"]) == 0
    assert "\x1b[31m" in capsys.readouterr().out
    assert run(["memory", "llama-3.1-8b", "--bits", "4"]) == 0
    figures = capsys.readouterr().out.partition("why")[0]
    assert "\x1b[31m" not in figures

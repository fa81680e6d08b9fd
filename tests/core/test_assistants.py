"""What an assistant is given: the skill's commands are real, and the tools answer as the command line does."""

import inspect
import json
import re
import shlex
import sys
import tomllib
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import click
import pytest

from inspector.cli.main import cli, run
from inspector.errors import LibraryError
from inspector.mcp import tools
from inspector.mcp.server import make_server

ROOT = Path(__file__).parents[2]
SKILL = (ROOT / "skills" / "inspector" / "SKILL.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"`(inspector [^`]*--json[^`]*)`", SKILL)
QUICK = ("layers", "memory", "lora", "compare", "lab")


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.split()[1] in QUICK])
def test_commands_of_the_skill_answer(line, capsys):
    assert run(shlex.split(line)[1:]) == 0
    assert json.loads(capsys.readouterr().out)["format"].startswith("inspector.")


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.split()[1] not in (*QUICK, "COMMAND")])
def test_long_commands_of_the_skill_are_understood(line):
    words = shlex.split(line)[1:]
    command = cli
    while hasattr(command, "commands") or hasattr(command, "names"):
        command = command.get_command(None, words.pop(0))
    # What stands behind a script is its own. Without the program above it a command would keep another help option.
    program = click.Context(cli, **cli.context_settings)
    assert command.make_context("inspector", words, parent=program, resilient_parsing=False)


def test_the_skill_has_a_name_and_says_when_to_use_it():
    head = re.match(r"---\nname: ([a-z-]+)\ndescription: (.+)\n---\n", SKILL)
    assert head
    assert len(head[2]) < 1024


@pytest.mark.parametrize(
    ("tool", "arguments", "line"),
    [
        (tools.memory, {"model": "llama-3.2-1b", "bits": 4}, "memory llama-3.2-1b --bits 4"),
        (tools.memory, {"model": "gpt2", "scheme": "gguf:q4_k_m"}, "memory gpt2 --scheme gguf:q4_k_m"),
        (tools.layers, {"model": "gpt2", "pattern": "c_*"}, "layers gpt2 --filter c_*"),
        (tools.lora, {"model": "gpt2", "r": 4}, "lora gpt2 --r 4 --target-modules attention"),
    ],
)
def test_a_tool_answers_as_the_command(tool, arguments, line, capsys):
    assert run([*shlex.split(line), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert json.loads(json.dumps(tool(**arguments))) == {
        k: v for k, v in said.items() if k not in {"format", "version"}
    }


def test_every_tool_says_what_each_argument_is():
    for tool in tools.TOOLS:
        told = inspect.getdoc(tool)
        assert all(f"\n    {name}: " in told for name in inspect.signature(tool).parameters), tool.__name__


def test_simulate_hands_on_every_setting(monkeypatch):
    asked = {}

    class Report:
        def to_dict(self):
            return {}

    class Model:
        def finetune(self, **said):
            asked.update(said)
            return Report()

    monkeypatch.setattr(tools.inspector, "load", lambda _model: Model())
    tools.simulate("m", "T4", "full", settings={"optimizer": "sgd"})
    assert asked == {"method": "full", "batch_size": 1, "seq_len": 2048, "gpu": "T4", "optimizer": "sgd"}
    tools.simulate("m", "T4", settings={"r": 64})
    assert asked["r"] == 64


def test_without_the_sdk_it_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(LibraryError, match=r"llm-inspector\[mcp\]"):
        make_server()


def test_with_the_sdk_tools_are_listed_and_mistakes_are_told():
    pytest.importorskip("mcp.server", reason="the extra `mcp` is not installed")
    import asyncio

    from mcp.server.mcpserver.exceptions import ToolError

    server = make_server()
    listed = asyncio.run(server.list_tools())
    assert [tool.name for tool in listed] == [tool.__name__ for tool in tools.TOOLS]
    answer = asyncio.run(server.call_tool("memory", {"model": "llama-3.1-8b", "bits": 4}))
    assert answer.structured_content["schemes"][0]["footprint_bytes"] == 5591540224
    with pytest.raises(ToolError, match="nope-9b"):
        asyncio.run(server.call_tool("memory", {"model": "nope-9b"}))
    with pytest.raises(ToolError, match="no setting is named 'nope'"):
        asyncio.run(server.call_tool("simulate", {"model": "gpt2", "gpu": "T4", "settings": {"nope": 1}}))


def test_scripts_are_there():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    # The hub's command line runs `hf-<name>` as `hf <name>` (huggingface_hub/cli/extensions.py).
    assert scripts.keys() == {"inspector", "inspector-mcp", "hf-inspector"}
    for target in scripts.values():
        module, _, name = target.partition(":")
        assert callable(getattr(import_module(module), name))


def test_the_hub_s_command_line_runs_it_as_its_extension(tmp_path, monkeypatch, capfd):
    """As `hf extensions install` leaves it: a manifest, and the script that pyproject.toml names."""
    extensions = pytest.importorskip("huggingface_hub.cli.extensions")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, name = scripts["hf-inspector"].partition(":")
    monkeypatch.setattr(extensions, "EXTENSIONS_ROOT", tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_UPDATE_CHECK", True)
    place = tmp_path / "hf-inspector"
    place.mkdir()
    script = place / "run"
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import {name}\nsys.exit({name}())\n")
    script.chmod(0o755)
    extensions.ExtensionManifest(
        owner="o", repo="hf-inspector", repo_id="o/hf-inspector", short_name="inspector", executable_path=str(script),
        type="python", installed_at=datetime.now(UTC),
    ).save(place)  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    run_by_hub = extensions.dispatch_unknown_top_level_extension
    assert run_by_hub(["inspector", "memory", "llama-3.1-8b", "--bits", "4", "--json"], {"download"}) == 0
    assert json.loads(capfd.readouterr().out)["schemes"][0]["footprint_bytes"] == 5591540224
    assert run_by_hub(["inspector", "memory", "nope-9b"], {"download"}) == 2
    assert capfd.readouterr().err.startswith("inspector: no bundled model")

"""Completion installed into a home of its own: twice, beside what the user has there, for every shell."""

import shutil
import subprocess

import pytest

from inspector.cli.completion.install import MARK, add_line, places
from inspector.cli.main import COMMANDS, run


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_line_is_there_once_and_the_users_own_stay(home, shell, monkeypatch, capsys):
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    start = home / f".{shell}rc"
    start.write_text("alias ll='ls -l'")
    assert run(["completion", "install"]) == 0
    once = start.read_text()
    assert run(["completion", "install"]) == 0
    assert start.read_text() == once
    assert once.splitlines()[0] == "alias ll='ls -l'"
    assert once.count(MARK) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"~/.local/share/llm-inspector/completion.{shell}",
        f"~/.{shell}rc",
    ]
    if program := shutil.which(shell):
        subprocess.run([program, "-n", places(shell)[0]], check=True)


def test_bash_completes_after_it(home):
    """The function of the script is the one that bash has for the command once its start file was read."""
    assert run(["completion", "install", "--shell", "bash"]) == 0
    said = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", "source ~/.bashrc; complete -p inspector"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "_inspector_completion" in said.stdout


def test_an_older_line_of_ours_is_replaced(tmp_path):
    start = tmp_path / ".bashrc"
    start.write_text(f"source /old/place  {MARK}\nexport A=1\n")
    assert add_line(start, f"source /new/place  {MARK}")
    assert start.read_text() == f"export A=1\nsource /new/place  {MARK}\n"


def test_folders_of_the_desktop_are_kept_to(home, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert places("fish") == (home / "c" / "fish" / "completions" / "inspector.fish", None)
    assert places("zsh")[0] == home / ".local" / "share" / "llm-inspector" / "completion.zsh"


def test_another_shell_is_one_line(home, monkeypatch, capsys):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert run(["completion", "install"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == "inspector: no completion for tcsh"


def test_the_manual_page_has_every_command_and_no_line_that_man_would_take_for_its_own(home, capsys):
    assert run(["completion", "man"]) == 0
    assert capsys.readouterr().out == "~/.local/share/man/man1/inspector.1\n"
    page = (home / ".local" / "share" / "man" / "man1" / "inspector.1").read_text()
    known = {".TH", ".SH", ".B", ".PP", ".TP", ".nf", ".fi"}
    assert {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))} == known
    for name in COMMANDS:
        assert f"\n.SH {name.upper()}".replace("-", r"\-") in page
    assert r"\-\-load\-in\-4bit" in page or r"\-\-target\-modules" in page
    if program := shutil.which("groff"):
        done = subprocess.run(
            [program, "-man", "-Tascii", "-ww"], input=page, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""

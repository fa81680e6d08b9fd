"""Every console block of the README and of the site's pages runs, and its output is the real output."""

import hashlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from inspector.cli.main import run

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import script_advice  # noqa: E402

README = ROOT / "README.md"
BLOCK = re.compile(r"```console\n\$ (inspector .*)\n((?:.*\n)*?)```\n")


def blocks(text):
    return BLOCK.findall(text)


PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
WITH_BLOCKS = {page.relative_to(ROOT).as_posix(): page for page in PAGES if blocks(page.read_text(encoding="utf-8"))}


def written_anew(text, outputs):
    """A page with the real outputs in its blocks, abridged ones left alone: what `--update-golden` writes."""
    parts = iter(outputs)

    def block(match):
        output = next(parts)
        return f"```console\n$ {match[1]}\n{match[2] if '...' in match[2] else output}```\n"

    return BLOCK.sub(block, text)


def shows(shown, real):
    """Whether a block shows an output; `...` stands for anything left out, blanks that end a line for none."""
    shown, real = ("\n".join(line.rstrip() for line in text.split("\n")) for text in (shown, real))
    return re.fullmatch(re.escape(shown).replace(re.escape("..."), "(?s:.*)"), real) is not None


@pytest.fixture
def printed(once, kept_answers, forked, capfd, monkeypatch):
    """What a command prints in the project's folder: several pages may ask the same."""
    monkeypatch.chdir(ROOT)

    def printed(command):
        def make(folder):
            assert run(shlex.split(command)[1:]) in {0, 1}, command
            (folder / "printed").write_text(capfd.readouterr().out, encoding="utf-8")

        name = "block-" + hashlib.sha256(command.encode()).hexdigest()[:16]
        return (once(name, make) / "printed").read_text(encoding="utf-8")

    return printed


@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_console_blocks_show_the_real_output(name, printed, request):
    page = WITH_BLOCKS[name]
    text = page.read_text(encoding="utf-8")
    outputs = [printed(command) for command, _ in blocks(text)]
    if request.config.getoption("--update-golden"):
        page.write_text(written_anew(text, outputs), encoding="utf-8")
        text = page.read_text(encoding="utf-8")
    for (command, shown), real in zip(blocks(text), outputs, strict=True):
        assert shows(shown, real), f"{command} printed:\n{real}"


def test_there_are_blocks_to_check():
    assert len(blocks(README.read_text(encoding="utf-8"))) >= 4
    assert len(WITH_BLOCKS) > 12


@pytest.mark.parametrize("target", ["report", "test", "docs"])
def test_the_commands_are_in_the_makefile(target):
    assert f"make {target}" in README.read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_ci_runs_lint_and_types_then_the_command_the_readme_names():
    words = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in words if line.startswith("make")] == ["make check", "make test"]
    assert "set -euo pipefail" in words


def test_the_table_of_advice_is_of_this_script_and_these_libraries(printed):
    """Its runs are too many for a test; the run that it advises on is the block above it."""
    text = script_advice.PAGE.read_text(encoding="utf-8")
    (found,) = script_advice.TABLE.finditer(text)
    assert found["of"] == script_advice.made_of(), "stale: run make script-advice"
    assert found["table"].startswith(script_advice.BEGINS)
    # What a change leaves is less than what the script needs as it is.
    whole = re.search(
        r"whole process +([\d,.]+)", printed(f"inspector run --gpu T4 --no-advise {script_advice.SCRIPT}")
    )
    needs = float(whole[1].replace(",", ""))
    left = [float(number.replace(",", "")) for number in re.findall(r"(?<= )[\d,]+\.\d(?= )", found["table"])]
    assert max(left) < needs

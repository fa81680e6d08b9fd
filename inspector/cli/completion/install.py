"""`inspector completion install`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from inspector.errors import InspectorError

SHELLS = ("bash", "zsh", "fish")
MARK = "# inspector's completion"


@click.command("install")
@click.option("--shell", type=click.Choice(SHELLS), help="The shell; left out, the one that $SHELL names.")
def command(shell: str | None) -> None:
    """Install completion for a shell: bash, zsh or fish.

    A script is written, and for bash and zsh one line that reads it to .bashrc or .zshrc. Done
    again, the script is written anew and the line stays one. New shells have it.

    \b
    Examples:
      inspector completion install
      inspector completion install --shell fish
    """  # noqa: D301
    from inspector.files import write_output

    chosen = shell or shell_of(os.environ.get("SHELL", ""))
    script, start = places(chosen)
    write_output(script, script_of(chosen))
    click.echo(short(script))
    if start is not None and add_line(start, f"{_READ[chosen].format(path=shlex.quote(str(script)))}  {MARK}"):
        click.echo(short(start))


_READ = {
    "bash": "source {path}",
    # click's script calls `compdef`, which is there once compinit ran.
    "zsh": "(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit; }}; source {path}",
}


def shell_of(path: str) -> str:
    """The shell of ``$SHELL``. Raises InspectorError for one that click writes no script for."""
    name = Path(path).name
    if name not in SHELLS:
        told = f"no completion for {name}" if name else "$SHELL says no shell"
        raise InspectorError(told, hint=f"--shell {', '.join(SHELLS[:-1])} or {SHELLS[-1]}")
    return name


def places(shell: str) -> tuple[Path, Path | None]:
    """Where the script goes, and the file that reads it when a shell starts; fish reads its folder by itself."""
    home = Path.home()
    if shell == "fish":
        return _folder("XDG_CONFIG_HOME", home / ".config") / "fish" / "completions" / "inspector.fish", None
    script = data_folder() / "llm-inspector" / f"completion.{shell}"
    return script, home / ".bashrc" if shell == "bash" else _folder("ZDOTDIR", home) / ".zshrc"


def script_of(shell: str) -> str:
    """The script that click makes for a shell."""
    from click.shell_completion import get_completion_class

    from inspector.cli.main import cli

    made = get_completion_class(shell)
    assert made is not None
    # Not its `source()`: for bash that starts a bash to ask for its version.
    template = made(cli, {}, "inspector", "_INSPECTOR_COMPLETE")
    return template.source_template % template.source_vars()


def add_line(path: Path, line: str) -> bool:
    """Append our line to a file that is the user's, unless it is there; an older one of ours is replaced."""
    from inspector.files import write_output

    try:
        before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise InspectorError(f"cannot read {path}: {error}", hint=f"add this line to it: {line}") from None
    if line in before:
        return False
    kept = [each for each in before if not each.endswith(MARK)]
    write_output(path, "\n".join([*kept, line]) + "\n")
    return True


def data_folder() -> Path:
    """Where a user's own data goes, by the XDG specification."""
    return _folder("XDG_DATA_HOME", Path.home() / ".local" / "share")


def _folder(name: str, otherwise: Path) -> Path:
    said = os.environ.get(name, "")
    # The XDG specification ignores relative paths.
    return Path(said) if Path(said).is_absolute() else otherwise


def short(path: Path) -> str:
    """A path as people write it."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)

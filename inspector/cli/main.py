"""The command line: a lazy group of commands and the one place where errors become a line and an exit code."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
from pathlib import Path

import click

from inspector.errors import BAD_INPUT, OUR_FAULT, InspectorError, closest

COMMANDS = (
    "layers",
    "memory",
    "lora",
    "simulate",
    "run",
    "fit",
    "serving",
    "check",
    "diff-runs",
    "validate",
    "compare",
    "report",
    "chart",
    "replay",
    "config",
    "explain",
    "measure",
    "measurements",
    "lab",
    "doctor",
    "checkpoint",
    "adapter",
    "diff",
    "table",
    "models",
    "completion",
)
"""In the order of the help page. Each is `inspector.cli.<name>.command`, imported when it is called."""


class LazyGroup(click.Group):
    """A group whose commands are modules, imported only when one is run or the help page lists them."""

    def __init__(
        self, *args: object, package: str = "inspector.cli", names: tuple[str, ...] = (), **kwargs: object
    ) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.package = package
        self.names = names

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order of the help page."""
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, imported now; None for an unknown one."""
        if cmd_name not in self.names:
            return None
        command: click.Command = importlib.import_module(f"{self.package}.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest commands named for an unknown one."""
        # What begins with a dash is an option: click's own parser tells unknown ones (`Group.resolve_command`).
        if args and args[0] not in self.names and not args[0].startswith("-"):
            close = closest(args[0], self.names, most=2)
            hint = f"did you mean {' or '.join(close)}?" if close else f"commands: {', '.join(self.names)}"
            raise InspectorError(f"no command is named {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)


@click.command(
    cls=LazyGroup,
    names=COMMANDS,
    # At click's own 80 columns (click/formatting.py) half the options of a dry run would take two lines of help.
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="MODEL is a bundled name such as llama-3.1-8b (`inspector models` lists them), a folder, a config.json, "
    "safetensors or GGUF files, or a hub id.",
)
@click.version_option(package_name="llm-inspector", prog_name="inspector")
def cli() -> None:
    """The truth about the memory of a language model, before anyone pays for a GPU.

    \b
    Examples:
      inspector layers meta-llama/Llama-3.1-8B     what it is made of
      inspector memory --bits 4                    what its weights take, to the byte
      inspector lora --r 32                        what its adapters take
      inspector simulate finetune --gpu T4         will this fine-tune fit, and what to change if not
      inspector measure --layers 2                 build it for real and weigh it
      inspector report                             all of it as a page to teach from
    """  # noqa: D301 -- \b is click's mark for a block that must not be wrapped


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 the answer is no, 2 what the user can mend, 70 a fault of ours."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # the hub is asked for files, and told nothing of who asks
    # What importing torch and tracing a step make lives to the end, and each collection walks through all of it: with
    # Python's own thresholds (700, 10, 10) that is a fifth of a dry run's time, with a hundred thousand still a
    # twentieth. Here the process is our own.
    gc.set_threshold(1_000_000, 20, 50)
    sys.exit(run(args))


def run(args: list[str] | None = None) -> int:
    """Run the command line and return its exit code. A user's mistake is one line; a fault of ours is a traceback."""
    _log_to_stderr()
    if sys.stdout is None:  # a shell's `>&-`: Python has none at all then
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 -- open until the process ends
    try:
        # Standalone, click would print errors in its own words and exit by itself, and none would reach `_told`.
        code = cli.main(args=args, prog_name="inspector", standalone_mode=False)
        sys.stdout.flush()  # here a full disk can still be told; at exit it is Python that complains
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 -- the one place where every error ends
        code = _told(error)
        if code in {BAD_INPUT, OUR_FAULT}:
            _keep(error, sys.argv[1:] if args is None else args, code)
        return code
    return code if isinstance(code, int) else 0


def _keep(error: BaseException, words: list[str], code: int) -> None:
    """Keep what was said for `inspector doctor --report`; that it cannot be kept is told to nobody."""
    import contextlib
    import traceback

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return
    with contextlib.suppress(Exception):  # a fault in here must not take the place of what was wrong
        from inspector.store.last_error import keep_error

        said = f"{error.message}\n{error.hint}" if isinstance(error, InspectorError) else ""
        if isinstance(error, click.ClickException):
            said = error.format_message()
        keep_error(words, code, said.strip() or "".join(traceback.format_exception(error)))


def _told(error: BaseException) -> int:
    """Say what went wrong, and return the exit code."""
    if isinstance(error, InspectorError):
        complain(error.message, error.hint)
        return error.exit_code
    if isinstance(error, click.ClickException):
        _bad_use(error)
        return BAD_INPUT
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        complain("interrupted")
        return 130  # as a shell says it of what Ctrl-C ended: 128 and the number of SIGINT
    if isinstance(error, BrokenPipeError):
        _close_output()  # the reader has seen enough (`inspector layers | head`)
        return 0
    # Any other OSError that comes this far was not foreseen, so it is a fault of ours and shows its traceback.
    if isinstance(error, OSError) and error.errno in _CANNOT_TAKE:
        _close_output()
        complain(f"cannot write the answer: {error.strerror}", "make room, or write it elsewhere")
        return BAD_INPUT
    if isinstance(error, MemoryError):
        complain("this machine's memory does not suffice", "close other programs, or ask a machine with more")
        return BAD_INPUT
    missing = error.name.partition(".")[0] if isinstance(error, ModuleNotFoundError) and error.name else ""
    # A module of our own that is not there is a fault of ours.
    if missing and missing != "inspector":
        complain(f"{missing} does not import: {error}", f"pip install {missing}")
        return BAD_INPUT
    _show_our_fault(error)
    return OUR_FAULT


def _bad_use(error: click.ClickException) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # its message is the help text, many lines
        click.echo(error.format_message(), err=True)
        return
    context = getattr(error, "ctx", None)
    complain(error.format_message(), f"see `{context.command_path} --help`" if context else "")


_CANNOT_TAKE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Why standard output takes no more: the disk or the quota is full, the file or the disk is at its end."""


def _show_our_fault(error: BaseException) -> None:
    """The traceback; what strangers' files wrote into it is made safe to print."""
    import traceback

    from inspector.safe_text import clean

    for line in "".join(traceback.format_exception(error)).splitlines():
        click.echo(clean(line), err=True)


def _close_output() -> None:
    """Give up on standard output; Python would complain about what is left in it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(message: str, hint: str = "") -> None:
    """One line to standard error, and one more with what to do."""
    from inspector.safe_text import clean

    click.echo(f"inspector: {_short(clean(message))}", err=True)
    if hint:
        click.echo(f"  {_short(clean(hint))}", err=True)


def _short(line: str, most: int = 600) -> str:
    """A line that still fits a screen when it repeats what someone else wrote."""
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[-most // 2 :]}"


def _log_to_stderr() -> None:
    """Warnings of our own logger, one plain line each, names from files made safe."""
    import logging

    class Line(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            from inspector.safe_text import clean

            return f"inspector: {_short(clean(record.getMessage()))}"

    handler = logging.StreamHandler()
    handler.setFormatter(Line())
    logger = logging.getLogger("inspector")
    # In the place of what an earlier run in this process set: two handlers would say each line twice.
    logger.handlers[:] = [handler]
    # A library may have given the root logger a handler, which would say it again in a form of its own.
    logger.propagate = False

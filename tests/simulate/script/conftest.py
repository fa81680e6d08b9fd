"""Scripts are run as a user runs them, each in a child of its own.

They are forked from processes that have imported torch; ``inspector run`` in the pages' blocks starts them as a user's.
"""

import os
import textwrap
from pathlib import Path

import pytest

from inspector.simulate.script.running import run
from tests import warm

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def dry(tmp_path, capfd, forked):
    """Write a script and dry-run it: its report, what it printed, and what went to standard error."""

    def dry(text, *args, name="train.py", **options):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        report = run(path, args, **{"gpu": "T4", **options})
        printed = capfd.readouterr()
        return report, printed.out, printed.err

    return dry


@pytest.fixture
def on_both(capfd, forked):
    """A program's lines, once from this machine's CPU and once from the simulated card, and the report of that run."""

    def on_both(name, *args, **options):
        program = PROGRAMS / name
        # One thread: with more, a machine that is busy spends most of its time waiting for each other's.
        environment = {**os.environ, "DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
        done = warm.warm(("torch",), environment).run([str(program), *args], environment)
        assert done.returncode == 0, done.stderr
        capfd.readouterr()
        report = run(program, args, **{"gpu": "T4", **options})
        return done.stdout.splitlines(), capfd.readouterr().out.splitlines(), report

    return on_both

"""``python fuzz/fuzz.py TARGET[,TARGET...] [libFuzzer options]``: coverage-guided fuzzing with atheris, one by one.

In the options ``{}`` stands for the target's name. Each has a process of its own, and all share one start.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import atheris

with atheris.instrument_imports(include=["inspector", "json"]):
    import targets

import gguf.constants  # noqa: F401 -- imported by a target; loading it is not what is fuzzed
import transformers.integrations.ggml  # noqa: F401 -- so is this
from mutate import mutated

TIME = "-max_total_time="


def main() -> None:
    """Take the targets' names off the command line and give the rest to libFuzzer for each; a fault ends it."""
    names = sys.argv.pop(1).split(",")
    if set(names) - set(targets.TARGETS):
        sys.exit(f"targets: {', '.join(targets.TARGETS)}")
    for name in names:
        print(f"== {name}", file=sys.stderr, flush=True)
        # libFuzzer ends its process; importing all that is fuzzed, and instrumenting it, takes longer than many inputs.
        if child := os.fork():
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code != 0:
                sys.exit(code if code > 0 else 1)
        else:
            fuzz(name, [option.replace("{}", name) for option in sys.argv])


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz one target; does not return."""
    # Of the processor, so that a busy machine tries as many inputs; libFuzzer ends only after a whole second more.
    seconds = next((float(option.removeprefix(TIME)) for option in options if option.startswith(TIME)), None)
    end = time.process_time() + seconds if seconds else None

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        return mutated(name, data, most, seed)

    def run(data: bytes) -> None:
        if end is not None and time.process_time() > end:
            os.kill(os.getpid(), signal.SIGUSR1)  # libFuzzer's way to end with its figures
        targets.run(name, data)

    atheris.Setup(options, run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

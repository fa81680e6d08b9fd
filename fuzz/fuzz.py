"""``python fuzz/fuzz.py TARGET[,TARGET...] [libFuzzer options]``: coverage-guided fuzzing with atheris, one by one.

In the options ``{}`` stands for the target's name. Each has a process of its own, and all share one start.
"""

from __future__ import annotations

import os
import sys

import atheris

with atheris.instrument_imports(include=["inspector", "json"]):
    import targets

import gguf.constants  # noqa: F401 -- imported by a target; loading it is not what is fuzzed
import transformers.integrations.ggml  # noqa: F401 -- so is this
from mutate import mutated


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

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        return mutated(name, data, most, seed)

    atheris.Setup(options, lambda data: targets.run(name, data), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

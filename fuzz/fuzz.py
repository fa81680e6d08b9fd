"""``python fuzz/fuzz.py TARGET [libFuzzer options]``: coverage-guided fuzzing of one target with atheris."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["inspector", "json"]):
    import targets

import gguf.constants  # noqa: F401 -- imported by a target; loading it is not what is fuzzed
import transformers.integrations.ggml  # noqa: F401 -- so is this
from mutate import mutated


def main() -> None:
    """Take the target's name off the command line and give the rest to libFuzzer."""
    name = sys.argv.pop(1)
    if name not in targets.TARGETS:
        sys.exit(f"targets: {', '.join(targets.TARGETS)}")

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        return mutated(name, data, most, seed)

    atheris.Setup(sys.argv, lambda data: targets.run(name, data), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

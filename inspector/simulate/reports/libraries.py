"""The libraries whose code a dry run runs, as a report names them."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate")


def versions() -> dict[str, str]:
    """The version of each library that is installed: generation needs no peft, 16 bits no bitsandbytes."""
    found = {}
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[library] = version(library)
    return found

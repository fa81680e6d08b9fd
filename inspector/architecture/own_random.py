"""Random numbers of Python and numpy on this thread alone: what a model's code draws is not the caller's stream.

A state that is saved and put back would undo what other threads drew meanwhile. So the functions that draw are
replaced, for this thread, by those of generators of our own, which begin alike in every block. Out of reach is what
draws without these names: a ``from random import random`` of before, and ``numpy.random.mtrand._rand``.
"""

from __future__ import annotations

import contextlib
import random
import sys
from typing import TYPE_CHECKING, Any

from inspector.patched import PATCHES, patched

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEED = 0


@contextlib.contextmanager
def own_random_numbers() -> Iterator[None]:
    """Python's and numpy's random numbers, from this thread, are a dry run's own until the block ends."""
    with patched({**_python(), **_numpy()}):
        yield


def _python() -> dict[str, Any]:
    """Functions that draw themselves; the others, which draw by these two of the instance, follow."""
    ours = random.Random(_SEED)  # noqa: S311 -- nothing secret: it stands for the one that models draw from
    return {
        **{f"random.{name}": getattr(ours, name) for name in ("random", "getrandbits", "gauss", "seed")},
        **{f"random.{name}": getattr(ours, name) for name in ("getstate", "setstate")},
        **{f"random._inst.{name}": getattr(ours, name) for name in ("random", "getrandbits")},
    }


def _numpy() -> dict[str, Any]:
    """The functions of ``numpy.random``; none where numpy is not imported, and so nothing of it the caller's."""
    library: Any = sys.modules.get("numpy.random")
    if library is None:
        return {}
    ours = library.RandomState(_SEED)
    # Two have other names there (numpy/random/mtrand.pyx).
    aliases = {"ranf": ours.random_sample, "sample": ours.random_sample}
    names = (patch.name for patch in PATCHES.values() if patch.owner == "numpy.random")
    return {
        f"numpy.random.{name}": aliases[name] if name in aliases else getattr(ours, name)
        for name in names
        if hasattr(library, name)
    }

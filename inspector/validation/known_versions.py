"""Versions of libraries that are known to do otherwise than those that predict, each with its source.

A run may be measured with any version; most differences leave memory alone. What is here does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.validation.words import version

if TYPE_CHECKING:
    from inspector.validation.published_run import Question

BITSANDBYTES = frozenset({"nf4", "fp4", "int8"})
"""Schemes that quantize a plain checkpoint on loading."""


@dataclass(frozen=True, slots=True)
class KnownDifference:
    """What a library does from version ``since`` on and before ``until``; None is no bound.

    ``settings`` are those of the simulator that a run must have, with one of the values, to be touched by it.
    ``simulated``: whether such runs are simulated that way; else the figure it is about carries the difference.
    """

    library: str
    since: tuple[int, ...] | None
    until: tuple[int, ...]
    settings: tuple[tuple[str, frozenset[object]], ...]
    what: str
    simulated: bool
    source: str

    def touches(self, run: Question) -> bool:
        """Whether a run has such a version, and does what it changes."""
        found = version(run.versions.get(self.library, ""))
        return (
            bool(found)
            and found < self.until
            and (self.since is None or found >= self.since)
            and all(run.settings.get(name) in values for name, values in self.settings)
        )

    def __str__(self) -> str:
        """``transformers 5.0 to before 5.4: ... (not simulated; source)``."""
        first = "" if self.since is None else f"{'.'.join(map(str, self.since))} to "
        how = "simulated so" if self.simulated else "not simulated"
        return f"{self.library} {first}before {'.'.join(map(str, self.until))}: {self.what} ({how}; {self.source})"


KNOWN = (
    KnownDifference(
        library="transformers",
        since=None,
        until=(4, 46),
        settings=(("loss", frozenset({"upcast"})),),
        what="the model's forward keeps its logits as their float32 copy",
        simulated=True,
        source="v4.45 models/granite/modeling_granite.py",
    ),
    KnownDifference(
        library="transformers",
        since=(4, 46),
        until=(4, 49),
        settings=(("loss", frozenset({"shifted"})),),
        what="the loss copies the shifted logits after the upcast",
        simulated=True,
        source="v4.48 loss/loss_utils.py",
    ),
    KnownDifference(
        library="transformers",
        since=None,
        until=(4, 50),
        settings=(("scheme", BITSANDBYTES), ("warm_up", frozenset({False}))),
        what="loading allocates the bytes of all weights at no time at once",
        simulated=True,
        source="huggingface/transformers#36380",
    ),
    KnownDifference(
        library="transformers",
        since=(5, 0),
        until=(5, 4),
        settings=(("scheme", BITSANDBYTES),),
        what="threads bring 16-bit weights to the card before others are quantized; what loading reserves varies",
        simulated=True,
        source="huggingface/transformers#44576",
    ),
    KnownDifference(
        library="torch",
        since=None,
        until=(2, 8),
        settings=(("parallel", frozenset({"fsdp1"})),),
        what="NCCL's stream holds what FSDP broadcasts as it wraps, so that shards are cut from it",
        simulated=True,
        source="pytorch/pytorch#148590",
    ),
    KnownDifference(
        library="peft",
        since=None,
        until=(0, 20),
        settings=(("scheme", BITSANDBYTES), ("clear_cache", frozenset({False}))),
        what="prepare_model_for_kbit_training leaves the allocator's cache",
        simulated=True,
        source="huggingface/peft#3265",
    ),
)
"""Found in the sources of both versions, and held to runs that have them."""


def known_differences(run: Question) -> tuple[KnownDifference, ...]:
    """What is known of the versions that a run was measured with."""
    return tuple(item for item in KNOWN if item.touches(run))

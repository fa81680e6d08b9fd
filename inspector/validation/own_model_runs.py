"""Dry runs of examples' own models: what a record says of the model is built, and DeepSpeed's engine trains it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.gpus import find_gpu
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.on_card import peaks_on
from inspector.simulate.setup.parallel import changed, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.on_card import Peaks


@dataclass(frozen=True, slots=True)
class OwnRank:
    """The first rank of a run, its figures named as those of `inspector.simulate.several_cards.RankReport`."""

    peaks: Peaks
    after_training_allocated_bytes: int


@dataclass(frozen=True, slots=True)
class OwnReport:
    """What a run is compared by."""

    ranks: tuple[OwnRank, ...]


def run_own_model(settings: Mapping[str, Any]) -> OwnReport:
    """Trace the first rank. ``settings`` are those of `inspector.validation.forms.own_models`."""
    from inspector.architecture.libraries import need_later
    from inspector.simulate.parallel.apart import traced_apart
    from inspector.simulate.setup.engine_words import EncoderSizes, EngineLoop

    need_later("deepspeed")
    card = find_gpu(settings["card"])
    loop = EngineLoop(
        EncoderSizes(**settings["own_model"]), settings["batch_size"], settings["seq_len"],
        settings["gradient_checkpointing"], settings["autocast"],
    )  # fmt: skip
    config = example_config(settings["stage"], settings["deepspeed"], settings["optimizer"])
    parallel = changed(read(f"zero{settings['stage']}", settings["gpus"]), deepspeed=config)
    asked = (loop, parallel, card.capability, card.multiprocessors)
    trace = traced_apart(asked, (0,), "inspector.simulate.parallel.engine_loop:trace_engines")[0]
    line = replay(trace.events, AllocatorSettings())
    peaks = peaks_on(trace.events, card, AllocatorSettings(), line)
    return OwnReport((OwnRank(peaks, line.stages[-1].end_allocated),))


def example_config(stage: int, said: Mapping[str, Any], optimizer: str) -> str:
    """An example's config as JSON, from a record that tells its keys of ZeRO and of ``bf16`` in one list."""
    half = {key: value for key, value in said.items() if key.startswith("bf16_")}
    zero = {key: value for key, value in said.items() if key not in half}
    return json.dumps(
        {
            "zero_optimization": {**zero, "stage": stage},
            "bf16": {"enabled": True, **half},
            "torch_autocast": {"enabled": any(half.values()), "dtype": "torch.bfloat16"},
            "optimizer": {"type": optimizer, "params": {}},
        },
        sort_keys=True,
    )

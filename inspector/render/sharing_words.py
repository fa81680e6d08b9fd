"""What a way of sharing a model among cards does, in words: which modules are units, and what to set."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from inspector.units import gibibytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.parallel.rank_trace import Unit
    from inspector.simulate.several_cards import SeveralCardsReport

_FAMILIES = {
    "ddp": "DDP copies: every card has the whole model, its gradients and optimizer state, and buckets to add them up.",
    "device_map": "A naive split idles: each card has some layers, and while one computes the others wait.",
    "ep": "Expert parallelism keeps each expert whole on one card; tensor parallelism cuts the rest of every layer.",
    "tp": "Tensor parallelism cuts every layer's products: all cards compute each layer together.",
}
_SHARDS = (
    "shards: each card keeps its share of weights, gradients and optimizer state, and gathers units when they are used."
)
_SHARDING = {
    "fsdp1": "FSDP", "fsdp2": "FSDP", "hsdp": "HSDP", "zero3": "ZeRO-3", "tp+fsdp2": "FSDP2 over tensor parallelism",
    "ep+fsdp2": "FSDP2 with experts that stay on their cards", "cp+fsdp2": "FSDP2 over parts of sequences",
}  # fmt: skip
_STAGES = {
    "zero1": "ZeRO-1 shards the optimizer state alone: weights and gradients are whole on every card.",
    "zero2": "ZeRO-2 shards gradients and optimizer state: the weights are whole on every card.",
}


def in_words(report: SeveralCardsReport) -> str:
    """What the way of sharing does, in a line."""
    strategy = report.parallel.strategy
    if strategy in _STAGES:
        return _STAGES[strategy]
    return _FAMILIES.get(strategy) or f"{_SHARDING.get(strategy, strategy)} {_SHARDS}"


def units_line(units: Sequence[Unit]) -> str:
    """Which modules are units: ``32 x LlamaDecoderLayer, the root``."""
    counted = Counter((unit.cls or unit.name) if unit.name else "the root" for unit in units)
    cut = units and all(unit.model_bytes and unit.whole_bytes == unit.rank_bytes for unit in units)
    return ("cut, never gathered: " if cut else "") + (
        ", ".join(f"{number} x {name}" if name != "the root" else name for name, number in counted.items())
        or "no units"
    )


def remarks(report: SeveralCardsReport) -> tuple[str, ...]:
    """What of this way of sharing a user should know, and what to set."""
    said = []
    sharded = report.parallel.strategy in {"fsdp1", "fsdp2", "hsdp", "tp+fsdp2", "ep+fsdp2", "cp+fsdp2"}
    if sharded and not report.layers_are_units:
        said.append(
            "No layer is a unit of its own: the model is gathered as a whole. accelerate's FSDP2 knows two policies, "
            "and PEFT's fsdp_auto_wrap_policy is neither: leave it unset (TRANSFORMER_BASED_WRAP), or fsdp_version: 1"
        )
    if sharded and report.setup.method == "qlora" and report.parallel.quant_storage in {"auto", "uint8"}:
        said.append(
            "4-bit weights stay whole on every card: bnb_4bit_quant_storage must be the compute dtype "
            "(--quant-storage bfloat16)"
        )
    if report.parallel.strategy == "fsdp2" and report.setup.adapters is not None and report.layers_are_units:
        said.append(
            "HF Trainer leaves the layers units under FSDP2. A script that sets PEFT's fsdp_auto_wrap_policy has none: "
            "the decoder layers are not units, and all is gathered at once (--wrap peft shows it)"
        )
    together = report.parallel.world_size // report.parallel.nodes
    each_loads = report.parallel.may_load_once and not report.parallel.one_copy_a_machine
    if each_loads and together > 1 and report.host_bytes_per_node:
        said.append(
            f"All {together} ranks of a machine load the model into its memory: one does with "
            "fsdp_cpu_ram_efficient_loading: true (--parallel-option cpu_ram_efficient_loading=true)"
        )
    late = max(rank.reserved_behind_bytes for rank in report.ranks)
    if late > max(rank.peaks.reserved for rank in report.ranks):
        said.append(
            "Reserved is of cards that keep up with their host. Where one falls behind, memory that a stream still "
            f"uses is not free yet: up to {gibibytes(late)}"
        )
    return tuple(said)

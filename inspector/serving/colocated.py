"""What an engine in the trainer's own process holds beside the training: vLLM colocated with GRPO.

Sources: trl/trainer/grpo_trainer.py (``vllm_mode="colocate"``: an ``LLM`` in the process of each rank, with
``vllm_gpu_memory_utilization`` of the card) and vllm/device_allocator/cumem.py (``sleep``: level 1 takes weights to
the host and unmaps the cache, level 2 drops both).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.serving.figures import Span
    from inspector.serving.report import ServingReport


@dataclass(frozen=True, slots=True)
class Colocated:
    """Bytes on a card while the trainer steps.

    ``weights`` and ``kv`` are what the engine holds awake, ``host`` what lies with the host while it sleeps;
    ``held`` is what a step of the trainer finds taken. ``graphs`` are CUDA's, which stay while it sleeps;
    ``activations`` are those of its profile, given back to the allocator that both share: neither is in ``held``.
    ``report`` says how each was found.
    """

    weights: int
    kv: Span
    held: int
    host: int
    graphs: int
    activations: int
    report: ServingReport


def colocated_bytes(
    model: str, *, gpu: str | Gpu = "", vram: str = "", gpu_memory_utilization: float = 0.3, sleep_level: int = 0,
    engine_version: str = "", **options: Any,
) -> Colocated:  # fmt: skip
    """What a colocated vLLM leaves less of a card.

    Args:
        model: a model as everywhere.
        gpu: the card's name, or the card.
        vram: its memory in the place of a name.
        gpu_memory_utilization: the engine's share of the card; TRL's default.
        sleep_level: 0 where it stays awake during a step, 1 and 2 as vLLM counts them.
        engine_version: whose rules count.
        options: further options of vLLM, such as ``tensor_parallel_size``.

    Raises:
        InspectorError: as `inspector.serving.serve`, and for a level that is none.
    """
    from inspector.errors import InspectorError
    from inspector.serving.answering import serve

    if sleep_level not in {0, 1, 2}:
        raise InspectorError(f"vLLM sleeps at level 1 or 2, and not at {sleep_level}", hint="0 keeps it awake")
    report = serve(
        model, engine="vllm", gpu=gpu, vram=vram, engine_version=engine_version,
        gpu_memory_utilization=gpu_memory_utilization, **options,
    )  # fmt: skip
    weights = report.weights_bytes.value
    held = 0 if sleep_level else weights + max(report.kv_bytes.value, 0)
    found = {term.name: max(term.span.value, 0) for term in report.terms}
    graphs = next((size for name, size in found.items() if name.startswith("CUDA graphs")), 0)
    activations = found.get("activation peak", 0)
    host = weights if sleep_level == 1 else 0
    return Colocated(weights, report.kv_bytes, held, host, graphs, activations, report)

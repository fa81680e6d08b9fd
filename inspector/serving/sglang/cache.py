"""SGLang's pools: tokens of all layers together, or of full, window and state pools beside each other.

Source: srt/mem_cache/memory_pool.py, srt/model_executor/model_runner_kv_cache_mixin.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.serving.kv_bytes import state_bytes, token_bytes
from inspector.serving.sglang.settings import attending
from inspector.skeleton import DTYPE_BYTES

if TYPE_CHECKING:
    from inspector.serving.kv_layers import KvLayer
    from inspector.serving.sglang.settings import SglangSettings


@dataclass(frozen=True, slots=True)
class Pools:
    """Bytes of a token in the full pool and, of window layers, in theirs; of a sequence's states; the rules' ratios."""

    full: int
    window: int
    state: int
    window_share: float
    state_share: float
    page: int

    def tokens(self, rest: int) -> int:
        """Tokens that so many bytes hold, whole pages."""
        if self.state:
            rest = int(rest / (1 + self.state_share))
        cell = self.full + self.window_share * self.window
        return int(max(rest, 0) // cell) // self.page * self.page if cell else 0

    def slots(self, rest: int) -> int:
        """Sequences whose states fit, 0 for a model without any."""
        share = self.state_share / (1 + self.state_share)
        return int(max(rest, 0) * share) // self.state if self.state else 0


def pools(layers: tuple[KvLayer, ...], settings: SglangSettings, dtype: str) -> Pools:
    """The pools of a rank."""
    width = attending(settings)
    stages = settings.pipeline_parallel_size
    kept, model = settings.kv_cache_dtype, DTYPE_BYTES[dtype]
    full = window = state = 0
    scan = DTYPE_BYTES.get(settings.mamba_ssm_dtype, 4)
    for layer in layers:
        if layer.kind == "latent" and kept.startswith("fp8"):
            full += layer.key + layer.index  # a byte a value, also where the latent has an index beside it
        elif layer.kind in {"window", "chunked"}:
            window += token_bytes(layer, kept, dtype, width)
        elif layer.attends:
            full += token_bytes(layer, kept, dtype, width) + layer.index
        state += state_bytes(layer, width, model_bytes=model, scan_bytes=scan)
    if not full:  # windows alone: one pool of all layers
        full, window = window, 0
    return Pools(
        -(-full // stages), -(-window // stages), -(-state // stages), settings.swa_full_tokens_ratio,
        settings.mamba_full_memory_ratio, max(settings.page_size, 1),
    )  # fmt: skip

"""The block of a vLLM hybrid: attention's pages are made as large as a recurrent layer's state.

Source: vLLM model_executor/models/config.py (``HybridAttentionMambaModelConfig.verify_and_update_config``), later
platforms/interface.py. Multiples of 16 tokens; of 64, a chunk of FlashInfer's prefill of Gated DeltaNet, where that
runs (Hopper and Blackwell) and writes states out on its way (mamba/gdn/qwen_gdn_linear_attn.py of 0.33).
"""

from __future__ import annotations

from dataclasses import dataclass

ALIGN, ALIGN_NOW = 16, 64


@dataclass(frozen=True, slots=True)
class HybridBlock:
    """Tokens of an attention block, the page in bytes of one layer, and what a state's page is padded by."""

    tokens: int
    page: int
    state: int

    @property
    def padding_percent(self) -> float:
        """As vLLM prints it: "Padding mamba page size by X%"."""
        return 100 * (self.page / self.state - 1)


def hybrid_block(state: int, token: int, wanted: int = 0, align: int = ALIGN) -> HybridBlock:
    """The block of a hybrid.

    Args:
        state: bytes of one recurrent layer's state on a rank.
        token: bytes of a token in one attention layer on a rank.
        wanted: the user's block; a smaller one is raised.
        align: what the block is a multiple of.
    """
    tokens = max(align * -(-state // (align * token)), wanted)
    return HybridBlock(tokens, tokens * token, state)

"""Steps whose attention fell back to the math kernel, which writes whole matrices of scores, and what avoids that.

Without a mask, transformers tells torch of grouped keys and values (``enable_gqa``) in place of repeating them
(transformers/integrations/sdpa_attention.py, ``use_gqa_in_sdpa``). Flash attention takes them so, from Ampere on; the
memory-efficient kernel, the only fused one of older cards, does not, nor bfloat16 there (`attention.backend_for`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import torch

from inspector.simulate.device.attention import AttentionCall, backend_for

if TYPE_CHECKING:
    from inspector.simulate.device.questions import Chip, Questions

MathCure = Literal["float16", "repeated", "padded", "float16 and repeated", "float16 and padded"]
"""What sends every such call to a fused kernel: float16 numbers, keys and values repeated, or a mask of padding, with
which transformers repeats them itself."""


def math_calls(questions: Questions) -> tuple[AttentionCall, ...]:
    """The calls of scaled dot-product attention that took the math kernel."""
    return tuple(
        arguments[0]
        for (rule, arguments), said in questions.items()
        if rule is backend_for and said == "math" and isinstance(arguments[0], AttentionCall)
    )


def math_cures(questions: Questions, chip: Chip) -> tuple[MathCure, ...]:
    """What would keep a traced step from the math kernel on its card; none where nothing does, or none fell there."""
    calls = math_calls(questions)
    works = tuple(
        cure for cure in get_args(MathCure) if calls and all(_fused(chip, _with(call, cure)) for call in calls)
    )
    # Two changes are no advice where one of them is enough.
    return tuple(cure for cure in works if " and " not in cure or cure.rpartition(" and ")[2] not in works)


def _with(call: AttentionCall, cure: str) -> AttentionCall:
    """The call as it would be."""
    if "float16" in cure:
        call = replace(call, dtype=torch.float16)
    if "repeated" in cure or "padded" in cure:
        call = replace(call, heads=(call.heads[0], call.heads[0]), enable_gqa=False)
    return replace(call, masked=True, is_causal=False) if "padded" in cure else call


def _fused(chip: Chip, call: AttentionCall) -> bool:
    return backend_for(chip, call) != "math"

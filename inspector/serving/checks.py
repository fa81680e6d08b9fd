"""What engines refuse before they look at memory, in their own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from inspector.skeleton import ConfigFacts


def check_heads(facts: ConfigFacts, width: int) -> None:
    """Raise InspectorError where heads cannot be shared out among so many ranks.

    Source: vLLM config/model.py, ``verify_with_parallel_config``; SGLang asserts the same.
    """
    if width < 1:
        raise InspectorError(f"--tensor-parallel-size is {width}", hint="write 1 or more")
    heads, kept = facts.num_attention_heads, facts.num_key_value_heads
    if heads % width:
        even = ", ".join(str(size) for size in (2, 3, 4, 5, 6, 7, 8, 16) if heads % size == 0)
        raise InspectorError(
            f"Total number of attention heads ({heads}) must be divisible by tensor parallel size ({width}).",
            hint=f"widths that divide it: {even}",
        )
    if (kept > width and kept % width) or (kept < width and kept and width % kept):
        raise InspectorError(
            f"{kept} heads of keys and values are neither shared out nor copied evenly among {width} ranks",
            hint="one number must divide the other",
        )

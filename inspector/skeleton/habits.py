"""Words people type by habit, and the one that each means here: one table for every command and the Python API."""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["dtype", "attention", "optimizer"]

HABITS: Final[dict[Kind, dict[str, str]]] = {
    "dtype": {
        "bf16": "bfloat16",
        "fp16": "float16",
        "half": "float16",  # torch's own second name, as is float
        "fp32": "float32",
        "float": "float32",
    },
    "attention": {
        "fa2": "flash_attention_2",
        "flash": "flash_attention_2",
        "flash_attn": "flash_attention_2",
        "flash_attention": "flash_attention_2",
    },
    "optimizer": {
        "adamw": "adamw_torch",
        "adamw_fused": "adamw_torch_fused",
        "adamw_8bit": "adamw_bnb_8bit",
        "adamw8bit": "adamw_bnb_8bit",
        "paged_adamw": "paged_adamw_32bit",
        "paged_adamw8bit": "paged_adamw_8bit",
    },
}
"""By what the word is for. Sources of the long forms: torch's dtypes, transformers' ``attn_implementation`` and
``OptimizerNames`` (training_args.py), where ``adamw_8bit`` and ``adamw_bnb_8bit`` make the same optimizer, and
``paged_adamw`` was the 32-bit one's name in bitsandbytes (``PagedAdamW``)."""


def usual(kind: Kind, word: object) -> str:
    """The word that is meant, ``bfloat16`` for ``bf16``, ``BF16`` or ``torch.bfloat16``; any other as it is."""
    said = str(word)
    plain = said.removeprefix("torch.").lower().replace("-", "_")
    # An unknown word comes back as it was typed, for the error to repeat; torch's dtypes without their prefix.
    return HABITS[kind].get(plain, plain if said.startswith("torch.") else said)

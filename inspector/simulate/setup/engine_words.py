"""What an example of DeepSpeed's trains, in numbers. No torch here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncoderSizes:
    """Elements, but for ``layers`` and ``heads``. The output projection is not tied."""

    hidden: int
    layers: int
    heads: int
    ff: int
    vocab: int
    max_positions: int


@dataclass(frozen=True, slots=True)
class EngineLoop:
    """A stack on ``batch`` rows of ``seq_len`` random tokens; ``autocast`` (``none``, ``bf16``) is around its loss."""

    sizes: EncoderSizes
    batch: int
    seq_len: int
    checkpointing: bool = False
    autocast: str = "none"

"""What others published and the deck quotes: never computed here, and marked so wherever it is shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quote:
    """A finding of a study: ``key`` is its sentence in the texts, ``where`` its address, ``part`` a place in it.

    Each was held against the study's own words or table; a part is the name of its sort, ``table`` or ``figure``, and
    its number.
    """

    key: str
    short: str
    source: str
    year: int
    where: str
    part: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One published score: the scheme of the base weights, and the value in points."""

    scheme: str
    points: float


TARGETS = (
    Quote("qlora", "QLoRA", "Dettmers et al., QLoRA", 2023, "arXiv 2305.14314", ("figure", 2)),
    Quote(
        "raschka",
        "Raschka",
        "Raschka, Practical Tips for Finetuning LLMs Using LoRA",
        2023,
        "magazine.sebastianraschka.com",
    ),
    Quote(
        "regret", "LoRA Without Regret", "Schulman et al., LoRA Without Regret", 2025, "thinkingmachines.ai/blog/lora"
    ),
)
"""Which modules to adapt: what three studies found."""

MMLU = (Score("bf16", 53.0), Score("fp4", 52.2), Score("nf4-dq", 53.1))
"""Mean five-shot MMLU of LLaMA 7B to 65B, fine-tuned with adapters on Alpaca and FLAN v2, by the base's data type."""
MMLU_SOURCE = Quote("mmlu", "QLoRA", "Dettmers et al., QLoRA", 2023, "arXiv 2305.14314", ("table", 4))
LATER = Quote("later", "Huang", "Huang et al., How Good Are Low-bit Quantized LLaMA3 Models?", 2024, "arXiv 2404.14047")

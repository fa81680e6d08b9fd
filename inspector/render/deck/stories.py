"""Which slides a deck has, in order. A slide that a model has no numbers for is left out."""

from __future__ import annotations

STORIES: dict[str, tuple[str, ...]] = {
    "lora-qlora": (
        "question", "model", "training", "lora", "rank",
        "choices", "larger", "targets", "rungs", "levels",
        "answers", "sizes", "waterfall", "difference", "film",
        "methods", "what-if", "ways", "models", "trust",
    ),
    "short": ("question", "model", "lora", "choices", "rungs", "sizes", "waterfall", "methods", "what-if", "trust"),
    "sizes": ("model", "rungs", "levels", "answers", "sizes", "waterfall", "difference", "models", "trust"),
    "finetune": (
        "question", "training", "lora", "rank", "choices", "larger", "targets", "film", "methods", "what-if", "ways",
        "trust",
    ),
    "compare": ("models", "choosing", "trust"),
}  # fmt: skip

WITHOUT_RUNS = {"question": "", "training": "before", "methods": "", "ways": ""}
"""What stands in the place of a slide about training where no dry run ships: one slide for all of them. The film and
what if have runs of their own."""

"""Which slides a deck has, in order. Slides in one inner tuple are below each other: down, not right."""

from __future__ import annotations

STORIES: dict[str, tuple[tuple[str, ...], ...]] = {
    "lora-qlora": (
        ("model", "listing"),
        ("steps",),
        ("hyper", "lora"),
        ("quantization", "levels"),
        ("sizes", "waterfall"),
        ("difference",),
        ("training", "cards"),
        ("measured",),
        ("choosing", "compare"),
        ("made",),
    ),
    "sizes": (("model", "listing"), ("quantization", "levels"), ("sizes", "waterfall"), ("lora",), ("made",)),
    # Every deck ends with how it was made: who was given the file alone can make it again.
    "compare": (("choosing",), ("compare",), ("unquantized",), ("made",)),
    "finetune": (("steps",), ("hyper", "lora"), ("sizes",), ("training", "cards"), ("measured",), ("made",)),
}

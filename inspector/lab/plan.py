"""Which fine-tuning runs the lab makes: one thing varied at a time, around r 8, alpha 16 on attention."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inspector.errors import InspectorError


@dataclass(frozen=True, slots=True)
class Setup:
    """One run: the adapters, the scheme of the base weights, and the seed of adapters and of the order of the text."""

    r: int = 8
    alpha: int = 16
    targets: str = "attention"
    base: str = "fp32"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """The same for all runs: steps of ``batch`` rows of ``seq_len`` tokens, and how much text is held out.

    The learning rate is constant, AdamW's decay 0, no dropout.
    """

    steps: int = 25
    batch: int = 4
    seq_len: int = 64
    learning_rate: float = 1e-3
    held_out_rows: int = 32

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("seq_len", 2), ("held_out_rows", 1)):
            if getattr(self, name) < least:
                raise InspectorError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise InspectorError(f"learning_rate must be between 0 and 1, not {self.learning_rate!r}")


CENTRE = Setup()
RANKS = (1, 2, 4, 8, 16, 32, 64)
ALPHAS = (4, 8, 16, 32)
"""From half of r to four times r, at r 8."""
TARGETS = ("q+v", "attention", "mlp", "all-linear")
QUANTIZED = "nf4-dq"
"""QLoRA's own: 4 bits, constants quantized again (Dettmers et al. 2023, section 3)."""
SEEDS = (0, 1, 2)
AS_LARGE = (("mlp", 5), ("all-linear", 3))
"""Targets and the rank at which they have about as many parameters as attention at r 8, in a Llama of 135M."""


def plan() -> tuple[Setup, ...]:
    """Every run once, what says most first: who stops early has whole answers."""
    wanted = [
        *(replace(CENTRE, r=r, alpha=2 * r) for r in (8, 1, 64, 4, 16, 2, 32)),
        *(replace(CENTRE, targets=targets) for targets in TARGETS),
        *(replace(CENTRE, seed=seed) for seed in SEEDS),
        replace(CENTRE, base=QUANTIZED),
        *(replace(CENTRE, alpha=alpha) for alpha in ALPHAS),
        *(replace(CENTRE, targets=targets, r=r, alpha=2 * r) for targets, r in AS_LARGE),
        replace(CENTRE, base=QUANTIZED, targets="all-linear"),
        # Alpha as it is while r grows: what people do who change one number.
        *(replace(CENTRE, r=r) for r in (64, 1, 32, 2, 16, 4)),
    ]
    return tuple(dict.fromkeys(wanted))

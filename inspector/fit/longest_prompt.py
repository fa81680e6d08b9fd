"""A simulated generation, and with it the longest prompt that fits the card."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from inspector.errors import InspectorError
from inspector.fit.largest import largest_by_halving
from inspector.simulate.generation import answer, peaks, question
from inspector.store.answers import answered

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.simulate.generation import GenerateQuestion, GenerateReport
    from inspector.simulate.setup.options import GenerateSettingsOptions

STEP_TOKENS = 16
"""The longest prompt is found to this many tokens."""
MOST_TOKENS = 2**24
"""A prompt that still fits at this length says that something else is wrong with the question."""


def generate_with_longest_prompt(
    reference: str,
    *,
    gpu: Gpu | str | None = None,
    vram: str = "",
    expandable_segments: bool | None = None,
    solve: bool = True,
    **options: Unpack[GenerateSettingsOptions],
) -> GenerateReport:
    """As `inspector.simulate.generation.simulate_generate`, with ``largest_prompt`` in the report where asked for.

    Args:
        reference: as there.
        gpu: as there.
        vram: as there.
        expandable_segments: as there.
        solve: also find the longest prompt that fits.
        options: as there.

    Raises:
        InspectorError: as there, when no prompt fills the card, or the model's input has one size.
    """
    asked = question(reference, gpu=gpu, vram=vram, expandable_segments=expandable_segments, **options)
    report = answer(asked)
    if not solve:
        return report
    if report.one_size:
        raise InspectorError(
            f"{report.model} reads {report.inputs}, whatever the prompt: there is no longest one",
            hint="leave out --solve; try other batch sizes",
        )
    return replace(report, largest_prompt=answered(("largest prompt", *asked.key), int, lambda: longest_prompt(asked)))


def longest_prompt(asked: GenerateQuestion) -> int:
    """The longest prompt, in steps of `STEP_TOKENS`, that leaves room for the answer; 0 when none does.

    Raises InspectorError when every prompt of up to `MOST_TOKENS` fits.
    """
    most, start = MOST_TOKENS // STEP_TOKENS, max(asked.setup.prompt_len // STEP_TOKENS, 1)
    found = largest_by_halving(lambda steps: peaks(asked, steps * STEP_TOKENS), start, most)
    if found == most:
        raise InspectorError(
            f"no prompt of up to {MOST_TOKENS:,} tokens fills this card", hint="is the card or model right?"
        )
    return found * STEP_TOKENS

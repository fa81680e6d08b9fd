"""A simulated generation, and with it the longest prompt that fits the card."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from inspector.errors import InspectorError
from inspector.fit.at_least import AtLeastReport, generate_at_least
from inspector.fit.largest import largest_by_halving
from inspector.gpus import Accelerator, find_card
from inspector.simulate.generation import answer, peaks, question
from inspector.simulate.setup.device_map import device_map as read_device_map
from inspector.simulate.setup.parallel import read as read_parallel
from inspector.simulate.split_generation import generate_by_ranks, generate_on_cards
from inspector.store.answers import answered

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.simulate.generation import GenerateQuestion, GenerateReport
    from inspector.simulate.setup.options import GenerateSettingsOptions
    from inspector.simulate.split_generation import SplitReport

STEP_TOKENS = 16
"""The longest prompt is found to this many tokens."""
MOST_TOKENS = 2**24
"""A prompt that still fits at this length says that something else is wrong with the question."""


def generate_with_longest_prompt(  # noqa: PLR0913 -- options are what it takes
    reference: str,
    *,
    gpu: Gpu | str | None = None,
    vram: str = "",
    expandable_segments: bool | None = None,
    solve: bool = True,
    gpus: int | None = None,
    device_map: str | None = None,
    max_memory: object = None,
    parallel: str | None = None,
    **options: Unpack[GenerateSettingsOptions],
) -> GenerateReport | SplitReport | AtLeastReport:
    """As `inspector.simulate.generation.simulate_generate`, with ``largest_prompt`` in the report where asked for.

    On an accelerator that is not NVIDIA's: weights and cache alone (`inspector.fit.at_least`).
    With ``gpus``, ``device_map`` or ``max_memory`` as `inspector.simulate.split_generation.generate_on_cards`, with
    ``parallel`` as `inspector.simulate.split_generation.generate_by_ranks`.

    Args:
        reference: as there.
        gpu: as there.
        vram: as there.
        expandable_segments: as there.
        solve: also find the longest prompt that fits.
        gpus: how many cards alike.
        device_map: ``auto``, ``balanced``, ``balanced_low_0`` or ``sequential``.
        max_memory: as that of ``from_pretrained``, or ``0=10GiB,cpu=60GiB``.
        parallel: ``tp:2``, or ``ep:2`` of experts: every layer is shared, by so many cards.
        options: as there.

    Raises:
        InspectorError: as there, when no prompt fills the card, or the model's input has one size.
    """
    if isinstance(gpu, str) and isinstance(other := find_card(gpu), Accelerator):
        if solve or any((vram, gpus, device_map, max_memory, parallel)) or expandable_segments is not None:
            raise InspectorError(
                f"{other.name} is {other.maker}'s: weights and cache are told, and no run on it is simulated",
                hint="leave out --solve, --vram, --gpus and the allocator's settings",
            )
        return generate_at_least(reference, other, **options)
    if parallel is not None:
        if device_map is not None or max_memory:
            raise InspectorError("--parallel and --device-map are two ways to share", hint="leave either out")
        if solve:
            raise InspectorError("--solve is for one card", hint="leave out --parallel, or --solve")
        return generate_by_ranks(
            reference, read_parallel(parallel, gpus or _cards_of(parallel)), gpu=gpu, vram=vram,
            expandable_segments=expandable_segments, **options,
        )  # fmt: skip
    if (spread := read_device_map(device_map, gpus, max_memory)) is not None:
        if solve:
            raise InspectorError("--solve is for one card", hint="leave out --gpus and --device-map, or --solve")
        return generate_on_cards(
            reference, spread, gpu=gpu, vram=vram, expandable_segments=expandable_segments, **options
        )
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


def _cards_of(parallel: str) -> int:
    """How many cards ``tp:2`` names; one where it names none, which its own check answers."""
    number = parallel.rpartition(":")[2].strip()
    return max(int(number), 1) if number.isdecimal() and len(number) < 9 else 1


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

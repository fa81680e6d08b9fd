"""A fine-tuning of thousands of steps whose batches differ in length: what is reserved as it goes, where it stops.

The steps are those of `inspector.simulate.finetuning`, traced at some of the lengths and replayed at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.errors import InspectorError
from inspector.reporting import Report
from inspector.simulate.finetuning import check_card, question, trace
from inspector.simulate.long_run.chunks import PLACES, places
from inspector.simulate.long_run.order import Batches, padded, steps_of
from inspector.simulate.long_run.steps import QUIET, Card
from inspector.simulate.reports.assumed import assumptions
from inspector.simulate.reports.libraries import versions
from inspector.simulate.setup.lengths import parse_lengths
from inspector.simulate.setup.outliers import assuming
from inspector.store.answers import answered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspector.gpus import Gpu
    from inspector.simulate.finetuning import Question
    from inspector.simulate.long_run.steps import Replayed
    from inspector.simulate.setup.lengths import Lengths
    from inspector.simulate.setup.training import TrainSetup

STEPS = 2000
MOST_STEPS = 100_000
MULTIPLE = 64
"""What batches are padded to in the run that shows what it is good for."""
EMPTY_EVERY = 10
"""Steps between two `torch.cuda.empty_cache()` there: as PEFT's method comparison calls it since November 2025."""


@dataclass(frozen=True, slots=True)
class Way:
    """The same run in one way; ``run`` is what became of it.

    ``multiple`` is what batches are padded to a multiple of, ``empty_every`` counts the steps between two
    ``torch.cuda.empty_cache()``, 0 for never.
    """

    name: str
    expandable_segments: bool
    multiple: int
    empty_every: int
    run: Replayed


@dataclass(frozen=True)
class LongRunReport(Report):
    """A simulated run of many steps on one card. All sizes are bytes, all lengths tokens.

    ``tokens`` are those of each step's longest micro-batch, padded. ``ways`` has the run as it was asked for first,
    then the same in other ways. ``traced`` of the ``lengths`` that differ were traced, the others follow from them.
    """

    kind: ClassVar[str] = "long_run"

    model: str
    gpu: Gpu
    setup: TrainSetup
    settings: Mapping[str, Mapping[str, Any]]
    samples: Lengths
    batches: Batches
    steps: int
    tokens: tuple[int, ...] = field(repr=False)
    lengths: int
    traced: int
    ways: tuple[Way, ...] = field(repr=False)
    versions: Mapping[str, str]
    assumptions: tuple[str, ...] = ()

    @property
    def run(self) -> Replayed:
        """What became of the run as it was asked for."""
        return self.ways[0].run

    @property
    def fits(self) -> bool:
        """Whether it comes to its end."""
        return self.run.stopped is None

    @property
    def verdict(self) -> str:
        """In words; a step is counted from 1, as trainers count."""
        stopped = self.run.stopped
        if stopped is None:
            return "runs to its end"
        return "does not load" if stopped.step < 0 else f"out of memory in step {stopped.step + 1:,}"


def long_run(
    reference: str | Mapping[str, Any] | None = None,
    *,
    lengths: str,
    group_by_length: bool = False,
    seed: int = 0,
    pad_batches_to: int | None = None,
    steps: int | None = None,
    **options: Any,
) -> LongRunReport:
    """Run a fine-tuning over samples of changing length, step by step, through the allocator of one card.

    Args:
        reference: as `inspector.simulate.finetuning.question` takes it.
        lengths: as `inspector.simulate.setup.lengths.parse_lengths` reads them.
        group_by_length: samples of about one length together, as transformers' ``LengthGroupedSampler`` orders them.
        seed: of what is drawn, and of the order.
        pad_batches_to: batches are padded to a multiple of so many tokens.
        steps: optimizer steps.
        options: as there. Of ``seq_len``, where it is said, longer samples are cut to it.

    Raises:
        InspectorError: as there, for lengths that are none, and for what a run of many lengths has not.
    """
    steps = STEPS if steps is None else steps
    multiple = 1 if pad_batches_to is None else pad_batches_to
    for name, value, most in (("steps", steps, MOST_STEPS), ("pad_batches_to", multiple, 2**16)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise InspectorError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")
    samples = parse_lengths(lengths)
    asked = question(reference, **options)
    if asked.resolved.setup.objective is not None:
        raise InspectorError("a run of many lengths is of plain fine-tuning", hint="leave out --lengths")
    if asked.resolved.setup.saving is not None:
        raise InspectorError("a run of many lengths saves nothing", hint="leave out --save")
    if asked.resolved.setup.batch.packed:
        raise InspectorError("packed sequences have one length", hint="leave out --packed or --lengths")
    by = asked.resolved.set_by
    # Where samples differ, all but the longest are padded, and the model is told so by a mask.
    if by["padded"] == "library" and (asked.resolved.setup.batch.size > 1 or multiple > 1):
        asked = question(reference, **{**options, "padded": True})
    setup = asked.resolved.setup
    limit = 0 if by["seq_len"] == "library" else setup.batch.seq_len
    batches = Batches(setup.batch.size, setup.loop.grad_accum, limit, group_by_length, seed)
    report = answered(
        ("long_run", asked.config, setup, asked.allocator, asked.gpu, samples, batches, multiple, steps),
        LongRunReport,
        lambda: _run(asked, samples, batches, multiple, steps),
    )
    return replace(report, model=asked.model, settings=asked.resolved.explained())


def _run(asked: Question, samples: Lengths, batches: Batches, multiple: int, steps: int) -> LongRunReport:
    from inspector.simulate.long_run.lengths_traced import TracedLengths

    check_card(asked.resolved.setup, asked.gpu)
    bare = steps_of(samples, batches, steps)
    runs = {by: _padded(bare, by, batches.longest) for by in (multiple, MULTIPLE)}
    setup = _with_length(asked.resolved.setup, runs)
    wanted = {tokens for run in runs.values() for step in run for tokens in step}
    accumulated = min(batches.accumulated, len(PLACES))
    first = dict(zip(places(batches.accumulated), runs[multiple][0], strict=True))

    # The outliers of a batch of the mean length in all: their number is data, and only so do lengths follow a rule.
    typical = setup.batch.size * round(fmean(tokens for step in runs[multiple] for tokens in step))

    def events(lengths: tuple[int, ...]) -> Sequence[Any]:
        batch = replace(setup.batch, lengths=lengths)
        loop = replace(setup.loop, grad_accum=accumulated, steps=len(lengths) // accumulated, empty_cache_every=0)
        with assuming("usual", rows=typical):
            return trace(asked.config, replace(setup, batch=batch, loop=loop, evaluation=None), asked.gpu).events

    traced = TracedLengths(events, [first[place] for place in places(accumulated)], wanted, accumulated)
    own = (asked.allocator.expandable_segments, multiple, setup.loop.empty_cache_every)
    # The first is the run itself; of the others each changes one thing, and none that is so already.
    changes = {"as it is": own, "expandable_segments": (True, *own[1:]),
               f"padded to {MULTIPLE}s": (own[0], MULTIPLE, own[2]),
               f"empty_cache every {EMPTY_EVERY}": (*own[:2], EMPTY_EVERY)}  # fmt: skip
    ways: list[Way] = []
    for name, (expandable, by, every) in changes.items():
        if ways and (expandable, by, every) == own:
            continue
        allocator = replace(asked.allocator, expandable_segments=expandable)
        done = Card(traced, allocator, asked.gpu.available_bytes).run(runs[by], empty_every=every)
        ways.append(Way(name, expandable, by, every, done))
    return LongRunReport(
        model=asked.model,
        gpu=asked.gpu,
        setup=setup,
        settings=asked.resolved.explained(),
        samples=samples,
        batches=batches,
        steps=steps,
        tokens=tuple(max(step) for step in runs[multiple]),
        lengths=len(wanted),
        traced=len(traced.traced & wanted),
        ways=tuple(ways),
        versions=versions(),
        assumptions=_assumptions(setup, samples, batches, asked.gpu),
    )


def _padded(steps: Sequence[tuple[int, ...]], multiple: int, longest: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(padded(tokens, multiple, longest) for tokens in step) for step in steps)


def _with_length(setup: TrainSetup, runs: Mapping[int, Sequence[tuple[int, ...]]]) -> TrainSetup:
    """The setup whose length is the longest there is, for what a model refuses of it."""
    most = max(tokens for run in runs.values() for step in run for tokens in step)
    return replace(setup, batch=replace(setup.batch, seq_len=most))


def _assumptions(setup: TrainSetup, samples: Lengths, batches: Batches, gpu: Gpu) -> tuple[str, ...]:
    said = []
    if samples.of is not None:
        said.append(
            f"lengths of {samples.of.data_set}, by the tokenizer of {samples.of.tokenizer}; {samples.of.source}"
        )
        said.append("between two published lengths samples are spread evenly: nothing more is known of them")
    order = "as LengthGroupedSampler orders it" if batches.grouped else "at random"
    said.append(f"each epoch {order}, seed {batches.seed}: another order has its longest batches elsewhere")
    if not batches.longest:
        said.append("no sample is cut: --seq-len cuts")
    if setup.batch.padded:
        said.append("batches have padding, and the model its mask")
    said.append(
        f"blocks of up to 1 MiB that needed no new segment in {QUIET} steps find room until a longer batch comes"
    )
    # The first of a single step's is the one length of its sequences; and here every micro-batch is replayed.
    return (*said, *assumptions(replace(setup, loop=replace(setup.loop, grad_accum=1)), gpu)[1:])

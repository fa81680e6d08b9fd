"""A script and cards in, a report out: one child for the first card, and one more for each that would differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from inspector.errors import OUR_FAULT, InspectorError
from inspector.gpus import card_of_size, find_gpu
from inspector.simulate.on_card import peaks_on
from inspector.simulate.script import asked_versions
from inspector.simulate.script.child_process import run_child
from inspector.simulate.script.invocation import Invocation, parse_invocation, several
from inspector.simulate.script.job import SAID, Job, Outcome, read_outcome
from inspector.simulate.script.ranks import line_of, of_cards, of_one_card, of_processes, settings_of
from inspector.simulate.script.run_folder import run_folder
from inspector.simulate.script.signalled import ends_on_signals
from inspector.simulate.script.summary import summarize
from inspector.simulate.setup.lengths import parse_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.gpus import Gpu
    from inspector.simulate.on_card import Peaks
    from inspector.simulate.script.overrides import Override
    from inspector.simulate.script.ranks import Ranks
    from inspector.simulate.script.report import ScriptReport
    from inspector.simulate.setup.cards_asked import WhichRanks

DEFAULT_CARD = "A100-80GB"
"""What a script sees where no card is named; then there is no verdict."""

ROWS = 1024
"""Rows of a data set that is made by its lengths: more than a dry run trains on."""

WORST_OF = 50_000
"""Drawn for the longest of them: so many samples are a small data set for fine-tuning."""

ASSUMED = ("number", "mask", "token")


def run(  # noqa: PLR0913 -- options are what it takes
    script: str | Path | Invocation,
    args: Sequence[str] = (),
    *,
    gpu: str | Sequence[str] = (),
    vram: str = "",
    gpus: int = 0,
    nproc: int = 0,
    nodes: int = 0,
    rank: WhichRanks = "all",
    module: bool = False,
    oom: bool = False,
    steps: int = 0,
    timeout: float | None = None,
    assume: Mapping[str, str] | Sequence[str] = (),
    data: Mapping[str, str] | Sequence[str] = (),
    lengths: str = "",
    worst: bool = False,
    network: bool = False,
    write: bool = False,
    keep_events: bool = False,
    output_to_stderr: bool = False,
    override: Override | None = None,
    quiet: bool = False,
    ends: bool = False,
) -> ScriptReport:
    """Run a user's training script without a GPU, in a process of its own, and say what memory it takes.

    Args:
        script: a file of Python, a notebook, a module's name (with ``module``), or what `parse_invocation` gives.
        args: the script's own arguments.
        gpu: the cards to judge; the script sees the first. Without one it sees an A100 of 80 GB, without a verdict.
        vram: a card's memory instead of its name, such as ``16GiB``.
        gpus: how many such cards each machine has, as the script and its launcher see them.
        nproc: start it so many times on each machine, as ``torchrun --nproc-per-node`` does.
        nodes: on so many machines.
        rank: which of the ranks that differ are run: the first always is, as others hear what it sends.
        module: as ``python -m``.
        oom: the card refuses where it is full, with PyTorch's own error; without, the run goes on past the limit.
        steps: end each training after so many optimizer steps, and go on to what follows it; 0 for all.
        timeout: seconds after which the script is ended; what it took until then is told.
        assume: policies for what is not known: ``number=2.5``, ``mask=false``, ``token=7``.
        data: files that stand for data sets of the hub: ``NAME=rows.jsonl``.
        lengths: lengths of the rows of a data set that is not there: a file with one a line, or
            ``lognormal:mean,sigma,max``.
        worst: its loaders give the longest samples first.
        network: let the script use the network.
        write: let it write outside the scratch folder.
        keep_events: keep every allocation in the report, for a snapshot.
        output_to_stderr: where the script prints.
        override: one thing changed about it, as advice tries it.
        quiet: the script prints nowhere.
        ends: the whole run ends with the ``steps``.

    Raises:
        InspectorError: for a script that is not there, a card that is not known, a model that is nowhere.
    """
    what = script if isinstance(script, Invocation) else parse_invocation([str(script), *args], module=module)
    if nproc or nodes:
        what = several(what, nproc or gpus or 1, nodes or 1)
    if override is not None:
        what = replace(what, argv=(*what.argv, *override.argv), environment=(*what.environment, *override.environment),
                       launch=(*what.launch, *override.argv) if what.launch else ())  # fmt: skip
    cards, named = _cards(gpu, vram)
    policies = _policies(assume)
    with ends_on_signals(), run_folder() as folder:
        job = Job(
            kind=what.kind,
            target=what.target if what.kind in {"module", "entry"} else str(Path(what.target).resolve()),
            shown=what.shown,
            args=what.argv,
            card=vram or cards[0].name,
            vram=bool(vram),
            others=tuple(card.name for card in cards[1:]),
            folder=str(folder),
            oom=oom,
            steps=steps,
            ends=ends,
            network=network,
            write=write,
            assume=policies,
            edits=tuple(override.to_plain()) if override is not None else (),
            data=_data(data),
            lengths=_lengths(lengths, worst=worst),
            worst=worst,
            cards=max(gpus, 1),
            launch=what.launch,
        )
        runs: list[tuple[Gpu, Outcome, bool]] = []
        first: tuple[Outcome, ...] = ()
        ranks: Ranks | None = None
        for card in cards:
            if first and all(card.name in each.alike for each in first) and not oom:
                runs.append((card, _heaviest(first, card), True))
                continue
            mine = replace(job, card=vram or card.name, others=() if first else job.others)
            place = folder / str(len(runs))
            place.mkdir()

            def once(job: Job, name: str, *, later: bool, place: Path = place) -> Outcome:
                return _one(job, what, place / name, timeout, to_stderr=output_to_stderr, silent=quiet or later)

            made = _processes(mine, once, rank, card, later=bool(first))
            if not first:
                ranks = of_processes(made, card) if what.launch else of_cards(made[0], card)
            runs.append((card, _heaviest(made, card), not first))
            first = first or made
        report = summarize(
            what.name or str(script),
            runs,
            named=named,
            skipped=what.notes,
            keep_events=keep_events,
            ranks=ranks,
        )
        return asked_versions.told(report, what)


def _processes(job: Job, once: Once, which: WhichRanks, card: Gpu, *, later: bool) -> tuple[Outcome, ...]:
    """One process, or the ranks that differ: the first, the last, and one between where these two differ."""
    if not job.launch:
        return (once(job, "0", later=later),)
    made = [once(replace(job, rank=0), "0", later=later)]
    last = made[0].world_size - 1
    if not last or which == "first" or made[0].exit_code:
        return tuple(made)
    heard = str(Path(job.folder) / "0" / "0" / SAID)
    made.append(once(replace(job, rank=last, heard=heard), "last", later=True))
    alike = len({_own_peaks(each, card) for each in made}) == 1
    if last > 1 and not alike and not made[-1].exit_code and which != "last":
        made.insert(1, once(replace(job, rank=1, heard=heard), "1", later=True))
    return tuple(made[-1:] if which == "last" else made)


def _own_peaks(outcome: Outcome, card: Gpu) -> Peaks:
    own = of_one_card(outcome, outcome.card)
    return peaks_on(own.events, card, settings_of(own), line_of(own, card))


def _heaviest(outcomes: Sequence[Outcome], card: Gpu) -> Outcome:
    """That of the rank, or the card of one process, with the largest process; what failed anywhere is told."""
    own = [of_one_card(each, each.card) for each in outcomes]
    if len(outcomes) == 1 and not outcomes[0].launched:
        own = [of_one_card(outcomes[0], number) for number in sorted({0, *outcomes[0].cards.values()})]
    most = max(own, key=lambda each: peaks_on(each.events, card, settings_of(each), line_of(each, card)).process)
    most = replace(most, stopped_after=max(each.stopped_after for each in outcomes))
    failed = next((each for each in outcomes if each.exit_code), None)
    if failed is None:
        return most
    named = f"rank {failed.rank}: {failed.error}" if len(outcomes) > 1 else failed.error
    return replace(most, exit_code=failed.exit_code, error=named)


class Once(Protocol):
    """Runs a job's child in a folder of this name."""

    def __call__(self, job: Job, name: str, *, later: bool) -> Outcome:
        """What came of it; ``later`` ones print nothing."""


def _one(job: Job, what: Invocation, folder: Path, timeout: float | None, *, to_stderr: bool, silent: bool) -> Outcome:
    """One child's run. Raises InspectorError for what the user can mend."""
    folder.mkdir()
    path = replace(job, folder=str(folder)).write_to(folder)
    code = run_child(path, dict(what.environment), to_stderr=to_stderr, timeout=timeout, silent=silent)
    outcome = read_outcome(folder)
    if outcome is None:
        if code == OUR_FAULT:
            raise OurFaultError("the simulated world could not be put together")
        if code is None:
            raise InspectorError(
                f"{what.name} had done nothing when its time was up", hint="give it a longer --timeout"
            )
        raise InspectorError(
            f"{what.name} ended its process without a word (a crash in C code, or too little memory here)",
            hint="run it on a CPU with a tiny model to see whether it is the script's own",
        )
    if outcome.ours:
        raise OurFaultError(outcome.error)
    if outcome.mistake:
        raise InspectorError(outcome.mistake, hint=outcome.hint)
    if code is None:
        return replace(outcome, exit_code=0, error="", stopped_after=timeout or 0.0)
    return outcome


class OurFaultError(RuntimeError):
    """The simulation is wrong, not the script; the child has shown where. Exit code 70."""

    exit_code = OUR_FAULT


def _cards(gpu: str | Sequence[str], vram: str) -> tuple[list[Gpu], bool]:
    names = [gpu] if isinstance(gpu, str) else list(gpu)
    names = [name for name in names if name]
    if vram and names:
        raise InspectorError("a card's memory takes the place of its name", hint="give either --gpu or --vram")
    if vram:
        return [card_of_size(vram)], True
    found = [find_gpu(name) for name in names or [DEFAULT_CARD]]
    return list({card.name: card for card in found}.values()), bool(names)


def _data(data: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """``NAME=FILE`` as a mapping to absolute paths. Raises InspectorError for what is no such pair, or no file."""
    pairs = data.items() if isinstance(data, Mapping) else [str(text).partition("=")[::2] for text in data]
    out = {}
    for name, file in pairs:
        path = Path(file)
        if not file or not path.is_file():
            raise InspectorError(f"--data {name}={file} names no file", hint="such as --data imdb=rows.jsonl")
        if path.suffix not in {".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt"}:
            raise InspectorError(
                f"{file} is no kind of file that datasets reads", hint=".jsonl, .csv, .parquet or .txt"
            )
        out[name] = str(path.resolve())
    return out


def _lengths(text: str, *, worst: bool) -> tuple[int, ...]:
    """Lengths of the rows that are made, in tokens; with ``worst`` the longest of a file, or of many that are drawn."""
    if not text:
        return ()
    lengths = parse_lengths(text)
    if not worst:
        return lengths.sample(ROWS)
    return tuple(sorted(lengths.known or lengths.sample(WORST_OF), reverse=True)[:ROWS])


def _policies(assume: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` as a mapping. Raises InspectorError for a name or a value that is none."""
    pairs = dict(assume) if isinstance(assume, Mapping) else {}
    for text in () if isinstance(assume, Mapping) else assume:
        name, equals, value = str(text).partition("=")
        if not equals:
            raise InspectorError(f"--assume {text} has no value", hint="such as --assume number=2.5")
        pairs[name] = value
    for name, value in pairs.items():
        if name not in ASSUMED:
            raise InspectorError(f"nothing called {name!r} is assumed", hint=f"one of: {', '.join(ASSUMED)}")
        try:
            good = value.lower() in {"true", "false"} if name == "mask" else (float if name == "number" else int)(value)
        except ValueError:
            good = False
        if good is False:
            kind = {"number": "a number", "mask": "true or false", "token": "a token's number"}[name]
            raise InspectorError(f"{value!r} is not {kind}", hint=f"--assume {name}=...")
    return {name: value.lower() for name, value in pairs.items()}

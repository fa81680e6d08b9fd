"""A repository's runs simulated, and held to their limits. Imports torch only for an answer that is not kept."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from inspector.errors import InspectorError
from inspector.files import exists, read_text, write_output
from inspector.fit.checks.figures import figures_of, peaks_of, trainable
from inspector.fit.checks.limits import shown
from inspector.fit.checks.report import Checked, CheckReport, Failed, Fits, Held
from inspector.fit.checks.runs import find_file, read_runs
from inspector.fit.checks.updating import with_today
from inspector.fit.checks.words import card_option, script_words
from inspector.units import mebibytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inspector.fit.checks.figures import Answer
    from inspector.fit.checks.named_runs import Run, RunsFile
    from inspector.simulate.script.report import ScriptReport


def check(
    file: Path | str | None = None,
    names: Sequence[str] = (),
    *,
    update: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    output_to_stderr: bool = True,
) -> CheckReport:
    """Simulate the runs of a repository's file and hold them to their limits.

    Args:
        file: inspector.toml or a pyproject.toml; left out, the nearest in this folder or above.
        names: of the runs; all when there are none.
        update: write today's figures beside the limits.
        progress: told which run is simulated.
        output_to_stderr: where scripts print.

    Returns:
        A `CheckReport`; a limit that does not hold is an answer in it, not an error, and so is a run that cannot be
        simulated beside others that can.

    Raises:
        InspectorError: with the line, for a broken file, and where no run can be simulated.
    """
    found = read_runs(Path(file) if file is not None else find_file(Path.cwd()))
    checked, failed = [], list[InspectorError]()
    without = []
    for run in found.chosen(names):
        progress(run.name)
        try:
            checked.append(_checked(run, found, to_stderr=output_to_stderr))
        except InspectorError as error:
            failed.append(type(error)(f"{run.at}: the run {run.name!r}: {error.message}", hint=error.hint))
            without.append(Failed(run.name, run.at, error.message, error.hint or ""))
    if failed and not checked:
        raise failed[0]
    if update:
        _update(found, checked)
    return CheckReport(_from_here(found.path), tuple(checked), tuple(without), updated=update)


def _update(found: RunsFile, checked: Sequence[Checked]) -> None:
    # What a script took until it ended early is none of its figures.
    made = with_today(found, {run.name: run.today for run in checked if not run.error})
    # Hours may have gone by: what somebody wrote meanwhile is theirs.
    if read_text(found.path) != found.text:
        raise InspectorError(f"{found.path.name} was changed while it was checked", hint="run it again: all is kept")
    if made != found.text:
        write_output(found.path, made.encode())


def _checked(run: Run, found: RunsFile, *, to_stderr: bool) -> Checked:
    folder = found.path.parent
    first, verdicts = _asked(run, folder, to_stderr=to_stderr)
    figures, whole = figures_of(first), 0
    for name in run.cards:
        if name not in verdicts:
            answer = _answer(run, {**_without_card(run.options), **card_option(name)}, folder, to_stderr=to_stderr)
            verdicts[name] = Fits(name, answer.verdict, peaks_of(answer).margin)
    if any(limit.figure == "trainable" for limit in run.limits):
        figures["trainable"], whole = trainable(cast("Any", first))
    for limit in run.limits:
        if limit.figure not in figures:
            raise InspectorError(f"{limit.text}: of {run.kind} {limit.figure} is not known",
                                 hint=f"known: {', '.join(figures)}")  # fmt: skip
    ended = _error(first)
    limits = tuple(
        Held(limit.text, limit.figure, value, limit.unit, limit.measured(value, whole), limit.bound,
             limit.over(value, whole), (None if ended else True) if limit.holds(value, whole) else False)
        for limit in run.limits for value in (figures[limit.figure],)
    )  # fmt: skip
    fits = tuple(replace(verdicts[name], ended=bool(ended)) for name in run.cards)
    today = _today(limits, fits, figures)
    return Checked(
        run.name, run.kind, run.what, run.at, first.gpu.name, figures, whole, limits, fits, today,
        {name: run.today[name] for name, text in today.items() if run.today.get(name, text) != text},
        ended, first,
    )  # fmt: skip


def _error(answer: Answer) -> str:
    """What ended a script before it was through, or who stopped it."""
    if stopped := getattr(answer, "stopped_after", 0.0):
        return f"it was stopped after {stopped:g} s"
    code = getattr(answer, "script_exit_code", 0)
    return f"it ended with exit code {code}: {getattr(answer, 'error', '')}" if code else ""


def _today(limits: Sequence[Held], fits: Sequence[Fits], figures: dict[str, int]) -> dict[str, str]:
    """What stands beside the limits after ``--update``: the figures they are of, or the peak where there are none."""
    found = {each.figure: today_text(each) for each in limits}
    for each in fits:
        found[each.card] = f"{each.verdict}, {mebibytes(each.margin)} left" if each.margin >= 0 else each.verdict
    return found or {"peak": mebibytes(figures["peak"])}


def today_text(held: Held) -> str:
    """A figure as it is written into the file: MiB to the tenth, a count with its share."""
    if held.figure != "trainable":
        return mebibytes(held.value)
    share = f" ({shown('share', held.measured)})" if held.unit == "share" else ""
    return f"{held.value:,}{share}"


def _asked(run: Run, folder: Path, *, to_stderr: bool) -> tuple[Answer, dict[str, Fits]]:
    """The run on its own card, and what that says of cards it must fit; a script is told all of them at once."""
    if run.kind != "script" or "vram" in run.options:
        answer = _answer(run, dict(run.options), folder, to_stderr=to_stderr)
        own = run.options.get("gpu") or run.options.get("vram")
        fits = {own: Fits(own, answer.verdict, peaks_of(answer).margin)} if own in run.cards else {}
        return answer, fits
    from inspector.gpus import find_gpu

    named = [run.options["gpu"]] if "gpu" in run.options else []
    named += [name for name in run.cards if "gpu" in card_option(name) and name not in named]
    answer = cast("ScriptReport", _answer(run, {**run.options, "gpu": named}, folder, to_stderr=to_stderr))
    said = {each.gpu.name: each for each in answer.verdicts}
    return answer, {
        name: Fits(name, one.verdict, one.peaks.margin)
        for name in named if name in run.cards for one in (said[find_gpu(name).name],)
    }  # fmt: skip


def _without_card(options: Mapping[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in options.items() if word not in {"gpu", "vram"}}


def _answer(run: Run, options: dict[str, Any], folder: Path, *, to_stderr: bool) -> Answer:
    """The command's own answer."""
    rest = cast("Any", options)
    if run.kind == "script":
        from inspector.simulate.script.invocation import parse_invocation
        from inspector.simulate.script.running import run as run_script

        args = rest.pop("args", [])
        words = [*run.script, *(script_words([args]) if isinstance(args, str) else args)]
        for name in {"assume", "data"} & set(rest):
            rest[name] = [rest[name]] if isinstance(rest[name], str) else rest[name]
        what = parse_invocation([_named(folder, word) for word in words])
        return run_script(what, output_to_stderr=to_stderr, **rest)
    model = _named(folder, run.model) if run.model else None
    if run.kind == "generate":
        from inspector.fit.longest_prompt import generate_with_longest_prompt

        report = generate_with_longest_prompt(model or "", solve=False, **rest)
        if report.kind == "at_least":
            raise InspectorError("limits are of runs that are simulated, on NVIDIA's cards alone", hint="name one")
        return cast("Answer", report)
    from inspector.fit.ways import finetune_anywhere

    found = finetune_anywhere(model, config=[_named(folder, name) for name in run.config], advise=False, **rest)
    if found.kind == "long_run":
        raise InspectorError("limits are of a step, not of a run of many lengths", hint="leave out lengths")
    return cast("Answer", found)


def _named(folder: Path, word: str) -> str:
    """A word as it is said from here, where it names something beside the file: that is how the file means it."""
    if not exists(folder / word) or Path(word).is_absolute():
        return word
    return _from_here(folder / word)


def _from_here(path: Path) -> str:
    """A path below this folder without it, as a report that others read names nobody's home."""
    return os.path.relpath(path)

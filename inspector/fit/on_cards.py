"""Which way of training fits which card: a plan for one card, a table for several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from inspector.errors import InspectorError
from inspector.fit.at_least import AtLeastReport, train_at_least
from inspector.fit.colocated import engine_told
from inspector.fit.plan import FitPlan, plan
from inspector.fit.serving_table import ServingTable, serving_table
from inspector.fit.table import USUAL_CARDS, FitTable, fit_table
from inspector.fit.ways_table import ways_table
from inspector.gpus import Accelerator, card_of_size, find_card, find_gpu
from inspector.simulate.setup.asked_files import for_every_way
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.stored import follow_checkpoint
from inspector.sources.bundled import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inspector.fit.ways_table import WaysTable
    from inspector.simulate.setup.options import FitOptions, TrainingOptions


def fit_or_serve(
    reference: str | None = None, progress: Callable[[str], None] = lambda _: None, **options: Unpack[FitOptions]
) -> FitPlan | FitTable | WaysTable | ServingTable | AtLeastReport:
    """`fit`, or with ``serving`` the engines and cards that hold ``users`` requests of ``context`` tokens at once.

    Raises InspectorError as `fit` and `serving_table`, and for settings of the one said with the other.
    """
    rest: dict[str, Any] = dict(options)
    users, context = rest.pop("users", None), rest.pop("context", None)
    if not rest.pop("serving", False):
        if users is not None or context is not None:
            raise InspectorError("--users and --context are of serving", hint="say --serving too")
        return fit(reference, progress=progress, **rest)
    gpu, gpus = rest.pop("gpu", ()), rest.pop("gpus", None)
    names = (gpu,) if isinstance(gpu, str) and gpu else tuple(gpu)
    if "all" in names or (others := [name for name, value in rest.items() if value not in (None, "", (), False)]):
        what = "--gpu all" if "all" in names else f"--{others[0].replace('_', '-')}"
        raise InspectorError(
            f"{what} is no setting of --serving", hint="name cards with --gpu, and leave out training's"
        )
    return serving_table(
        reference or DEFAULT_MODEL,
        users=1 if users is None else users,
        context=context or 0,
        gpu=names,
        gpus=gpus,
        progress=progress,
    )


def fit(
    reference: str | None = None,
    *,
    gpu: Sequence[str] | str = (),
    vram: str = "",
    solve: bool = False,
    gpus: int | None = None,
    config: Sequence[Path | str] | Path | str = (),
    tool_version: str = "",
    progress: Callable[[str], None] = lambda _: None,
    **options: Unpack[TrainingOptions],
) -> FitPlan | FitTable | WaysTable | AtLeastReport:
    """Simulate the ways of training a model on cards.

    Args:
        reference: a model as everywhere; left out, that of the files, else Llama 3.1 8B.
        gpu: a card by its name, several, or ``all``; the usual ones when left out.
        vram: one card by its memory, such as ``16GiB``, in the place of a name.
        solve: with one card, also find the largest batch size, length and rank that fit.
        gpus: the most cards of a kind: a table of ways to share the training among them.
        config: files of a trainer, whose settings go before the defaults; for that table, of launchers too.
        tool_version: the trainer's version.
        progress: told which method is being simulated.
        options: settings as `inspector.simulate.finetune` takes them; a table takes size, length and dtype alone.

    Returns:
        For one card a `FitPlan`: the verdict, and what to change where it does not fit; else a `FitTable`; with
        ``gpus`` a `WaysTable`. For accelerators of other makers what is taken at the least.

    Raises:
        InspectorError: for an unknown card, bad settings, or what a table cannot be told.
        CannotSimulateError: when nothing of this model can be simulated.
    """
    from inspector.sources.bundled import find
    from inspector.sources.resolve import resolve, resolve_config

    files = (config,) if isinstance(config, (str, Path)) else tuple(config)
    said = for_every_way(files, options, tool_version=tool_version, one_card=gpus is None)
    reference = reference or said.model or DEFAULT_MODEL
    names = (gpu,) if isinstance(gpu, str) and gpu else tuple(gpu)
    if vram and names:
        raise InspectorError("--gpu and --vram exclude each other", hint="name one card, or its memory")
    if others := _others(names):
        if vram or solve or gpus is not None or files or any(value is not None for value in options.values()):
            raise InspectorError(
                f"{others[0].name} is {others[0].maker}'s, and no training step is simulated on it",
                hint="without further settings: what weights, adapters and optimizer take at the least",
            )
        return train_at_least(reference, others)
    if gpus is not None:
        if vram or solve or "all" in names:
            raise InspectorError("--gpus takes cards by name alone", hint="leave out --vram and --solve")
        names_of_files = ", ".join(str(file) for file in files)
        return ways_table(reference, gpus, gpu=names, said=said, named=names_of_files, progress=progress, **options)
    if vram or (len(names) == 1 and names[0] != "all"):
        card = card_of_size(vram) if vram else find_gpu(names[0])
        found = resolve_config(reference)
        settings = follow_checkpoint(resolve_setup(from_files=said.settings, **options), found).settings
        name = find(reference) or reference
        return plan(name, found, engine_told(name, settings, card), card, solve=solve)
    # The rows of a table are ways of training: any other setting contradicts some of them, or is the same in all.
    typed = {name for name, value in options.items() if value is not None}
    if (other := sorted(typed - {"batch_size", "seq_len", "target_len", "dtype"})) or solve:
        what = ", ".join(f"--{name.replace('_', '-')}" for name in other) or "--solve"
        raise InspectorError(f"{what} needs one card", hint="name it with --gpu")
    settings = resolve_setup(from_files=said.settings, **options).settings
    return fit_table(
        find(reference) or reference,
        resolve_config(reference),
        resolve(reference).facts.dtype if settings.dtype == "auto" else settings.dtype,
        gpus=names or USUAL_CARDS,
        batch_size=settings.batch_size,
        seq_len=settings.seq_len,
        target_len=settings.target_len,
        progress=progress,
    )


def _others(names: Sequence[str]) -> tuple[Accelerator, ...]:
    """The accelerators among cards by name. Raises InspectorError where they stand among NVIDIA's, or for no card."""
    found = [find_card(name) for name in names if name != "all"]
    others = tuple(each for each in found if isinstance(each, Accelerator))
    if others and len(others) < len(names):
        raise InspectorError(f"{others[0].name} is not compared with NVIDIA's: steps are simulated on those alone",
                             hint="ask for them apart")  # fmt: skip
    return others

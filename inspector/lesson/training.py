"""What training takes at its peak: dry runs of three methods on six cards, made once and kept as data.

A dry run needs torch and seconds; a page must not. `make` runs them, `load` reads those that ship with the package.
Of a checkpoint that is quantized already there are the methods that transformers and PEFT have for it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from inspector.lesson.as_stored import AsStored
    from inspector.lora import LoraRow
    from inspector.simulate.setup.words import Method

DRY_RUNS = Path(__file__).parent.parent / "data" / "dryruns"
# The smallest memory first: in each row of the table the verdict turns but once.
CARDS = ("RTX 4070", "T4", "L4", "A100-40GB", "A100-80GB", "H200")
CHART_CARD = "A100-80GB"
WAYS_CARD = "T4"
"""The card of free notebooks: what does not fit it is asked what would make it fit."""
# The most memory first: down the chart, the bars get shorter.
METHODS: tuple[Method, ...] = ("full", "lora", "qlora")
BATCH_SIZE, SEQ_LEN = 1, 2048


@dataclass(frozen=True, slots=True)
class DryRun:
    """One simulated fine-tuning: its peak on one card. Sizes in bytes.

    ``alive`` is what was allocated at the highest moment, by kind; ``process_bytes`` is what the card must have: the
    segments PyTorch reserves and the CUDA context. ``weights`` says how the base's weights are there, where the
    checkpoint is quantized already.
    """

    method: str
    card: str
    usable_bytes: int
    process_bytes: int
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    peak_stage: str
    verdict: str
    alive: tuple[tuple[str, int], ...]
    weights: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """A change that makes a run smaller, simulated by itself: what it is, what it costs, the flag to type.

    ``what`` and ``cost`` are in the words of `inspector.fit.changes`; the first way of all is the run as it is.
    """

    what: str
    cost: str
    flag: str
    process_bytes: int
    verdict: str


@dataclass(frozen=True)
class Ways:
    """What brings the largest method that can be brought there onto a small card."""

    method: str
    card: str
    usable_bytes: int
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Training:
    """The dry runs of one model, with what they have in common. ``refused`` are methods with what is said of them."""

    model: str
    batch_size: int
    seq_len: int
    r: int
    target_modules: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    runs: tuple[DryRun, ...]
    refused: tuple[tuple[str, str], ...] = ()
    ways: Ways | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that were run, the most memory first."""
        return tuple(dict.fromkeys(run.method for run in self.runs))

    def run(self, method: str, card: str = CHART_CARD) -> DryRun:
        """The run of a method on a card."""
        return next(run for run in self.runs if (run.method, run.card) == (method, card))


def make(
    reference: str,
    model: str,
    adapters: LoraRow,
    stored: AsStored | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    seq_len: int = SEQ_LEN,
    cards: Sequence[str] = CARDS,
    progress: Callable[[str], None] = lambda _: None,
) -> Training:
    """Dry-run full fine-tuning, LoRA and QLoRA (nf4, double quantization) on each card.

    Args:
        reference: the model, as everywhere.
        model: its id.
        adapters: rank and target modules of the adapters.
        stored: how its checkpoint is stored, where it is quantized already.
        batch_size: samples a step.
        seq_len: tokens a sample.
        cards: the cards to run it on.
        progress: told what is running.

    Raises:
        InspectorError: when the model's step cannot be simulated, or a quantized checkpoint does not train.
    """
    from inspector.errors import ContradictionError
    from inspector.simulate.finetuning import finetune

    lora = {"r": adapters.r, "alpha": adapters.alpha, "target_modules": adapters.target_modules}
    # Double quantization, so that QLoRA stands on the same weights as the bar of 4 bits.
    options: dict[str, dict[str, Any]] = {"full": {}, "lora": lora, "qlora": {**lora, "double_quant": True}}
    if stored:
        # By name, so that it is refused: LoRA is what trains on the stored weights themselves.
        options["qlora"] |= {"scheme": "nf4"}
    runs, versions = [], {}
    refused: dict[str, ContradictionError] = {}
    for method in METHODS:
        if stored and method == "qlora" and stored.is_bitsandbytes:
            continue  # LoRA is that
        for card in cards:
            progress(f"{method} on {card}")
            try:
                report = finetune(
                    reference, method=method, gpu=card, batch_size=batch_size, seq_len=seq_len, **options[method]
                )
            except ContradictionError as error:
                if stored is None:
                    raise
                refused[method] = error
                break
            versions = dict(report.versions)
            runs.append(
                DryRun(
                    method=method,
                    card=card,
                    usable_bytes=report.gpu.usable_bytes,
                    process_bytes=report.process_bytes,
                    peak_allocated_bytes=report.peak_allocated_bytes,
                    peak_reserved_bytes=report.peak_reserved_bytes,
                    peak_stage=report.peak_stage,
                    verdict=report.verdict,
                    alive=tuple((share.name, share.nbytes) for share in report.alive_at_peak),
                    weights=next((line for line in report.assumptions if stored and stored.title in line), ""),
                )
            )
    if not runs:
        raise refused["lora"]
    wanted = {"batch_size": batch_size, "seq_len": seq_len}
    missed = [run for run in runs if run.card == WAYS_CARD and run.verdict == "does not fit"]
    return Training(
        model=model,
        batch_size=batch_size,
        seq_len=seq_len,
        r=adapters.r,
        target_modules=tuple(adapters.target_modules),
        versions=tuple(versions.items()),
        runs=tuple(runs),
        refused=tuple((method, error.message) for method, error in refused.items()),
        ways=next(
            # From the smallest method up: the first for which something can be done.
            (found for run in reversed(missed) if (found := ways(reference, run, {**options[run.method], **wanted}))),
            None,
        ),
    )


def ways(reference: str, run: DryRun, options: Mapping[str, Any]) -> Ways | None:
    """What makes a run fit the card that it misses: each change simulated by itself.

    Args:
        reference: the model.
        run: the run that does not fit.
        options: its settings.

    None where no single change makes it fit.
    """
    from inspector.fit.advise import finetune_with_advice
    from inspector.fit.plan import FitPlan

    given = {**options, "method": run.method, "gpu": run.card}
    plan = finetune_with_advice(reference, advise=True, **given).plan
    found = [
        Way(change.what, change.cost, _flag(change.settings), change.peaks.process, change.peaks.verdict)
        for change in (plan.changes if isinstance(plan, FitPlan) else ())
    ]
    if not any(way.verdict != "does not fit" for way in found):
        return None
    return Ways(run.method, run.card, run.usable_bytes, (Way("", "", "", run.process_bytes, run.verdict), *found))


def _flag(settings: Iterable[tuple[str, Any]]) -> str:
    """What to type for these settings: ``--loss chunked``."""
    said = []
    for name, value in settings:
        word = name.replace("_", "-")
        said.append(f"--{'' if value else 'no-'}{word}" if isinstance(value, bool) else f"--{word} {value}")
    return " ".join(said)


def path_of(model: str) -> Path:
    """Where a bundled model's dry runs are kept."""
    # A slash would be a folder; the hub's own cache writes it as two dashes, too.
    return DRY_RUNS / f"{model.replace('/', '--', 1)}.json"


def load(model: str) -> Training | None:
    """The dry runs that ship for a model; None when there are none."""
    path = path_of(model)
    if not path.is_file():
        return None
    data = json.loads(path.read_text(encoding="utf-8"))
    # JSON has no tuples: without these a report read would not equal the report written.
    runs = tuple(
        DryRun(**{**run, "alive": tuple((name, nbytes) for name, nbytes in run["alive"])}) for run in data["runs"]
    )
    versions = tuple((name, version) for name, version in data["versions"])
    kept = data.get("ways")
    ways = Ways(**{**kept, "ways": tuple(Way(**way) for way in kept["ways"])}) if kept else None
    found = {**data, "ways": ways, "runs": runs, "versions": versions, "target_modules": tuple(data["target_modules"])}
    return Training(**{**found, "refused": tuple(map(tuple, data.get("refused", ())))})


def dumps(training: Training) -> str:
    """The JSON text that `load` reads."""
    return json.dumps(asdict(training), indent=1) + "\n"

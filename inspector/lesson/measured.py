"""What was measured, beside what is predicted: records that ship with Inspector, and figures others published."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.lenses.weights import weights
from inspector.precision import scheme_named
from inspector.sources.bundled import find, load_bundled, model_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.skeleton import Skeleton

DATA = Path(__file__).parent.parent / "data"
RECORDS = DATA / "measurements"
PUBLISHED = DATA / "truth" / "footprints.json"
LEDGER = DATA / "dryruns" / "ledger.json"

FIGURES = {
    "tensor_bytes": "tensor bytes",
    "footprint_bytes": "printed footprint",
    "allocated_bytes": "allocated",
    "lora_bytes": "adapters",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure, predicted and measured, in bytes; ``resolution`` is how finely it was told (1: to the byte)."""

    model: str
    what: str
    predicted: int
    measured: int
    device: str
    versions: str
    date: str
    source: str
    resolution: int = 1


@dataclass(frozen=True)
class Quality:
    """Relative error of a layer's weights under each scheme, measured with the libraries' own kernels; 0.1 is 10 %."""

    model: str
    weights: str
    versions: str
    errors: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Published training runs of a card beside their dry runs: pairs of predicted and measured peaks, in bytes."""

    device: str
    pairs: tuple[tuple[int, int], ...]

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.pairs)

    @property
    def errors(self) -> tuple[float, ...]:
        """Predicted over measured, less one, of each."""
        return tuple(predicted / measured - 1 for predicted, measured in self.pairs)

    @property
    def mean_error(self) -> float:
        """Mean of the errors' magnitudes, a fraction."""
        return sum(map(abs, self.errors)) / self.runs

    @property
    def worst_error(self) -> float:
        """The error of the largest magnitude, with its sign."""
        return max(self.errors, key=abs)


def measured(skeleton: Skeleton) -> tuple[Measured, ...]:
    """The model's own records; with none, what others printed of any bundled model."""
    return tuple(_own(skeleton)) or tuple(_published())


def quality(model: str) -> Quality | None:
    """The measured errors of the model's record, else of any record that has them."""
    found = [record for record in _records() if record["result"].get("quality")]
    # Trained weights before random ones: outliers, which a scheme suffers from, come of training.
    found.sort(key=lambda record: (find(record["spec"]["model"]) != model, record["spec"]["weights"] == "random"))
    if not found:
        return None
    spec, result = found[0]["spec"], found[0]["result"]
    schemes = result["quality"]["schemes"].items()
    return Quality(
        find(spec["model"]) or spec["model"],
        spec["weights"],
        _libraries(result["versions"]),
        tuple((name, error["weight_error"]) for name, error in schemes),
    )


def ledger() -> tuple[LedgerLine, ...]:
    """Published training peaks beside their dry runs, as `inspector validate` found them when the data was made."""
    if not LEDGER.is_file():
        return ()
    lines = json.loads(LEDGER.read_text(encoding="utf-8"))
    return tuple(LedgerLine(line["device"], tuple(map(tuple, line["pairs"]))) for line in lines)


# One page asks twice, for what was measured and for the errors.
@lru_cache(maxsize=1)
def _records() -> tuple[dict[str, Any], ...]:
    """Shipped records that were measured to their end, in the order of their names."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json")))
    return tuple(record for record in found if record["result"].get("status") == "measured")


def _own(skeleton: Skeleton) -> Iterator[Measured]:
    """Figures of whole models only: one cut to a few layers has another size."""
    from inspector.measure.report import judged
    from inspector.measure.spec import MeasureSpec

    for record in _records():
        spec, result = record["spec"], record["result"]
        if spec.get("layers") or find(spec["model"]) != skeleton.model_id:
            continue
        device = result["device"]
        for figure in judged(MeasureSpec.from_dict(spec), result).comparisons:
            if figure.name in FIGURES:
                yield Measured(
                    skeleton.model_id,
                    f"{spec['scheme']}, {FIGURES[figure.name]}",
                    figure.predicted,
                    figure.measured,
                    str(device.get("name") or device.get("type")),
                    _libraries(result["versions"]),
                    str(record.get("date", ""))[:10],
                    "inspector measure",
                )


def _published() -> Iterator[Measured]:
    """What ``get_memory_footprint()`` printed for others; the last digit they gave is all that can be compared."""
    for record in json.loads(PUBLISHED.read_text(encoding="utf-8")):
        scheme = _scheme(record["precision"])
        model = _bundled(record["model"])
        if record["metric"] != "model.get_memory_footprint()" or scheme is None or model is None:
            continue
        predicted = weights(load_bundled(model), scheme_named(scheme)).footprint_bytes
        yield Measured(
            model,
            f"{scheme}, printed footprint",
            predicted,
            round(record["value"] * 1e6),
            "not said",
            "not said",
            "",
            record["source"],
            # All of them printed megabytes with at least one decimal.
            resolution=100_000,
        )


def _scheme(precision: str) -> str | None:
    if "nf4 + double quant" in precision:
        return "nf4-dq"
    # The others say "4bit" and no more: fp4 or nf4, with constants quantized again or not.
    return precision if precision in {"bf16", "fp16", "fp32"} else None


def _bundled(name: str) -> str | None:
    """The bundled model of a published name; the hub once wrote "Meta-Llama-3.1" for "Llama-3.1"."""
    renamed = name.replace("Meta-Llama-3.1", "Llama-3.1")
    return renamed if renamed in model_ids() else None


def _libraries(versions: dict[str, str]) -> str:
    return ", ".join(
        f"{name} {versions[name]}" for name in ("torch", "transformers", "bitsandbytes") if name in versions
    )

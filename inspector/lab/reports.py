"""What the lab found, as frozen reports: plain data without torch, as they are kept and shipped."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.lab.plan import Settings, Setup
from inspector.reporting import TableReport

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Sample:
    """What was measured on what: enough to do it again and to know whether it is the same.

    ``stored`` is how the model's file held its weights; ``texts`` are names and SHA-256 of the texts that were read;
    ``machine`` is the kind of processor or the card, ``threads`` those of torch on a CPU.
    """

    model: str
    stored: str
    digest: str
    texts: Mapping[str, str]
    device: str
    machine: str
    threads: int
    versions: Mapping[str, str]
    date: str

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Sample:
        """What a report's `to_dict` says of it."""
        return cls(**{**data, "texts": {text["name"]: text["sha256"] for text in data["texts"]}})

    @property
    def quantized_before(self) -> bool:
        """Whether the weights had been through a quantized file before any precision of ours."""
        return self.stored.startswith("GGUF") and not self.stored.endswith(("F32", "F16", "BF16"))


@dataclass(frozen=True)
class Precision:
    """The model at one precision.

    ``loss`` is the mean cross-entropy of a token in nats; ``difference`` from float32's, token by token, with
    ``difference_error`` its standard error; ``weight_error`` the relative Frobenius error of all linears that the
    scheme quantizes or rounds; ``tensor_bytes`` weighed, ``predicted_bytes`` what `inspector memory` says.
    """

    scheme: str
    loss: float
    difference: float
    difference_error: float
    weight_error: float
    tensor_bytes: int
    predicted_bytes: int
    seconds: float


@dataclass(frozen=True)
class PrecisionLab(TableReport):
    """Loss, error of the weights and size by precision; ``tokens`` were read in windows of ``window``."""

    kind: ClassVar[str] = "lab_quantize"

    sample: Sample
    tokens: int
    window: int
    rows: tuple[Precision, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PrecisionLab:
        """What `to_dict` gave. Raises KeyError or TypeError for anything else."""
        rows = tuple(Precision(**row) for row in data["rows"])
        return cls(Sample.from_dict(data["sample"]), data["tokens"], data["window"], rows)


@dataclass(frozen=True)
class Finetuned:
    """One fine-tuning run.

    ``before`` and ``loss`` are mean losses of the held-out text before the first step and after the last, in nats;
    ``trained_bytes`` those of the trained weights, ``step_bytes`` with gradients and optimizer state; ``base_bytes``
    of everything else in the model; ``cpu_seconds`` of the steps, all threads together.
    """

    setup: Setup
    before: float
    loss: float
    first_train_loss: float
    last_train_loss: float
    trainable: int
    trained_bytes: int
    step_bytes: int
    base_bytes: int
    seconds: float
    cpu_seconds: float

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Finetuned:
        """What ``dataclasses.asdict`` gave."""
        return cls(**{**data, "setup": Setup(**data["setup"])})


@dataclass(frozen=True)
class FinetuneLab(TableReport):
    """Runs that differ in one thing at a time; ``planned`` is how many there would be when all are done."""

    kind: ClassVar[str] = "lab_lora"

    sample: Sample
    settings: Settings
    runs: tuple[Finetuned, ...]
    planned: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FinetuneLab:
        """What `to_dict` gave. Raises KeyError or TypeError for anything else."""
        runs = tuple(Finetuned.from_dict(run) for run in data["runs"])
        return cls(Sample.from_dict(data["sample"]), Settings(**data["settings"]), runs, data["planned"])

    def run(self, **wanted: object) -> Finetuned | None:
        """The run of the centre with these fields of its setup changed, or None when it is not there."""
        setup = Setup(**{**asdict(Setup()), **wanted})
        return next((run for run in self.runs if run.setup == setup), None)

"""What to measure: plain data that says all a run needs, and so all a record needs to repeat it."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from inspector.architecture.own_code import is_trusted, trusted_again
from inspector.config_json import layer_count, with_layers
from inspector.errors import InspectorError, in_one_line
from inspector.lora.spec import LoraSpec
from inspector.precision import scheme_named
from inspector.simulate.setup.words import check_words
from inspector.skeleton.habits import usual
from inspector.skeleton.vocabulary import Vocabulary
from inspector.sources.bundled import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVICES = ("auto", "cpu", "cuda")
MeasuredOptimizer = Literal[
    "adamw_torch", "adamw_torch_fused", "adamw_bnb_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "sgd"
]
MeasuredAttention = Literal["sdpa", "eager"]


@dataclass(frozen=True, slots=True)
class MeasuredLora:
    """The adapters to add with PEFT. ``target_modules`` are names or endings, or one regular expression as a string.

    All but ``dropout`` are fields of `LoraSpec`, which counts them: those that choose and size A and B of modules.
    Stacked experts, whole modules, rows of tokens and biases are not measured.
    """

    r: int = 32
    target_modules: tuple[str, ...] | str = ("q_proj", "k_proj", "v_proj", "o_proj")
    lora_alpha: int | None = None
    dropout: float = 0.0
    exclude_modules: tuple[str, ...] | str = ()
    layers_to_transform: tuple[int, ...] = ()
    layers_pattern: tuple[str, ...] = ()
    rank_pattern: tuple[tuple[str, int], ...] = ()
    alpha_pattern: tuple[tuple[str, int], ...] = ()
    use_rslora: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise InspectorError(f"dropout must be at least 0 and below 1, not {self.dropout!r}")
        # Made once here for what it refuses: PEFT itself would say it only after its import.
        _ = self.counted

    @property
    def counted(self) -> LoraSpec:
        """What decides how large they are, for the lens."""
        said = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "dropout"}
        return LoraSpec(**said)


@dataclass(frozen=True, slots=True)
class StepSetup:
    """The training steps to run, on random tokens of full length. The names are those of the dry run's settings."""

    batch_size: int = 1
    seq_len: int = 2048
    optimizer: MeasuredOptimizer = "adamw_torch"
    gradient_checkpointing: bool = True
    attention: MeasuredAttention = "sdpa"
    steps: int = 3

    def __post_init__(self) -> None:
        # Of one token nothing is predicted. The first step makes the optimizer's state and does not count.
        for name, least in (("batch_size", 1), ("seq_len", 2), ("steps", 2)):
            if getattr(self, name) < least:
                raise InspectorError(f"{name} must be at least {least}, not {getattr(self, name)}")
        object.__setattr__(self, "optimizer", usual("optimizer", self.optimizer))
        check_words(self)


@dataclass(frozen=True, slots=True)
class MeasureSpec:
    """One measurement.

    Its parts are not those of a dry run's setup: every word here is done on a real device, and most of what a dry run's
    adapters, batch and loop can be told is nothing that the measured program does. Records on disk have these words.

    ``layers`` cuts the model to its first decoder layers. ``weights`` is ``random``, ``hub`` or a folder of
    safetensors. ``limit_bytes`` pretends the device had no more than that. ``quality`` adds the error of the
    approximation. ``resize_vocab`` and ``pad_to_multiple_of`` are those of `inspector.load`: a model of random weights
    with other rows. ``parallel`` is a way to share the model, of which this is rank ``rank`` among ``world_size``.
    """

    model: str = DEFAULT_MODEL
    scheme: str = "nf4-dq"
    device: str = "auto"
    layers: int | None = None
    weights: str = "random"
    seed: int = 0
    lora: MeasuredLora | None = None
    step: StepSetup | None = None
    limit_bytes: int | None = None
    quality: bool = False
    resize_vocab: int | None = None
    pad_to_multiple_of: int | None = None
    parallel: str = ""
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        scheme_named(self.scheme)
        _ = self.vocabulary  # made once for what it refuses
        if self.layers is not None and self.layers < 1:
            raise InspectorError(f"layers must be at least 1, not {self.layers}")
        kind, _, number = self.device.partition(":")
        if kind not in DEVICES or (number and not (kind == "cuda" and number.isdecimal())):
            raise InspectorError(f"no device is named {self.device!r}", hint="choose auto, cpu, cuda or cuda:1")

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The rows it is to have; None for its config's own."""
        return Vocabulary.of(self.resize_vocab, self.pad_to_multiple_of)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: lists where the spec has tuples."""
        found: dict[str, Any] = _thawed(asdict(self))
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MeasureSpec:
        """The spec of a record. Raises InspectorError for data that is none."""
        try:
            plain = dict(data)
            lora, step = plain.pop("lora", None), plain.pop("step", None)
            if lora:
                lora = MeasuredLora(**{name: frozen(value) for name, value in lora.items()})
            return cls(**plain, lora=lora or None, step=StepSetup(**step) if step else None)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InspectorError(f"this is no specification of a measurement: {in_one_line(error)}") from None


def frozen(value: Any) -> Any:
    """Lists of plain data as tuples, mappings as pairs, all through."""
    if isinstance(value, dict):
        value = list(value.items())
    return tuple(map(frozen, value)) if isinstance(value, (list, tuple)) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _thawed(item) for name, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, tuple) else value


def cut_config(config: Mapping[str, Any], layers: int | None) -> dict[str, Any]:
    """A ``config.json`` with its decoder cut to the first ``layers`` layers, lists of one entry a layer cut with it.

    Raises InspectorError when the config has fewer, or does not say how many.
    """
    if layers is None:
        return copy.deepcopy(dict(config))  # transformers writes into the dicts it is given
    whole = layer_count(config)
    if whole is None:
        raise InspectorError("this config does not say how many layers it has, so they cannot be cut")
    if layers > whole.count:
        raise InspectorError(f"the model has {whole.count} layers, not {layers}")
    return with_layers(config, layers)


@dataclass(frozen=True, slots=True)
class Order:
    """What the measuring process is given: a spec with everything resolved that needs the network or the bundle.

    ``parts`` says of every module's path which part of a model it is; ``folder`` holds the safetensors, or is empty.
    """

    spec: MeasureSpec
    config: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    needed_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {**{name: getattr(self, name) for name in ("config", "parts", "folder", "needed_bytes")},
                # The child is another process: the user's trust in the model's own code has to go with the order.
                "spec": self.spec.to_dict(), "trusted": is_trusted(self.config)}  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Order:
        """The order written by `to_dict`."""
        found = {**data, "spec": MeasureSpec.from_dict(data["spec"])}
        if found.pop("trusted", False):
            found["config"] = trusted_again(found["config"])
        return cls(**found)

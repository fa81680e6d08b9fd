"""How text is generated: the flat settings of a user, checked, and the typed whole they make. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Unpack

from inspector.errors import InspectorError
from inspector.simulate.setup.load import LoadSetup, Quantization
from inspector.simulate.setup.places import GENERATE, flat, part
from inspector.simulate.setup.shorthands import spelled_out
from inspector.simulate.setup.words import CacheKind, DecodingAttention, Dtype, Routing, StoredAs, check_words

if TYPE_CHECKING:
    from inspector.simulate.setup.options import GenerateSettingsOptions


@dataclass(frozen=True, slots=True)
class GenerateSetup:
    """A generation: ``batch_size`` prompts of ``prompt_len`` tokens, ``max_new_tokens`` made for each."""

    load: LoadSetup
    batch_size: int
    prompt_len: int
    max_new_tokens: int
    num_beams: int
    cache: CacheKind
    routing: Routing

    @property
    def sequences(self) -> int:
        """Sequences that a cache keeps: every beam of every prompt."""
        return self.batch_size * self.num_beams

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """How text is generated, in a user's words. ``scheme`` is how the weights are stored; ``dtype`` what computes.

    ``attention`` auto is sdpa where the architecture has it, as transformers chooses; ``routing`` is how tokens spread
    over experts, which is data. ``compute_dtype`` and ``via_cpu`` are as in `inspector.simulate.setup.load`.
    """

    batch_size: int = 1
    prompt_len: int = 1024
    max_new_tokens: int = 256
    num_beams: int = 1
    # What ``generate`` makes where nothing is said.
    cache: CacheKind = "dynamic"
    scheme: StoredAs = "none"
    double_quant: bool = False
    dtype: Dtype = "auto"
    compute_dtype: Dtype = "auto"
    via_cpu: bool = True
    attention: DecodingAttention = "auto"
    routing: Routing = "balanced"

    def __post_init__(self) -> None:
        """Raise InspectorError for a value out of range."""
        # Far more than any card takes: a slip of the keys is told at once and not traced.
        for name, most in (
            ("batch_size", 2**20),
            ("prompt_len", 2**24),
            ("max_new_tokens", 2**24),
            ("num_beams", 2**10),
        ):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InspectorError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")
        check_words(self)
        if self.num_beams > 1 and self.cache == "offloaded":
            raise InspectorError("beams are not simulated with an offloaded cache", hint="use another --cache")
        if self.double_quant and self.scheme not in {"nf4", "fp4"}:
            raise InspectorError("double quantization is for 4-bit schemes", hint="use --scheme nf4")

    @property
    def setup(self) -> GenerateSetup:
        """The typed whole."""
        quantization = part(Quantization, "load.quantization", self, GENERATE) if self.scheme != "none" else None
        load = part(LoadSetup, "load", self, GENERATE, quantization=quantization)
        return part(GenerateSetup, "", self, GENERATE, load=load)

    @classmethod
    def of(cls, setup: GenerateSetup) -> GenerateSettings:
        """The words that make a whole."""
        return cls(**flat(setup, GENERATE))


def generate_settings(**options: Unpack[GenerateSettingsOptions]) -> GenerateSettings:
    """Complete settings from what a user said, in long or in short; None means "not said".

    Raises InspectorError for an unknown setting, a value out of range, or settings that contradict each other.
    """
    return GenerateSettings(**spelled_out(options, [item.name for item in fields(GenerateSettings)]))

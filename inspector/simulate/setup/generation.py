"""How text is generated: the settings of a dry run of generation, checked. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from inspector.errors import InspectorError
from inspector.simulate.setup.finetuning import ROUTING, SCHEMES

CACHES = ("dynamic", "static", "quantized", "offloaded")


@dataclass(frozen=True, slots=True)
class GenerateSetup:
    """How text is generated. ``scheme`` is how the weights are stored; ``dtype`` what they are computed in.

    ``attention`` auto is sdpa where the architecture has it, as transformers chooses; ``routing`` is how tokens spread
    over experts, which is data.
    """

    batch_size: int = 1
    prompt_len: int = 1024
    max_new_tokens: int = 256
    cache: str = "dynamic"
    scheme: str = "none"
    double_quant: bool = False
    dtype: str = "auto"
    attention: str = "auto"
    routing: str = "balanced"

    def __post_init__(self) -> None:
        """Raise InspectorError for a value out of range."""
        for name, most in (("batch_size", 2**20), ("prompt_len", 2**24), ("max_new_tokens", 2**24)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InspectorError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")
        known = {"cache": CACHES, "scheme": SCHEMES, "attention": ("auto", "sdpa", "eager"), "routing": ROUTING}
        for name, allowed in known.items():
            value = getattr(self, name)
            if value not in allowed:
                raise InspectorError(f"{name} {value!r} is not known", hint=f"choose from {', '.join(allowed)}")
        if self.double_quant and self.scheme not in {"nf4", "fp4"}:
            raise InspectorError("double quantization is for 4-bit schemes", hint="use --scheme nf4")

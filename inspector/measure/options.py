"""What people type for a measurement on a command line, as a `MeasureSpec`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.measure.spec import LoraSetup, MeasureSpec, StepSetup
from inspector.precision import schemes_of_bits
from inspector.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Mapping


def spec_from(model: str, options: Mapping[str, Any]) -> MeasureSpec:
    """The spec of the options of `inspector measure`. Raises InspectorError where they contradict each other."""
    if options["bits"] and options["scheme"]:
        raise InspectorError("--bits and --scheme exclude each other", hint="a scheme has its own bits")
    scheme = options["scheme"] or schemes_of_bits(int(options["bits"] or 4))[0].name
    step = None
    if options["step"]:
        names = ("batch_size", "seq_len", "optimizer", "gradient_checkpointing", "attention")
        step = StepSetup(**{name: options[name] for name in names})
        if not options["lora"] and not scheme.startswith(("fp32", "bf16", "fp16")):
            raise InspectorError("quantized weights cannot be trained", hint="add --lora, or --bits 16")
    return MeasureSpec(
        model=model,
        scheme=scheme,
        device=options["device"],
        layers=options["layers"],
        weights=options["weights"],
        seed=options["seed"],
        lora=_lora(model, options) if options["lora"] else None,
        step=step,
        limit_bytes=parse_size(options["limit"]) if options["limit"] else None,
        quality=options["quality"],
    )


def _lora(model: str, options: Mapping[str, Any]) -> LoraSetup:
    """Adapters on the set or names asked for; attention's when nothing was."""
    from inspector.lora import named_set
    from inspector.sources.resolve import resolve

    targets = named_set(resolve(model), options["target_modules"] or "attention").target_modules
    return LoraSetup(r=options["r"], target_modules=targets, dropout=options["dropout"])

"""What people say of a measurement, on a command line or in Python, as a `MeasureSpec`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from inspector.errors import InspectorError
from inspector.measure.spec import MeasuredLora, MeasureSpec, StepSetup
from inspector.precision import schemes_of_bits, usual_scheme
from inspector.simulate.setup.shorthands import spelled_out
from inspector.skeleton.vocabulary import wanted_vocabulary
from inspector.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.lora.options import Pattern

    Bits: TypeAlias = Literal[4, 8, 16, 32, "4", "8", "16", "32"]


class MeasureOptions(TypedDict, total=False):
    """All that `inspector measure` can be told; None means "not said".

    ``lora`` adds PEFT's adapters of rank ``r`` with ``dropout`` on ``target_modules`` (a set's name, or names);
    and the fields of ``LoraConfig`` that choose and size A and B as PEFT takes them; ``step`` runs training steps.
    ``limit`` pretends the device had no more, such as ``16GiB``. ``parallel`` measures this process's rank of several.
    """

    bits: Bits | None
    load_in_4bit: bool | None
    load_in_8bit: bool | None
    scheme: str | None
    device: str | None
    layers: int | None
    weights: str | None
    seed: int | None
    lora: bool | None
    r: int | None
    dropout: float | None
    target_modules: Sequence[str] | str | None
    exclude_modules: Sequence[str] | str | None
    layers_to_transform: Sequence[int] | str | int | None
    layers_pattern: Sequence[str] | str | None
    rank_pattern: Pattern | None
    alpha_pattern: Pattern | None
    use_rslora: bool | None
    step: bool | None
    batch_size: int | None
    seq_len: int | None
    optimizer: str | None
    attention: str | None
    gradient_checkpointing: bool | None
    quality: bool | None
    parallel: str | None
    limit: str | None


_OF_LORA = frozenset(item.name for item in fields(MeasuredLora)) - {"target_modules", "lora_alpha"}
_OF_STEP = ("batch_size", "seq_len", "optimizer", "gradient_checkpointing", "attention")


def spec_from(model: str, options: MeasureOptions) -> MeasureSpec:
    """The spec of the options of `inspector measure`. Raises InspectorError where they contradict each other."""
    # What was not said is left out, so that the defaults stand in the specs alone.
    said: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if unknown := sorted(set(said) - MeasureOptions.__optional_keys__):
        raise InspectorError(f"no option of a measurement is named {unknown[0]!r}")
    scheme = _scheme(said)
    step = None
    if said.get("step"):
        step = StepSetup(**{name: said[name] for name in _OF_STEP if name in said})
        if not said.get("lora") and not scheme.startswith(("fp32", "bf16", "fp16")):
            raise InspectorError("quantized weights cannot be trained", hint="add --lora, or --bits 16")
    rows = wanted_vocabulary()
    shared = _shared(said, step)
    return MeasureSpec(
        model=model,
        resize_vocab=rows.tokens if rows else None,
        pad_to_multiple_of=rows.pad_to_multiple_of if rows else None,
        scheme=scheme,
        lora=_lora(model, said) if said.get("lora") else None,
        step=step,
        limit_bytes=parse_size(said["limit"]) if said.get("limit") else None,
        **{name: said[name] for name in ("device", "layers", "weights", "seed", "quality") if name in said} | shared,
    )


def _shared(said: dict[str, Any], step: StepSetup | None) -> dict[str, Any]:
    """This process's rank among those of its launcher. Raises InspectorError for what is not measured so."""
    way = said.get("parallel")
    if not way:
        return {}
    from inspector.measure.ranks import WAYS, card_said, ranks_said

    if way not in WAYS:
        raise InspectorError(f"--parallel {way} is not measured", hint=f"one of {', '.join(WAYS)}")
    if step is None:
        raise InspectorError("what is shared is seen in training steps", hint="add --step")
    rank, world = ranks_said()
    found = {"parallel": way, "rank": rank, "world_size": world}
    # Each rank has the card of its own number, where there is one.
    return found if said.get("device", "auto") == "cpu" else found | {"device": _own_card(card_said())}


def _own_card(card: str) -> str:
    import torch

    return card if torch.cuda.is_available() else "cpu"


def _scheme(said: dict[str, Any]) -> str:
    """The scheme by its name, or the usual one of the bits; nf4-dq when nothing was said."""
    bits = {int(said["bits"])} if "bits" in said else set()
    bits |= {number for number in (4, 8) if said.get(f"load_in_{number}bit")}
    if len(bits) > 1:
        raise InspectorError(f"{' and '.join(map(str, sorted(bits)))} bits contradict each other")
    if bits and said.get("scheme"):
        raise InspectorError("--bits and --scheme exclude each other", hint="a scheme has its own bits")
    named: str | None = said.get("scheme")
    return usual_scheme(named) if named else schemes_of_bits(bits.pop() if bits else 4)[0].name


def _lora(model: str, said: dict[str, Any]) -> MeasuredLora:
    """Adapters on the set or names asked for; attention's when nothing was."""
    from inspector.lora import named_set
    from inspector.sources.resolve import resolve

    targets = said.get("target_modules") or "attention"
    named = targets if isinstance(targets, str) else ",".join(targets)
    # By the words of a dry run, as they are typed or as PEFT takes them.
    words = spelled_out({name: said[name] for name in _OF_LORA if name in said}, _OF_LORA)
    chosen = named_set(resolve(model), named)
    if chosen.target_parameters:
        raise InspectorError(
            f"adapters of {', '.join(chosen.target_parameters)} are not measured: they are parameters without a module",
            hint="name modules: --target-modules attention",
        )
    return MeasuredLora(target_modules=chosen.target_modules, **words)

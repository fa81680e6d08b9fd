"""Everything a fine-tuning step depends on, and who decided it: you, the recipe, or the library's own default."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields, replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from inspector.errors import ContradictionError, InspectorError
from inspector.simulate.setup.optimizer_names import check_optimizer

if TYPE_CHECKING:
    from collections.abc import Mapping

SetBy = Literal["you", "recipe", "method", "library"]

METHODS = ("full", "lora", "qlora")
SCHEMES = ("none", "nf4", "fp4", "int8")
ATTENTION = ("auto", "sdpa", "eager", "flash_attention_2")
LOSSES = ("full", "chunked", "liger", "trl", "shifted", "upcast")
AUTOCAST = ("none", "bf16", "fp16")
ROUTING = ("balanced", "worst")


@dataclass(frozen=True, slots=True)
class TrainSetup:
    """Every setting of a simulated fine-tuning step. The defaults are the libraries' own.

    ``dtype`` is the dtype the model is loaded in; ``auto`` means the one its config names. ``adapter_dtype`` is
    ``float32`` (PEFT's ``autocast_adapter_dtype=True``), ``auto`` (that of the base layer) or ``bfloat16`` (cast
    after, as SFTTrainer does on a quantized model). ``target_modules`` may be empty: PEFT's own choice for the
    architecture, every linear layer where it has none. ``peft_config``, when given, is the config of any PEFT method
    by PEFT's own names, and replaces all of LoRA's settings. ``clear_cache`` and ``trl_casting`` are what PEFT and
    older SFTTrainers do to a quantized model. ``attention`` ``auto`` is transformers' choice: sdpa where the model
    supports it, else eager. ``use_cache`` is the model config's own default: without checkpointing, a training forward
    fills a key-value cache. ``outputs`` says how long the loop holds the model's output, logits and all: until
    ``loss`` is known, to the end of the ``step``, or into the ``next`` forward. ``outputs_fp32`` says that they are
    converted to float32 first, as accelerate does under mixed precision. ``zero_grad`` says whether gradients are
    dropped ``before`` the forward or ``after`` the optimizer. ``token_accuracy`` says that the loop takes the accuracy
    from a shifted copy of the logits before the backward, as SFTTrainer did in TRL 0.25. ``labels`` are the input ids
    themselves (``shared``) or a ``clone``. ``empty_cache_every`` counts steps; 0 is never. ``via_cpu`` says that
    unquantized weights are loaded on the CPU and moved (``model.to``), not loaded on the device (``device_map``).
    """

    method: str = "qlora"
    scheme: str = "nf4"
    double_quant: bool = False
    dtype: str = "auto"
    compute_dtype: str = "auto"
    r: int = 8
    alpha: int = 8
    dropout: float = 0.0
    target_modules: tuple[str, ...] = ()
    use_dora: bool = False
    use_rslora: bool = False
    modules_to_save: tuple[str, ...] = ()
    adapter_dtype: str = "float32"
    peft_config: tuple[tuple[str, Any], ...] = ()
    prepare_kbit: bool = True
    clear_cache: bool = True
    trl_casting: bool = False
    autocast: str = "none"
    batch_size: int = 1
    seq_len: int = 1024
    padding_mask: bool = False
    packed: bool = False
    gradient_checkpointing: bool = True
    reentrant: bool = False
    attention: str = "auto"
    sdpa_backend: str = ""
    loss: str = "full"
    optimizer: str = "adamw_torch"
    grad_clip: float = 0.0
    grad_accum: int = 1
    steps: int = 2
    gpu: str = "T4"
    expandable_segments: bool = False
    use_cache: bool = True
    outputs: str = "step"
    outputs_fp32: bool = False
    zero_grad: str = "before"
    token_accuracy: bool = False
    labels: str = "shared"
    empty_cache_every: int = 0
    via_cpu: bool = True
    routing: str = "balanced"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A setup and, for each of its settings, who decided it."""

    setup: TrainSetup
    set_by: Mapping[str, SetBy] = field(default_factory=dict)

    def settings(self) -> dict[str, dict[str, Any]]:
        """``{name: {"value", "set_by"}}`` for every setting, in the order of the fields."""
        return {
            item.name: {"value": _plain(getattr(self.setup, item.name)), "set_by": self.set_by[item.name]}
            for item in fields(TrainSetup)
        }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def resolve_setup(recipe: Mapping[str, Any] | None = None, **options: Any) -> Resolved:
    """A complete setup from what the user said, what a recipe sets, and the defaults.

    Args:
        recipe: settings of a known stack (see `recipes`).
        options: settings of the user; None means "not said".

    Raises:
        InspectorError: for an unknown setting, a value out of range, or settings that contradict each other.
    """
    said = {name: value for name, value in options.items() if value is not None}
    names = {item.name for item in fields(TrainSetup)}
    for name in said:
        if name not in names:
            close = difflib.get_close_matches(name, sorted(names), n=1)
            raise InspectorError(f"no setting is named {name!r}", hint=f"did you mean {close[0]!r}?" if close else "")
    chosen: dict[str, Any] = {}
    set_by: dict[str, SetBy] = dict.fromkeys(names, "library")
    for source, settings in (("recipe", dict(recipe or {})), ("you", said)):
        chosen.update(settings)
        set_by.update(dict.fromkeys(settings, source))  # type: ignore[arg-type]
    _follow_method(chosen, set_by)
    setup = replace(TrainSetup(), **{name: _frozen(value) for name, value in chosen.items()})
    _check(setup, set_by)
    return Resolved(setup, set_by)


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((name, _frozen(item)) for name, item in value.items())
    return tuple(value) if isinstance(value, list) else value


def _follow_method(chosen: dict[str, Any], set_by: dict[str, SetBy]) -> None:
    """What a choice implies where nobody said otherwise; yours goes before what a recipe set for another choice.

    Only QLoRA quantizes and prepares, and packed sequences take no padding mask.
    """
    implied: dict[str, dict[str, Any]] = {}
    if chosen.get("method", "qlora") != "qlora":
        implied["method"] = {"scheme": "none", "double_quant": False, "prepare_kbit": False}
    if set_by["packed"] == "you" and chosen["packed"]:
        implied["packed"] = {"padding_mask": False}
    if set_by["padding_mask"] == "you" and chosen["padding_mask"]:
        implied["padding_mask"] = {"packed": False}
    for choice, settings in implied.items():
        for name, value in settings.items():
            if (choice == "method" and name not in chosen) or (set_by[choice] == "you" and set_by[name] == "recipe"):
                chosen[name] = value
                set_by[name] = "method" if choice == "method" else "you"


def _check(setup: TrainSetup, set_by: Mapping[str, SetBy]) -> None:
    for name, allowed in (
        ("method", METHODS), ("scheme", SCHEMES), ("attention", ATTENTION), ("loss", LOSSES),
        ("autocast", AUTOCAST), ("routing", ROUTING),
        ("outputs", ("loss", "step", "next")), ("zero_grad", ("before", "after")), ("labels", ("shared", "clone")),
        ("adapter_dtype", ("float32", "auto", "bfloat16")),
        ("dtype", ("auto", "float32", "float16", "bfloat16")),
    ):  # fmt: skip
        value = getattr(setup, name)
        if value not in allowed:
            raise InspectorError(f"{name} {value!r} is not known", hint=f"choose from {', '.join(allowed)}")
    for name, least, most in (
        ("batch_size", 1, 2**20), ("seq_len", 2, 2**24), ("r", 1, 2**16), ("alpha", 1, 2**20),
        ("grad_accum", 1, 2**16), ("steps", 1, 64),
    ):  # fmt: skip
        value = getattr(setup, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InspectorError(f"{name} must be a whole number from {least} to {most:,}, not {value!r}")
    if not 0 <= setup.dropout < 1:
        raise InspectorError(f"dropout must be at least 0 and below 1, not {setup.dropout!r}")
    if not 0 <= setup.grad_clip < inf:
        raise InspectorError(f"grad_clip must be a number and not negative, not {setup.grad_clip!r}")
    check_optimizer(setup.optimizer)
    for wrong, said, hint in _contradictions(setup, set_by):
        if wrong:
            raise ContradictionError(said, hint=hint)


_OF_ADAPTERS = {"r", "alpha", "dropout", "target_modules", "use_dora", "use_rslora", "modules_to_save"}


def _contradictions(setup: TrainSetup, set_by: Mapping[str, SetBy]) -> tuple[tuple[bool, str, str], ...]:
    """What excludes each other: whether it is so here, what is wrong, and what to do."""
    quantized = setup.scheme != "none"
    asked = {name for name, source in set_by.items() if source == "you"}
    return (
        (setup.method == "qlora" and not quantized, "qlora without quantization is lora", "use --method lora"),
        (
            setup.method != "qlora" and quantized,
            f"{setup.method} does not quantize the base model",
            "use --method qlora",
        ),
        (
            setup.packed and setup.padding_mask,
            "packed sequences have no padding, so no padding mask",
            "drop one of them",
        ),
        (
            setup.prepare_kbit and not quantized,
            "prepare_model_for_kbit_training is for quantized models",
            "use --no-prepare-kbit",
        ),
        (
            setup.method == "full" and bool(asked & _OF_ADAPTERS),
            "full fine-tuning has no adapters, so no rank, alpha, dropout or targets",
            "use --method lora",
        ),
        (
            setup.double_quant and setup.scheme not in {"nf4", "fp4"},
            "double quantization is for 4-bit schemes",
            "use --scheme nf4" if setup.method == "qlora" else "use --no-double-quant",
        ),
    )

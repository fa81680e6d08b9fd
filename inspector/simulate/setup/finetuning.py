"""A complete fine-tuning and who decided each setting: you, the recipe, or the library's own default."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from math import inf
from typing import TYPE_CHECKING, Any, Unpack

from inspector.errors import ContradictionError, InspectorError
from inspector.simulate.setup.contradictions import of_evaluation, of_objective, of_saving
from inspector.simulate.setup.objective import FROM_LOGITS, IMPLIED, LOSSES, OF_PPO
from inspector.simulate.setup.optimizer_names import check_optimizer
from inspector.simulate.setup.places import FINETUNE
from inspector.simulate.setup.settings import FinetuneSettings
from inspector.simulate.setup.shorthands import spelled_out
from inspector.simulate.setup.words import ON_LOADING, SetBy, check_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.setup.options import FinetuneSettingsOptions
    from inspector.simulate.setup.training import TrainSetup


@dataclass(frozen=True, slots=True)
class Resolved:
    """Complete settings and, for each of them, who decided it."""

    settings: FinetuneSettings
    set_by: Mapping[str, SetBy] = field(default_factory=dict)

    @property
    def setup(self) -> TrainSetup:
        """The typed whole."""
        return self.settings.setup

    def explained(self) -> dict[str, dict[str, Any]]:
        """``{name: {"value", "set_by"}}`` for every setting, in the order of the fields."""
        return {
            item.name: {"value": _plain(getattr(self.settings, item.name)), "set_by": self.set_by[item.name]}
            for item in fields(FinetuneSettings)
        }


def _plain(value: object) -> object:
    # JSON has lists alone: an answer kept on disk is equal to one just made.
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def resolve_setup(
    recipe: Mapping[str, Any] | None = None,
    *,
    from_files: Mapping[str, Any] | None = None,
    **options: Unpack[FinetuneSettingsOptions],
) -> Resolved:
    """Complete settings from what the user said, what files and a recipe set, and the defaults.

    Args:
        recipe: settings of a known stack (see `recipes`).
        from_files: settings of the user's configuration files, which go before a recipe's.
        options: settings of the user, in long or in short; None means "not said".

    Raises:
        InspectorError: for an unknown setting, a value out of range, or settings that contradict each other.
    """
    names = {item.name for item in fields(FinetuneSettings)}
    said = spelled_out(options, names)
    chosen: dict[str, Any] = {}
    set_by: dict[str, SetBy] = dict.fromkeys(names, "library")
    # In this order: what you say goes before what a recipe sets.
    sources: tuple[tuple[SetBy, dict[str, Any]], ...] = (
        ("recipe", spelled_out(recipe or {}, names)), ("file", spelled_out(from_files or {}, names)), ("you", said)
    )  # fmt: skip
    for source, words in sources:
        chosen.update(words)
        set_by.update(dict.fromkeys(words, source))
    _follow_method(chosen, set_by)
    _follow_objective(chosen, set_by)
    # Frozen all through, as settings are keys of what was simulated.
    settings = replace(FinetuneSettings(), **{name: _frozen(value) for name, value in chosen.items()})
    _check(settings, set_by)
    return Resolved(settings, set_by)


def _frozen(value: object) -> Any:
    if isinstance(value, dict):
        return tuple((name, _frozen(item)) for name, item in value.items())
    return tuple(value) if isinstance(value, list) else value


def _follow_method(chosen: dict[str, Any], set_by: dict[str, SetBy]) -> None:
    """What a choice implies where nobody said otherwise; yours goes before what a recipe set for another choice.

    Only QLoRA quantizes and prepares, and packed sequences take no padding mask.
    """
    if chosen.get("padded") and set_by["padding_mask"] == "library":  # padding is told to the model by a mask
        chosen["padding_mask"], set_by["padding_mask"] = True, set_by["padded"]
    # What was asked for by name is kept here, so that it is refused in `_contradictions` and not overruled.
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


def _follow_objective(chosen: dict[str, Any], set_by: dict[str, SetBy]) -> None:
    """What TRL's trainers do beside their loss, where nobody said otherwise."""
    if (kind := chosen.get("objective", "sft")) == "sft":
        return
    implied = {**IMPLIED, "loss": LOSSES.get(kind, ("trl",))[0]} if kind in FROM_LOGITS else dict(IMPLIED)
    implied |= OF_PPO if kind == "ppo" else {}
    # accelerate's wrapper of every trainer.
    implied |= {"outputs_fp32": True} if chosen.get("autocast", "none") != "none" else {}
    for name, value in implied.items():
        if set_by[name] == "library":
            chosen[name], set_by[name] = value, "objective"


def _check(settings: FinetuneSettings, set_by: Mapping[str, SetBy]) -> None:
    check_words(settings)
    # Far more than any card takes: a slip of the keys is told at once and not traced. Steps are fewer, as each of them
    # is traced, and tokens two at least, as of one nothing is predicted.
    for name, least, most in (
        ("batch_size", 1, 2**20), ("seq_len", 2, 2**24), ("target_len", 0, 2**24), ("r", 1, 2**16), ("alpha", 1, 2**20),
        ("grad_accum", 1, 2**16), ("steps", 1, 64), ("empty_cache_every", 0, 2**16),
        ("prompt_len", 0, 2**24), ("num_generations", 1, 2**16), ("steps_per_generation", 0, 2**16),
        ("vllm_max_model_length", 0, 2**24),
        ("eval_batch", 0, 2**20), ("eval_batches", 1, 2**16), ("eval_accum", 0, 2**16),
        ("generation_max_length", 2, 2**20), ("generation_num_beams", 1, 2**10),
        ("save_total_limit", 0, 2**16),
    ):  # fmt: skip
        value = getattr(settings, name)
        # ``True`` is a whole number to Python.
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InspectorError(f"{name} must be a whole number from {least} to {most:,}, not {value!r}")
    # Written so that NaN is refused too, here and below.
    if not 0 < (share := settings.vllm_gpu_memory_utilization) <= 1:
        raise InspectorError(f"vllm_gpu_memory_utilization is a share above 0 and at most 1, not {share!r}")
    # Torch divides what is left by one less the rate.
    if not 0 <= settings.dropout < 1:
        raise InspectorError(f"dropout must be at least 0 and below 1, not {settings.dropout!r}")
    if not 0 <= settings.grad_clip < inf:
        raise InspectorError(f"grad_clip must be a number and not negative, not {settings.grad_clip!r}")
    # Now, as the name is read off a file: transformers itself would say it only after its import.
    check_optimizer(settings.optimizer)
    for wrong, said, hint in (
        *_contradictions(settings, set_by),
        *of_objective(settings),
        *of_evaluation(settings),
        *of_saving(settings),
    ):
        if wrong:
            # An error of its own kind: who tries changes one after another passes over those that contradict the rest.
            raise ContradictionError(said, hint=hint)
    _ = settings.setup  # made once for what its parts refuse: fields of LoRA beside each other


_OF_ADAPTERS = {word for word, place in FINETUNE.items() if place.startswith("adapters.")} - {"peft_config"}


def _contradictions(settings: FinetuneSettings, set_by: Mapping[str, SetBy]) -> tuple[tuple[bool, str, str], ...]:
    """What excludes each other: whether it is so here, what is wrong, and what to do."""
    quantized = settings.scheme != "none"
    # A recipe's words for adapters are not held against someone who then asks for another method.
    asked = {name for name, source in set_by.items() if source == "you"}
    return (
        (settings.method == "qlora" and not quantized, "qlora without quantization is lora", "use --method lora"),
        (
            settings.method != "qlora" and settings.scheme in ON_LOADING,
            f"{settings.method} does not quantize the base model",
            "use --method qlora",
        ),
        (
            settings.method == "full" and quantized,
            "quantized weights are not trained in full: transformers wants adapters on top of them",
            "use --method lora",
        ),
        (
            settings.padded and not settings.padding_mask,
            "padding is told to the model by a padding mask",
            "add --padding-mask",
        ),
        (
            settings.packed and settings.padding_mask,
            "packed sequences have no padding, so no padding mask",
            "drop one of them",
        ),
        (
            settings.prepare_kbit and not quantized,
            "prepare_model_for_kbit_training is for quantized models",
            "use --no-prepare-kbit",
        ),
        (
            settings.method == "full" and bool(asked & _OF_ADAPTERS),
            "full fine-tuning has no adapters, so no rank, alpha, dropout or targets",
            "use --method lora",
        ),
        (
            settings.double_quant and settings.scheme not in {"nf4", "fp4"},
            "double quantization is for 4-bit schemes",
            "use --scheme nf4" if settings.method == "qlora" else "use --no-double-quant",
        ),
        (
            settings.load_threads and settings.scheme not in ON_LOADING,
            "threads change the loading of weights that bitsandbytes quantizes on the way, and there are none",
            "drop --load-threads",
        ),
    )

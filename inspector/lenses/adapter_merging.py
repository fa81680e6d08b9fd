"""What merging a saved adapter into its base costs and changes, in sentences that its files bear out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.architecture.adapter_load import Size
    from inspector.checkpoint import Checkpoint
    from inspector.lenses.adapter_against_base import BaseAnswer

_PROMPTS = frozenset({
    "PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE", "ADAPTION_PROMPT",
})  # fmt: skip
_NEVER = {
    "LILY": "its update depends on the input", "POLY": "its update depends on the task",
    "SHADOW": "it is a network of its own beside the model", "XLORA": "its mixture depends on the input",
}  # fmt: skip
_IN_PLACE = frozenset({"IA3", "LN_TUNING", "TRAINABLE_TOKENS"})
"""They scale or replace vectors and rows: no update of a whole weight is made."""


def merging_notes(config: Mapping[str, object], stored: Checkpoint, answer: BaseAnswer) -> Iterator[str]:
    """What merging does. Found by `merge_and_unload` of every method on a small model.

    ``answer`` is PEFT's on a base, where it was asked: merged there, the sizes are that base's.
    """
    names = [tensor.name for tensor in stored.tensors]
    if config.get("bias") not in (None, "none") and any(_is_bias(name) for name in names):
        yield "it holds biases of the base model, which loading overwrites and unloading does not put back"
    whole = [name for name in names if ".lora_" not in name and name.endswith(".weight")]
    if config.get("peft_type") == "LORA" and whole:
        yield "it carries whole tensors, which take the place of the base model's"
    yield _merging(str(config.get("peft_type") or "")[:40].upper(), answer, whole=bool(whole), grouped=_grouped(stored))


def _grouped(stored: Checkpoint) -> bool:
    """Whether a convolution in groups is among them: its B has so many times fewer columns than A has rows."""
    pairs = [(first, stored.by_name.get(name.replace("lora_A", "lora_B"))) for name, first in stored.by_name.items()]
    return any(
        second is not None
        and second is not first
        and len(first.shape) > 2
        and len(second.shape) > 2
        and 0 < second.shape[1] < first.shape[0]
        for first, second in pairs
    )


def _is_bias(name: str) -> bool:
    return name.endswith(".bias") and ".lora_" not in name


_WITHOUT_SIZES = {
    **dict.fromkeys(_PROMPTS, "it cannot be merged: it adds to the input or the attention, not to a weight"),
    **{method: f"it cannot be merged: {why}" for method, why in _NEVER.items()},
    **dict.fromkeys(_IN_PLACE, "merging changes vectors or rows in place and takes no memory worth naming"),
    "BEFT": "it is merged into the biases of layers that have one, and cannot be where they have none",
    "": "how it is merged its config alone says",
}


def _merging(method: str, answer: BaseAnswer, *, whole: bool, grouped: bool) -> str:
    quantizes = "; on a 4-bit base it dequantizes and quantizes again" if method == "LORA" else ""
    if answer.loaded and answer.merged is not None:
        quantizes = "".join(_into_quantized(answer))
    if answer.size is not None and answer.merged is not None and method not in _WITHOUT_SIZES:
        return _sizes(answer.size, answer.merged, answer) + quantizes
    if answer.answer == "fails":
        return "it is merged only once it loads"
    if method in _WITHOUT_SIZES and not (answer.loaded and answer.unmerged):
        return _WITHOUT_SIZES[method]
    if answer.unmerged:
        loaded = f", loaded in {answer.loaded}" if answer.loaded else ""
        return f"PEFT does not merge it into {answer.base}{loaded}: {answer.unmerged}"
    if grouped:
        return "it cannot be merged: PEFT does not merge convolutions in groups"
    if method == "LORA" and whole:
        return f"merging changes the base's size where those tensors have more rows, or were one by a tie{quantizes}"
    if method == "LORA":
        return f"merging leaves the base model's size as it is{quantizes}"
    return "merging makes one update of a weight's size at a time and leaves the base model's size as it is"


def _into_quantized(answer: BaseAnswer) -> Iterator[str]:
    """What becomes of a base's format, and PEFT's own warning."""
    own = "bitsandbytes" in answer.loaded or answer.loaded.startswith("hqq")
    if own:
        yield f"; each layer is dequantized, added to and quantized again: it stays in {answer.loaded}"
    else:
        yield f"; PEFT was asked on plain layers, and what merging makes of {answer.loaded} is not known here"
    for said in answer.merge_warnings:
        yield f"; PEFT warns: {said.rstrip('.')}"


def _sizes(before: Size, after: Size, answer: BaseAnswer) -> str:
    """What PEFT's own merging made of this base."""
    first = f"once {answer.base} has {answer.rows:,} rows, merging" if answer.rows else "merging"
    grown = after.parameters - before.parameters
    if not grown:
        said = f"{first} leaves the {count(before.parameters)} parameters of {answer.base} as many as they are"
    else:
        more = "more" if grown > 0 else "fewer"
        said = f"{first} makes {count(after.parameters)} parameters, {count(abs(grown))} {more} than {answer.base} has"
    if before.tied:
        said += "; embedding and head stay tied" if after.tied else "; embedding and head are no longer tied"
    return said


def largest_update(stored: Checkpoint, config: Mapping[str, object]) -> int:
    """Elements of the largest ``B @ A``: rows of B times columns of A, and as often as there are experts in a stack.

    Stacked experts (``target_parameters``) have ``r`` rows of A each. A pair whose ranks differ makes none.
    """
    largest = 0
    for name, first in stored.by_name.items():
        second = stored.by_name.get(name.replace("lora_A", "lora_B").replace("lora_embedding_A", "lora_embedding_B"))
        # `second is first` where the name has nothing to replace: its pair would be itself.
        if "_A" not in name or second is None or second is first or not first.numel or len(second.shape) < 2:
            continue
        rank = first.shape[0]  # of a convolution's B the second axis too: its kernel of one comes behind
        if rank != second.shape[1]:
            continue
        r = config.get("r", 8)
        stacked = bool(config.get("target_parameters")) and isinstance(r, int) and r > 0 and rank % r == 0
        experts = rank // r if stacked and isinstance(r, int) and not _targeted(name, config) else 1
        largest = max(largest, first.numel * second.numel // (rank * rank) * experts)
    return largest


def _targeted(name: str, config: Mapping[str, object]) -> bool:
    """Whether a tensor is of a module that ``target_modules`` names, and not of a parameter."""
    targets, path = config.get("target_modules"), name.partition(".lora_")[0]
    if not isinstance(targets, list):
        return False
    return any(isinstance(each, str) and path.endswith(f".{each}") for each in targets)

"""Would PEFT load a saved adapter, and onto what: its own answer on a base model, as findings in words."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from inspector.errors import InspectorError
from inspector.lora.saved_config import unfit
from inspector.precision.published import published_in
from inspector.precision.published_fields import FIELDS
from inspector.skeleton import DTYPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from inspector.architecture.adapter_load import LoadAnswer, Misfit, Size
    from inspector.architecture.quantized_base import QuantizedBase
    from inspector.sources.adapter_files import AdapterFiles

PREFIX = "base_model.model."
Level = Literal["error", "warning", "silence"]
_MOST = 3
"""Kinds of tensors that are named before the rest is counted."""

EMPTY = "empty, shards of ZeRO-3 or FSDP that were not gathered"
GATHER = "gather before saving (ZeRO-3: stage3_gather_16bit_weights_on_model_save), or use zero_to_fp32.py"

_HEADS = re.compile(r"(?:^|\.)(?:score|classifier)(?:\.out_proj)?(?:\.modules_to_save)?\.weight$")


@dataclass(frozen=True, slots=True)
class Finding:
    """What PEFT answers to one fault: an error, a warning or nothing; ``todo`` says what helps, where that is known."""

    level: Level
    what: str
    todo: str = ""
    tensors: int = 0


@dataclass(frozen=True, slots=True)
class BaseAnswer:
    """An adapter on a base model. ``not_compared`` says why PEFT was not asked; the rest is then empty.

    ``loader`` is who answers: PEFT, or llama.cpp for an adapter in GGUF.
    ``rows`` is the vocabulary that the base must be given first, 0 for its own; ``size`` is the base's, and ``merged``
    what merging makes of it, or ``unmerged`` why PEFT does not merge it there. ``loaded`` says how the base is
    quantized, empty for plain weights, and ``merge_warnings`` what PEFT warns of when it merges into that.
    """

    base: str
    peft: str = ""
    model: str = ""
    findings: tuple[Finding, ...] = ()
    rows: int = 0
    size: Size | None = None
    merged: Size | None = None
    unmerged: str = ""
    not_compared: str = ""
    loader: Literal["PEFT", "llama.cpp"] = "PEFT"
    loaded: str = ""
    merge_warnings: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """``loads``, ``warns``, ``fails`` or ``not compared``."""
        if self.not_compared:
            return "not compared"
        levels = {finding.level for finding in self.findings}
        return "fails" if "error" in levels else "warns" if "warning" in levels else "loads"


def against_base(files: AdapterFiles, base: str, bits: int | None = None) -> BaseAnswer:
    """What PEFT makes of an adapter on a base model, which is loaded in ``bits`` (4 or 8) by bitsandbytes if asked.

    Raises InspectorError when the base model cannot be found or built, or is quantized already.
    """
    from inspector.architecture.adapter_load import load_answer
    from inspector.architecture.resized import with_vocabulary
    from inspector.architecture.task_class import for_task
    from inspector.skeleton.vocabulary import Vocabulary
    from inspector.sources.resolve import locate

    config = files.config or {}
    source = locate(base)
    if reason := unfit(config):
        return BaseAnswer(source.name, not_compared=f"not held against {source.name}: {reason}")
    stored = {tensor.name: (tensor.shape, tensor.dtype) for tensor in files.stored.tensors}
    heads = [shape[0] for name, (shape, _) in stored.items() if _HEADS.search(name) and len(shape) == 2]
    runnable = for_task(source.runnable, config.get("task_type"), heads[-1] if heads else None)
    loaded = quantized_base(source.config, bits)
    answer = load_answer(runnable, config, stored, loaded)
    resized, rows = None, _rows(answer.misfits)
    if rows:
        resized = load_answer(with_vocabulary(runnable, Vocabulary(rows, None)), config, stored, loaded)
    findings = tuple(_findings(answer, resized, rows, source.name, config))
    last = resized or answer
    return BaseAnswer(
        source.name,
        answer.peft,
        answer.model,
        findings,
        rows if resized else 0,
        answer.size,
        last.merged,
        last.unmerged,
        loaded=loaded.title if loaded else "",
        merge_warnings=last.merge_warnings,
    )


def quantized_base(config: Mapping[str, Any] | None, bits: int | None) -> QuantizedBase | None:
    """How the base of this config is loaded: as it is stored, or quantized on the way as asked; None for plain weights.

    Raises InspectorError for bits asked of a checkpoint that is quantized already, and for other bits than 4 and 8.
    """
    from inspector.architecture.quantized_base import BITSANDBYTES, QuantizedBase

    published = published_in(config) if config else None
    if bits not in {None, 4, 8}:
        raise InspectorError(f"bitsandbytes loads no base in {bits} bits", hint="--bits 4 or --bits 8")
    if published is not None and not published.says_dequantize:
        if bits and not (published.method == BITSANDBYTES and published.bits == bits):
            raise InspectorError(
                f"the base is quantized already ({published.title}): transformers refuses a BitsAndBytesConfig on top",
                hint="leave --bits out",
            )
        own = {name: value for name, value in published.raw.items() if name in FIELDS[BITSANDBYTES]}
        return QuantizedBase(published.method, published.title, own if published.method == BITSANDBYTES else {})
    if bits == 4:
        said = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
        return QuantizedBase(BITSANDBYTES, "bitsandbytes (nf4-dq)", said)
    return QuantizedBase(BITSANDBYTES, "bitsandbytes (int8)", {"load_in_8bit": True}) if bits else None


def _rows(misfits: Iterable[Misfit]) -> int:
    """The vocabulary that all tables of the adapter have, where they agree on one; else 0."""
    found = {
        each.stored[1 if "lora_embedding_A" in each.name else 0]
        for each in misfits
        if each.vocabulary and all(each.stored)
    }
    # Larger than any vocabulary: such a table is built by nobody.
    return rows if len(found) == 1 and (rows := found.pop()) < 2**26 else 0


def _findings(
    answer: LoadAnswer, resized: LoadAnswer | None, rows: int, base: str, config: Mapping[str, object]
) -> Iterator[Finding]:
    if answer.refused:
        yield Finding("error", f"PEFT stops before it reads a tensor: {answer.refused}", _mend(answer.refused))
    if answer.absent:
        what = f"PEFT stops with a KeyError: it looks up {listed(answer.absent)}, which the file has not"
        yield Finding("error", what, "save them too, or take them out of the config", len(answer.absent))
    yield from _misfits(answer, resized, rows, base)
    for said in answer.warnings:
        yield Finding("warning", f"PEFT warns: {said[:400]}")
    # An error comes before what is said of the rest, and before nothing is.
    when = "PEFT" if answer.loads else "once that is mended, PEFT"
    if answer.missing:
        yield Finding(
            "warning",
            f"{when} warns of missing adapter keys: {listed(answer.missing)}{effect(answer.missing, config)}",
            "save the whole adapter, or take those modules out of the config",
            len(answer.missing),
        )
    if answer.ignored:
        yield Finding(
            "silence",
            f"{when} passes over {listed(answer.ignored)} without a word: nothing of {base}, so adapted, takes them",
            tensors=len(answer.ignored),
        )
    casts = Counter((stored, loaded) for _, stored, loaded in answer.cast)
    for (stored, loaded), count in casts.items():
        names = [name for name, *pair in answer.cast if tuple(pair) == (stored, loaded)]
        rounds = "" if DTYPE_BYTES.get(stored, 0) <= DTYPE_BYTES[loaded] else ", rounded"
        yield Finding("silence", f"stored in {stored}, {loaded} once loaded{rounds}: {listed(names)}", tensors=count)


def _misfits(answer: LoadAnswer, resized: LoadAnswer | None, rows: int, base: str) -> Iterator[Finding]:
    kinds: dict[str, list[Misfit]] = {}
    for each in answer.misfits:
        kinds.setdefault(_kind(each), []).append(each)
    for kind, found in kinds.items():
        first = found[0]
        names = listed(each.name for each in found)
        shapes = f"{list(first.stored)} in the file, {list(first.wanted)} in {base}"
        # It never comes as far where it looks up a tensor in vain.
        when = "once that is mended, PEFT" if answer.absent else "PEFT"
        sizes, todo = f"{when} stops with size mismatch: {names} ({shapes})", ""
        if kind == "empty":
            sizes += f"; they are {EMPTY}"
            todo = GATHER
        elif kind == "vocabulary" and resized is not None:
            then = "PEFT then loads it" if resized.loads else "what is said beside this remains"
            todo = f"model.resize_token_embeddings({rows}) on the base first: {then}"
        elif kind == "rank":
            stored = _ranks(found, stored=True)
            sizes += f"; the tensors have rank {stored}, the config asks for {_ranks(found, stored=False)}"
            todo = "give adapter_config.json the rank it was trained with (r, rank_pattern)"
        elif kind == "other":
            todo = "load it on the base that it was trained on, with the config that was saved with it"
        yield Finding("error", sizes, todo, len(found))


def _kind(misfit: Misfit) -> str:
    if not all(misfit.stored):
        return "empty"
    if misfit.vocabulary:
        return "vocabulary"
    axis = rank_axis(misfit.name)
    if axis is not None and len(misfit.stored) == len(misfit.wanted) > axis:
        others = [pair for place, pair in enumerate(zip(misfit.stored, misfit.wanted, strict=True)) if place != axis]
        if all(mine == theirs for mine, theirs in others):
            return "rank"
    return "other"


def rank_axis(name: str) -> int | None:
    """The axis of a LoRA tensor that is its rank; None for another's."""
    if re.search(r"\.lora_(?:embedding_)?A(?:\.|$)", name):
        return 0
    return 1 if re.search(r"\.lora_(?:embedding_)?B(?:\.|$)", name) else None


def _ranks(found: list[Misfit], *, stored: bool) -> str:
    sizes = {(each.stored if stored else each.wanted)[rank_axis(each.name) or 0] for each in found}
    return ", ".join(map(str, sorted(sizes)))


def effect(missing: Iterable[str], config: Mapping[str, object]) -> str:
    """What missing tensors are instead, where all are alike: one of a pair is made of zeros, the other random.

    Source: peft ``reset_lora_parameters`` (``tuners/lora/layer.py``): B of a layer, A of an embedding, are the zeros.
    """
    if config.get("init_lora_weights", True) is not True:
        return ""
    zeros = {
        bool(re.search(r"\.lora_(?:B|embedding_A)(?:\.|$)", name)) for name in missing if rank_axis(name) is not None
    }
    if zeros == {True}:
        return " (they stay zero: nothing is added there)"
    return " (they stay random: what is added is noise)" if zeros == {False} else ""


def _mend(refused: str) -> str:
    if refused.startswith("KeyError"):
        return "the config's peft_type must be one that PEFT has; a newer PEFT may know it"
    if "not found in the base model" in refused:
        return "name the base that it was trained on, or the targets as this base calls them"
    return ""


def listed(names: Iterable[str]) -> str:
    """Tensors by the kinds of their names, layers as N: the first few, with how many there are of each."""
    kinds = Counter(re.sub(r"(?<=\.)\d+(?=\.)", "N", name.removeprefix(PREFIX))[:100] for name in names)
    said = [f"{kind} ({count})" if count > 1 else kind for kind, count in list(kinds.items())[:_MOST]]
    rest = sum(list(kinds.values())[_MOST:])
    return ", ".join(said) + (f" and {rest:,} more" if rest else "")

"""What the texts in records mean: dtypes, quantization, optimizers, attention, cards and units, as tools write them.

Every function takes a text and returns what it means, or raises `NotUnderstoodError`: no part of a text is passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from inspector.errors import InspectorError
from inspector.units import GB, MB, GiB, KiB, MiB
from inspector.validation.fields import NotUnderstoodError

_DTYPES = {
    "bf16": "bfloat16", "bfloat16": "bfloat16", "fp16": "float16", "float16": "float16", "half": "float16",
    "fp32": "float32", "float32": "float32", "float": "float32",
}  # fmt: skip


def dtype(text: str) -> str:
    """``bf16``, ``torch.bfloat16`` or ``bfloat16 weights`` as torch's name."""
    word = text.strip().lower().removeprefix("torch.").removesuffix(" weights")
    if word not in _DTYPES:
        raise NotUnderstoodError
    return _DTYPES[word]


@dataclass(frozen=True, slots=True)
class Quantization:
    """How base weights are stored: ``scheme`` is one of `SCHEMES`; an empty dtype is not said."""

    scheme: str = "none"
    double_quant: bool = False
    compute_dtype: str = ""


_SCHEMES = {
    "none": "none", "nf4": "nf4", "4bit nf4": "nf4", "nf4 4bit": "nf4", "fp4": "fp4", "4bit fp4": "fp4",
    "fp4 4bit": "fp4", "int8": "int8", "llm.int8": "int8", "8bit": "int8", "8bit int8": "int8",
}  # fmt: skip
"""What is left of a scheme's name without the library's. Of 4 bits alone it is not known which four."""
_DOUBLE = {
    "double quant": True, "double_quant": True, "double quantization": True, "double_quant=true": True,
    "double_quant=false": False, "no double quant": False, "no double_quant": False,
}  # fmt: skip
_PUBLISHED = re.compile(r"(gptq|awq)-?(?:int4|4bit|4-bit)\b", re.IGNORECASE)
"""Formats that a checkpoint is stored in: the model that is named has them in its config."""
_OTHERS = re.compile(r"(gptq|awq|fp8|aqlm|hqq|eetq|quanto|gguf|marlin|vptq|bitnet)\b", re.IGNORECASE)


def quantization(text: str) -> Quantization:
    """``bnb nf4 + double quant, bf16 compute`` and its like; ``none (fp16 weights)`` is none."""
    # Formats that exist are named as such; anything else is a text without meaning.
    if other := _OTHERS.match(text):
        raise NotUnderstoodError(f"{other[1].upper()} weights are not simulated")
    return _read(text, Quantization(scheme=""))


def stored(text: str) -> Quantization:
    """The same, of a run whose model may be stored so: ``gptq-int4 (fp16 compute)``."""
    published = _PUBLISHED.match(text)
    if published is None:
        return quantization(text)
    return _read(text[published.end() :], Quantization(scheme=published[1].lower()))


def _read(text: str, found: Quantization) -> Quantization:
    # Tools differ in what they put between the parts; in the parts themselves they agree.
    for part in re.split(r"[,+;()]|\band\b", text.lower()):
        word = " ".join(each for each in part.replace("-bit", "bit").split() if each not in {"bnb", "bitsandbytes"})
        if word in _SCHEMES and not found.scheme:
            found = replace(found, scheme=_SCHEMES[word])
        elif word in _DOUBLE:
            found = replace(found, double_quant=_DOUBLE[word])
        elif computed := re.fullmatch(r"(?:(\S+) compute|compute (?:dtype )?(\S+))", word):
            found = replace(found, compute_dtype=dtype(computed[1] or computed[2]))
        elif word and found.scheme != "none":
            raise NotUnderstoodError
        elif word:
            # Behind ``none`` only a dtype may follow.
            dtype(word)  # of the weights, which are said elsewhere
    # Double quantization is of 4-bit constants: bitsandbytes has none for 8 bits.
    if not found.scheme or (found.double_quant and found.scheme not in {"nf4", "fp4"}):
        raise NotUnderstoodError
    return found


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is computed in which dtype: of the base weights, the adapters, and under autocast. Empty is not said."""

    weights: str = ""
    adapters: str = ""
    autocast: str = ""
    prepared: bool = True


_AUTOCAST = {"bfloat16": "bf16", "float16": "fp16"}


def numbers(text: str) -> Numbers:
    """``bf16; LoRA fp32; qlora: prepare_model_for_kbit_training (...); torch.autocast(bf16)``: clauses in any order.

    ``prepared`` is about quantized models alone, so a clause may say so (``nf4 runs:``, ``qlora:``).
    """
    found = Numbers()
    for part in text.split(";"):
        # What a clause is limited to is said elsewhere too, by the method; preparing is for quantized models anyway.
        clause = re.sub(r"^(nf4|qlora|quantized|4-bit)( runs)?:", "", part.strip(), flags=re.IGNORECASE).strip()
        if adapters := re.fullmatch(r"(?:lora|adapters?) (\S+)", clause, re.IGNORECASE):
            found = replace(found, adapters=dtype(adapters[1]))
        elif re.fullmatch(r"no (torch\.)?autocast(/GradScaler)?", clause, re.IGNORECASE):
            found = replace(found, autocast="none")
        elif cast := re.fullmatch(r"(?:torch\.)?autocast ?\(?(\w+)\)?|(\w+) autocast", clause, re.IGNORECASE):
            kind = dtype(cast[1] or cast[2])
            if kind not in _AUTOCAST:
                raise NotUnderstoodError
            found = replace(found, autocast=_AUTOCAST[kind])
        elif prepared := re.fullmatch(r"(no )?prepare_model_for_kbit_training\b.*", clause, re.IGNORECASE):
            found = replace(found, prepared=not prepared[1])
        elif clause:
            found = replace(found, weights=dtype(clause))
    return found


_PINNED = re.compile(
    r"sdpa pinned to (EFFICIENT|FLASH|MATH)(?:_ATTENTION)?( with K/V expanded for GQA)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Attention:
    """transformers' implementation, and the backend ``torch.nn.attention.sdpa_kernel`` pins it to, if any."""

    name: str = "sdpa"
    backend: str = ""


def attention(text: str) -> Attention:
    """``eager``, ``sdpa``, ``flash_attention_2``, or ``sdpa pinned to EFFICIENT_ATTENTION`` and its like."""
    if pinned := _PINNED.fullmatch(text):
        return Attention("sdpa", pinned[1].lower())
    name = text.lower()
    if re.sub(r"[\W_]", "", name) in {"fa2", "flashattn2", "flashattention2"}:  # the package's name has many spellings
        name = "flash_attention_2"
    if name not in {"eager", "sdpa", "flash_attention_2"}:
        raise NotUnderstoodError
    return Attention(name)


_OPTIMIZERS = {
    "adamw": "adamw_torch", "adamwtorch": "adamw_torch", "adamwtorchfused": "adamw_torch_fused",
    "adamwfused": "adamw_torch_fused", "pagedadamw8bit": "paged_adamw_8bit", "adamw8bit": "adamw_8bit",
    "adamwbnb8bit": "adamw_8bit", "pagedadamw32bit": "paged_adamw_32bit", "pagedadamw": "paged_adamw_32bit",
    "sgd": "sgd",
}  # fmt: skip
"""Optimizers by their letters and digits alone, to transformers' names (training_args.py, ``OptimizerNames``)."""


def optimizer(text: str) -> str:
    """``torch.optim.AdamW (foreach default)``, ``bnb paged_adamw_8bit`` or a name of transformers, as the latter."""
    from inspector.simulate.setup.optimizer_names import optimizer_names

    body, _, inside = text.partition("(")
    # Multi-tensor steps are torch's default on a card, so saying so changes nothing.
    said = {word for word in re.split(r"[\s,)]+", inside.lower()) if word} - {"foreach", "default"}
    name = re.sub(r"^(torch\.optim\.|torch |bnb\.optim\.|bnb |bitsandbytes )", "", body.strip(), flags=re.IGNORECASE)
    if said == {"fused"}:
        name, said = f"{name}_fused", set()
    if said:
        raise NotUnderstoodError
    # By letters and digits alone, so that ``AdamW8bit``, ``adamw_8bit`` and ``AdamW 8-bit`` are one.
    known = _OPTIMIZERS.get(re.sub(r"[\W_]", "", name.lower()), name.lower())
    if known not in optimizer_names():
        raise NotUnderstoodError(f"the optimizer {text} is not simulated")
    return known


def loss(text: str) -> str:
    """``HF model loss (full logits ...)`` is transformers' own; else one of the simulator's losses by its name."""
    from typing import get_args

    from inspector.simulate.setup.words import Loss

    if text.lower().startswith("hf model loss"):
        return "full"
    if text not in get_args(Loss):
        raise NotUnderstoodError
    return text


def reentrant(text: str) -> bool:
    """``use_reentrant=False``."""
    said = re.fullmatch(r"use_reentrant ?= ?(true|false)", text, re.IGNORECASE)
    if not said:
        raise NotUnderstoodError
    return said[1].lower() == "true"


def expandable(text: str) -> bool:
    """``PYTORCH_CUDA_ALLOC_CONF``, of which only ``expandable_segments`` is simulated here."""
    said = re.fullmatch(r"expandable_segments:(true|false)", text, re.IGNORECASE)
    if not said:
        raise NotUnderstoodError
    return said[1].lower() == "true"


def card(text: str) -> str:
    """A card of the catalogue by what a record calls it: ``Tesla T4 15 GB``, ``RTX 4080 16 GB (Windows)``."""
    from inspector.gpus import find_gpu

    # What is in parentheses is the system, and ``1 x`` is said by who counts cards.
    short = re.sub(r"\(.*?\)|^1 ?x ", "", text).strip()
    bare = re.sub(r"[\s-]*\d+ ?Gi?B$", "", short, flags=re.IGNORECASE)
    problem = ""
    for name in dict.fromkeys((text, short, bare)):  # as it is first: a size may tell two cards apart
        try:
            return find_gpu(name).name
        except InspectorError as error:
            problem = f"{error.message}{f' ({error.hint})' if error.hint else ''}"
    raise NotUnderstoodError(problem)


_UNITS = {
    "bytes": 1, "byte": 1, "b": 1, "kib": KiB, "mib": MiB, "gib": GiB, "kb": 1000, "mb": MB, "gb": GB,
}  # fmt: skip
_FACTORS = {
    "2^20": MiB,
    "2^30": GiB,
    "1024^2": MiB,
    "1024^3": GiB,
    "logs GiB": GiB,
    "1e6": MB,
    "1e9": GB,
    "10^6": MB,
    "10^9": GB,
}


def unit(text: str) -> int:
    """Bytes in one: MiB and GiB are binary, MB and GB decimal, unless it is said (``MB (2^20 per script)``)."""
    # A factor goes before the word: what one tool calls MB is 2^20 to another.
    for factor, nbytes in _FACTORS.items():
        if factor in text:
            return nbytes
    word = re.match(r"[A-Za-z]+", text)
    if not word or word[0].lower() not in _UNITS:
        raise NotUnderstoodError
    return _UNITS[word[0].lower()]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a peak is of: tensors (allocated), segments (reserved) or the process, and whether loading counts."""

    kind: str
    with_load: bool | None = None


def metric(text: str) -> Metric:
    """The first clause of what is said of a peak: ``torch.cuda.max_memory_allocated since before load``."""
    # Later clauses are about other fields: ``reserved likewise``, ``process = reserved + context``.
    first = text.partition(";")[0].lower()
    kinds = {"allocated": "allocated", "reserved": "reserved", "nvidia-smi": "process", "nvidia_smi": "process"}
    kind = next((kind for word, kind in kinds.items() if word in first), "")
    if not kind:
        raise NotUnderstoodError
    if re.search(r"since before load|(includes|including|with) load|whole run", first):
        return Metric(kind, with_load=True)
    if re.search(r"steady|load transient excluded|(excludes|excluding|without|after) load|train stage", first):
        return Metric(kind, with_load=False)
    return Metric(kind)


def version(text: str) -> tuple[int, ...]:
    """``2.14.0+cu130`` as ``(2, 14, 0)``; empty where it does not begin with a number."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()

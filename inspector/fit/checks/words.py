"""The words of a run: those of the command that it stands for, by the typed options of Python. No torch here."""

from __future__ import annotations

import shlex
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from inspector.errors import ContradictionError, InspectorError
from inspector.gpus import card_of_size, find_gpu
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.generation import GenerateSettings, generate_settings
from inspector.simulate.setup.recipes import recipe
from inspector.simulate.setup.settings import FinetuneSettings
from inspector.simulate.setup.shorthands import SHORTHANDS
from inspector.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["finetune", "generate", "script"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WHAT = ("model", "config", "script")
"""What a run is of. A model beside configuration files takes the place of the one they name."""

_SAME = {"card": "gpu", "length": "seq_len", "attn": "attention", "target_card": "gpu"}
"""Other words that a file may have."""
_OF_SCRIPTS: Mapping[str, str] = {
    "args": "words", "gpu": "str", "vram": "str", "gpus": "int", "nproc": "int", "nodes": "int", "steps": "int",
    "timeout": "float", "assume": "words", "data": "words", "lengths": "str", "worst": "bool", "network": "bool",
}  # fmt: skip
_OF_SEVERAL = {
    "recipe": "str", "vram": "str", "gpus": "int", "parallel": "str", "nodes": "int", "offload": "str",
    "tool_version": "str", "wrap": "str", "quant_storage": "str", "parallel_option": "words",
}  # fmt: skip
_OF_GENERATION = {
    "gpu": "str", "vram": "str", "expandable_segments": "bool", "gpus": "int", "device_map": "str",
    "max_memory": "str", "parallel": "str",
}  # fmt: skip


def own_word(key: str) -> str:
    """A key as a word of ours: dashes or underscores, and the words that people say for it."""
    word = key.replace("-", "_").lower()
    return _SAME.get(word, word)


@cache
def _types(kind: Kind) -> Mapping[str, str]:
    """Every word of a kind with what its value is: ``int``, ``float``, ``bool``, ``str``, ``words``, or "" for any."""
    if kind == "script":
        return _OF_SCRIPTS
    owner, more = (FinetuneSettings, _OF_SEVERAL) if kind == "finetune" else (GenerateSettings, _OF_GENERATION)
    plain = {"int", "float", "bool", "str"}
    found = {name: text if text in plain else "" for name, text in owner.__annotations__.items()}
    return {**found, "load_in_4bit": "bool", "load_in_8bit": "bool", "bits": "int", **more}


@cache
def known_words(kind: Kind) -> frozenset[str]:
    """The words that a run of this kind takes."""
    return frozenset(_types(kind))


def kind_of(words: Mapping[str, Any]) -> Kind:
    """What a run simulates. Raises InspectorError for a word that is no kind, or one beside a script."""
    said = words.get("simulate")
    if "script" in words:
        if said is not None:
            raise InspectorError("a script says itself what it does", hint="leave out simulate")
        return "script"
    if said is None or said == "finetune":
        return "finetune"
    if said != "generate":
        raise InspectorError(f"simulate is finetune or generate, not {said!r}")
    if "config" in words:
        raise InspectorError("a trainer's file says nothing of generation", hint="leave out simulate")
    return "generate"


_KINDS_OF_VALUES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "a text"),
    "words": ((str, list), "a text or a list of texts"),
}


def _check_kind(word: str, value: object, expected: str) -> None:
    types, said = _KINDS_OF_VALUES.get(expected, ((object,), ""))
    # True is a whole number to Python, and no batch size.
    wrong = not isinstance(value, types) or (isinstance(value, bool) and not {bool, object} & set(types))
    if isinstance(value, list) and said:
        wrong = wrong or not all(isinstance(each, str) for each in value)
    if wrong:
        raise InspectorError(f"{word} is {said}, not {value!r}")


def check_options(kind: Kind, options: Mapping[str, Any], *, together: bool = False) -> None:
    """Refuse values of another kind or out of range; ``together`` also what contradicts each other.

    Raises InspectorError.
    """
    for word, value in options.items():
        _check_kind(word, value, _types(kind)[word])
    if options.get("gpu") and options.get("vram"):
        raise InspectorError("a card's memory takes the place of its name", hint="keep gpu or vram")
    if (card := options.get("gpu")) is not None:
        find_gpu(card)
    if (size := options.get("vram")) is not None:
        card_of_size(size)
    chosen = recipe(options["recipe"]).settings if options.get("recipe") else None
    owner = FinetuneSettings if kind == "finetune" else GenerateSettings
    said_here = {word: value for word, value in options.items() if word in owner.__annotations__ or word in SHORTHANDS}
    try:
        if kind == "finetune":
            resolve_setup(chosen, **said_here)
        elif kind == "generate":
            generate_settings(**{word: value for word, value in said_here.items() if word != "gpu"})
    except ContradictionError:
        # Of one word alone: what it contradicts is another's default.
        if together:
            raise
    except (TypeError, AttributeError, ValueError, KeyError):
        raise InspectorError("a setting has a value of another kind than it takes") from None


def script_words(said: list[str]) -> list[str]:
    """A script and its arguments, one text or a list of words, as a shell parts them. Raises InspectorError."""
    if len(said) > 1:
        return said
    try:
        return shlex.split(said[0])
    except ValueError as error:
        raise InspectorError(f"{said[0]!r} is no line of a shell: {error}") from None


def card_option(card: str) -> dict[str, str]:
    """A card as an option: by its memory where it is a size, else by its name."""
    try:
        parse_size(card)
    except InspectorError:
        return {"gpu": card}
    return {"vram": card}

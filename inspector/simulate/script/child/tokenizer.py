"""A tokenizer in the place of one that is not on disk: the vocabulary's size and special tokens are the model's own.

What memory depends on is how many tokens a text has, so words are cut as large vocabularies cut them on average. Common
pieces have numbers of their own, so that a template is found again in a text; which number is made up, and rare pieces
share one. Lengths of texts are therefore an estimate, and the report says so.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import inspector
from inspector.simulate.script.child.tokens_of_families import chat_template, special_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST = 7
"""Letters of a piece: with the blank before a word about 4.3 characters of English a token, which is what vocabularies
of 50,000 and more give; in other languages of the alphabet it is rather too few tokens."""

PIECES = (
    rf" ?[A-Za-z]{{1,{LONGEST}}}"
    r"|[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]"
    r"| ?\p{L}{1,3}"
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]{1,4}"
    r"|[\r\n]+"
    r"|[^\S\r\n]+(?![^\s])"
    r"|[^\S\r\n]+(?=[^\S\r\n])"
    r"|\s"
)
"""Pieces of words with the blank before them, numbers by three digits, punctuation, ends of lines, blanks."""

_PROMPTED = ("inst", "sys", "user", "system", "assistant", "human", "bot", "gpt", "instruction", "response", "answer")
"""Words of templates, which are written in capitals, too."""

WORDS = Path(inspector.__file__).parent / "data" / "words.txt"


def write_tokenizer(folder: Path, config: Mapping[str, Any], name: str = "") -> None:
    """``tokenizer.json`` and ``tokenizer_config.json`` for a model's config; ``name`` is what the hub calls it."""
    text = config.get("text_config") or config
    size = int(text.get("vocab_size") or config.get("vocab_size") or 32000)
    template = chat_template(config, size, name)
    special, roles = special_tokens(config, size, template)
    taken = set(special.values())
    pieces = iter(dict.fromkeys(_pieces()))
    words = {next(pieces, f"<piece {number}>"): number for number in range(size) if number not in taken}
    unknown = roles.get("unk_token") or next(iter(words))
    begins, ends = roles.get("cls_token"), roles.get("sep_token")
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0", "truncation": None, "padding": None,
                "added_tokens": [
                    {"id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                     "normalized": False, "special": True}
                    for token, number in sorted(special.items(), key=lambda item: item[1])
                ],
                "normalizer": None,
                "pre_tokenizer": {"type": "Split", "pattern": {"Regex": PIECES}, "behavior": "Isolated",
                                  "invert": False},
                "post_processor": None if begins is None or ends is None else _between(begins, ends, special),
                "decoder": {"type": "Fuse"},
                "model": {"type": "WordLevel", "vocab": {**words, **special}, "unk_token": unknown},
            }
        ),
        encoding="utf-8",
    )  # fmt: skip
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "chat_template": template,
                "clean_up_tokenization_spaces": False,
                "model_max_length": int(text.get("max_position_embeddings") or 0) or 1 << 30,
                **roles,
            }
        ),
        encoding="utf-8",
    )


def _between(begins: str, ends: str, special: Mapping[str, int]) -> dict[str, Any]:
    """Texts stand between two tokens, as an encoder has them."""

    def piece(name: str, kind: str, row: int) -> dict[str, Any]:
        return {kind: {"id": name, "type_id": row}}

    single = [piece(begins, "SpecialToken", 0), piece("A", "Sequence", 0), piece(ends, "SpecialToken", 0)]
    pair = [*single, piece("B", "Sequence", 1), piece(ends, "SpecialToken", 1)]
    tokens = {name: {"id": name, "ids": [special[name]], "tokens": [name]} for name in (begins, ends)}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


def _pieces() -> Iterator[str]:
    """Pieces that have a number of their own, those first that scripts look for."""
    yield "<piece>"
    for one in string.printable:
        yield one
        yield f" {one}"
    for one in ("\n", " ", "\t", "=", "-", "#", "*", ".", "_"):
        for times in range(2, 9):
            yield one * times
    for mark in ("###", "##", "**", "--", "==", "://", "...", "):", "[/", "</", "()", "},", "],"):
        yield mark
        yield f" {mark}"
    for word in (
        "inst",
        "sys",
        "user",
        "system",
        "assistant",
        "human",
        "bot",
        "gpt",
        "instruction",
        "response",
        "answer",
    ):
        for written in (word, word.upper(), word.capitalize()):
            yield from _cut(written)
    for width in (2, 3):
        for number in range(10**width):
            yield f"{number:0{width}}"
    for word in WORDS.read_text(encoding="utf-8").split():
        yield from _cut(word)
        yield from _cut(word.capitalize())
    for a in string.ascii_letters:
        for b in string.ascii_lowercase:
            yield a + b
            yield f" {a}{b}"
    lower = string.ascii_lowercase
    for a in lower:
        for b in lower:
            for c in lower:
                yield a + b + c


def _cut(word: str) -> Iterator[str]:
    """A word as it is cut, with a blank before it and without."""
    yield f" {word[:LONGEST]}"
    for start in range(0, len(word), LONGEST):
        yield word[start : start + LONGEST]

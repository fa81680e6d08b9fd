"""A tokenizer in the place of one that is not on disk: the vocabulary's size and special tokens are the model's own.

It cuts words into pieces of at most four characters, which is about what English takes with a large vocabulary; which
piece is which number is made up. Lengths of texts are therefore an estimate, and the report says so.
"""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PIECES = r"\s?[^\s]{1,4}|\s+"
"""With the blank before it."""

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_tokenizer(folder: Path, config: Mapping[str, Any]) -> None:
    """``tokenizer.json`` and ``tokenizer_config.json`` for a model's config."""
    text = config.get("text_config") or config
    size = int(text.get("vocab_size") or config.get("vocab_size") or 32000)
    special = _special(config, text, size)
    words: dict[str, int] = {}
    taken = set(special.values())
    free = (number for number in range(size) if number not in taken)
    pieces = iter(_pieces())
    for number in free:
        words[next(pieces, None) or f"<piece {number}>"] = number
    vocabulary = {**words, **special}
    unknown = next(iter(words))
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0", "truncation": None, "padding": None,
                "added_tokens": [
                    {"id": number, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
                     "normalized": False, "special": True}
                    for name, number in sorted(special.items(), key=lambda item: item[1])
                ],
                "normalizer": None,
                "pre_tokenizer": {"type": "Split", "pattern": {"Regex": PIECES}, "behavior": "Isolated",
                                  "invert": False},
                "post_processor": None,
                "decoder": {"type": "Fuse"},
                "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": unknown},
            }
        ),
        encoding="utf-8",
    )  # fmt: skip
    named = {
        name: token
        for name, token in (("bos_token", "<bos>"), ("eos_token", "<eos>"), ("pad_token", "<pad>"))
        if token in special
    }
    if "pad_token" not in named and text.get("model_type") in _PADDED and "eos_token" in named:
        named["pad_token"] = named["eos_token"]
    if "pad_token" not in named and "vocab_size" in text and config.get("model_type") in {"bert", "roberta"}:
        named["pad_token"] = "<pad>"  # noqa: S105 -- a token of text
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "chat_template": TEMPLATE,
                "clean_up_tokenization_spaces": False,
                "model_max_length": int(text.get("max_position_embeddings") or 0) or 1 << 30,
                **named,
            }
        ),
        encoding="utf-8",
    )


_PADDED = frozenset({"qwen2", "qwen3", "gemma", "gemma2", "gemma3", "gemma3_text", "phi3"})
"""Families whose own tokenizers have a token for padding (their ``tokenizer_config.json``)."""


def _special(config: Mapping[str, Any], text: Mapping[str, Any], size: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, key in (("<eos>", "eos_token_id"), ("<bos>", "bos_token_id"), ("<pad>", "pad_token_id")):
        number = config.get(key, text.get(key))
        number = number[0] if isinstance(number, list) and number else number
        if isinstance(number, int) and 0 <= number < size and number not in found.values():
            found[name] = number
    if "<eos>" not in found:
        found["<eos>"] = size - 1
    return found


def _pieces() -> list[str]:
    """Pieces that have a number of their own: single characters, words that scripts look for, short words."""
    blank = [f" {one}" for one in string.printable if one.strip()]
    marks = ["<piece>", "<|im_start|>", "<|im_end|>", "\n", " ", "\n\n", "\t"]
    two = [f"{lead}{a}{b}" for lead in ("", " ") for a in string.ascii_letters for b in string.ascii_lowercase]
    three = [
        f"{lead}{a}{b}{c}"
        for lead in (" ", "")
        for a in string.ascii_lowercase
        for b in string.ascii_lowercase
        for c in string.ascii_lowercase
    ]
    return [*marks, *(one for one in string.printable if one not in " \n\t"), *blank, *two, *three]

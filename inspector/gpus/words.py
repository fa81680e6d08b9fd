"""How people write the name of a graphics card: their spelling, a size behind it, several cards at once."""

from __future__ import annotations

import re

# Words that tell no two catalogued cards apart.
_SAYS_NOTHING = re.compile(r"nvidia|geforce|tesla|quadro|graphics|generation|gpu|kaggle|colab|[\s_\-()'\"\u2122\u00ae]")
# Until Turing a laptop's card was called by its cooling or nothing, since Ampere by "Laptop GPU".
_LAPTOP = re.compile(r"mobile|notebook|max-?q\b|(?<=\d)m$|(?<=ti)m$")
_SOCKET = re.compile(r"sxm\d")
# With its unit in any spelling, or a bare number that stands alone: "24 Go", "24 gigs", "3090 24".
_SIZE = re.compile(r"(?:\s*[\s\-(/,]?\s*(\d{1,3})\s?g(?:i?b?|o|igs?|igabytes?)\)?|\s(\d{1,3}))$", re.IGNORECASE)

_NUMBERS = {"single": 1, "one": 1, "dual": 2, "two": 2, "twin": 2, "three": 3, "quad": 4, "four": 4, "eight": 8}
_BEFORE = re.compile(rf"(\d{{1,2}}|{'|'.join(_NUMBERS)})(?:\s?[x×*]\s?|\s)(.+)", re.IGNORECASE)  # noqa: RUF001
_BEHIND = re.compile(r"(.{2,}?)\s?(?<!rt)(?<!gt)[x×*:]\s?(\d{1,2})", re.IGNORECASE)  # noqa: RUF001
# Longer than any card's name: what is longer is not searched by patterns.
_LONGEST = 80

_OTHERS = re.compile(
    r"\b(mi\d{2,3}[axp]?|radeon|instinct|rx ?\d{4}|w7\d00|amd|strix|ryzen|arc|gaudi|intel|tpu|m[1-9]|apple|"
    r"trainium|inferentia|ascend)\b",
    re.IGNORECASE,
)


def normal(text: str) -> str:
    """A name without what tells no two cards apart: ``NVIDIA GeForce RTX 4090`` and ``rtx4090`` are the same."""
    text = _LAPTOP.sub("laptop", text.lower().strip())
    text = _SAYS_NOTHING.sub("", text).replace("gib", "gb").replace("laptoplaptop", "laptop")
    text = re.sub(r"^((?:rtx|gtx)?)laptop(.+)", r"\1\2laptop", text)  # a laptop 4090 is a 4090 Laptop
    text = re.sub(r"(?<=\d)g(o|igs?|igabytes?)?$", "gb", text)
    return _SOCKET.sub("sxm", text)


def without_series(name: str) -> str:
    """A normal name without ``rtx`` or ``gtx``, which people leave out or take for each other."""
    return name.removeprefix("rtx").removeprefix("gtx")


def size_behind(text: str) -> tuple[str, int] | None:
    """``RTX 3090 24GB`` as its name and its gigabytes; None when there is no size behind a name."""
    found = _SIZE.search(text) if len(text) <= _LONGEST else None
    # A bare number behind a word alone is a part of a name: the 30 of "rtx 30".
    if found and found[2] and not any(map(str.isdigit, text[: found.start()])):
        return None
    # And a letter is no name of a card: t4g is a machine without one.
    named = found and len(text[: found.start()].strip()) > 1
    return (text[: found.start()], int(found[1] or found[2])) if found and named else None


def several(text: str) -> tuple[int, tuple[str, ...]] | None:
    """``2xT4``, ``T4 x2``, ``T4:2``, ``dual 3090``: how many, and what one may be called; None when none says so.

    A plural is tried as it is first: the S of ``8x L40S`` is its name's.
    """
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    if found := _BEFORE.fullmatch(text):
        said, name = found[1], found[2]
    elif found := _BEHIND.fullmatch(text):
        said, name = found[2], found[1]
    else:
        return None
    count = _NUMBERS.get(said.lower()) or int(said)
    return (count, (name, name.removesuffix("s"))) if count else None


def cuts_a_number(wanted: str, names: tuple[str, ...]) -> bool:
    """Whether a part of a name ends in the middle of a number wherever it is found: the L2 of L20, another card."""
    parts = re.compile(r"[\s_\-()]*".join(map(re.escape, wanted)) + r"(?!\d)", re.IGNORECASE)
    return wanted[-1:].isdigit() and not any(parts.search(name) for name in names)


def machine(text: str) -> str:
    """The card in a machine that a cloud rents out under a name of its own; "" for any other text."""
    plain = text.lower().strip().replace("standard_", "")
    return next((card for pattern, card in _MACHINES if re.match(pattern, plain)), "")


_MACHINES = (
    (r"p2\.", "K80"), (r"g3s?\.", "M60"), (r"gr6\.", "L4"), (r"nd\d+asr_(a100_)?v4", "A100-40GB"),
    (r"nd\d+amsr_a100", "A100-80GB"), (r"nc\d+r?s_v3", "V100-16GB"), (r"nc\d+adis_h100", "H100-NVL"),
    (r"g4dn\.", "T4"), (r"g5\.", "A10G"), (r"g6e\.", "L40S"), (r"g6\.", "L4"), (r"p3dn\.", "V100-32GB"),
    (r"p3\.", "V100-16GB"), (r"p4de\.", "A100-80GB"), (r"p4d\.", "A100-40GB"), (r"p5en?\.", "H200"),
    (r"p5\.", "H100-SXM"), (r"p6-b200\.", "B200"), (r"a2-highgpu", "A100-40GB"), (r"a2-ultragpu", "A100-80GB"),
    (r"a3-(high|mega|edge)", "H100-SXM"),
    (r"a3-ultra", "H200"), (r"a4-", "B200"), (r"g2-standard", "L4"), (r"nc\d+ads_a100", "A100-80GB-PCIe"),
    (r"nc\d+as_t4", "T4"), (r"nc\d+ads_h100", "H100-NVL"), (r"nd\d+isr_h100", "H100-SXM"), (r"nd\d+isr_h200", "H200"),
)  # fmt: skip
"""Beginnings of the machines' names. Sources: aws.amazon.com/ec2/instance-types, cloud.google.com/compute/docs/gpus,
learn.microsoft.com/azure/virtual-machines/sizes; of Azure's A100 and H100 also huggingface.co/docs/microsoft-azure,
azure-ai/hardware, and of its V100 MicrosoftDocs/azure-docs, ncv3-nc6s-nc12s-nc24s-retirement.md."""


def of_another_maker(text: str) -> bool:
    """Whether a name is of an accelerator that runs no CUDA."""
    return bool(_OTHERS.search(text[:_LONGEST]))

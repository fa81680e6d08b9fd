"""Schemes by name and by bits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from inspector.errors import InspectorError, closest
from inspector.precision.bitsandbytes import four_bit, int8
from inspector.precision.cast import cast
from inspector.precision.fp8 import fp8
from inspector.precision.gguf import gguf
from inspector.precision.gguf_rules import FILE_TYPES
from inspector.precision.packed import awq, compressed, gptq, hqq, mxfp4, nvfp4
from inspector.precision.torchao import KINDS, torchao
from inspector.skeleton.habits import usual

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inspector.precision.base import Scheme

# In the order of the tables: widest first, and among equals the one most people mean first.
_SCHEMES: dict[str, Callable[[], Scheme]] = {
    "fp32": partial(cast, "fp32", 32, "float32"),
    "bf16": partial(cast, "bf16", 16, "bfloat16"),
    "fp16": partial(cast, "fp16", 16, "float16"),
    "int8": int8,
    "fp8": fp8,
    "nf4-dq": partial(four_bit, "nf4", double=True),
    "nf4": partial(four_bit, "nf4", double=False),
    "fp4-dq": partial(four_bit, "fp4", double=True),
    "fp4": partial(four_bit, "fp4", double=False),
}
SCHEME_NAMES = tuple(_SCHEMES)
_OF_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
BITS = (32, 16, 8, 4)

_PUBLISHED: dict[str, Callable[..., Scheme]] = {
    "gptq": gptq, "awq": awq, "hqq": hqq, "w4a16": compressed, "nvfp4": nvfp4, "mxfp4": mxfp4,
}  # fmt: skip
"""Formats that checkpoints are published in. Some take bits and a group size: ``gptq:4:128``."""

PUBLISHED_NAMES = (*_PUBLISHED, *(f"torchao:{name}" for name in KINDS), *(f"gguf:{name}" for name in FILE_TYPES))
"""Schemes that are shown when they are named, and not among all."""


def usual_scheme(name: str) -> str:
    """The name that is meant: ``bf16`` for ``bfloat16``, ``fp16`` for ``half``; any other as it is."""
    return _OF_DTYPES.get(usual("dtype", name), name)


def scheme_named(name: str, *, block_size: int | None = None) -> Scheme:
    """The scheme of a name; ``block_size`` is for the 4-bit ones (``nf4:128`` says the same).

    Raises InspectorError for an unknown name, or a block size where there is none to choose.
    """
    base, _, size = usual_scheme(name.strip().lower()).partition(":")
    # These first: what follows their colon is no block size.
    if base == "gguf":
        return gguf(size)
    if base == "torchao":
        return torchao(size)
    if base in _PUBLISHED:
        return _published(base, size)
    if base not in _SCHEMES:
        known = (*SCHEME_NAMES, *_PUBLISHED, "torchao")
        close = closest(base, known, most=1)
        hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(known)}, gguf:q4_k_m, ..."
        raise InspectorError(f"no scheme is named {name!r}", hint=hint)
    # `isdecimal`, as `isdigit` takes superscripts too, which int() refuses, as it does thousands of digits.
    if size and not (size.isdecimal() and len(size) < 10):
        raise InspectorError(f"{size[:60]!r} is not a block size", hint=f"write it as {base}:64")
    chosen = int(size) if size else block_size
    if chosen is None:
        return _SCHEMES[base]()
    if not base.startswith(("nf4", "fp4")):
        raise InspectorError(f"{base} has no block size to choose", hint="only the 4-bit schemes have one")
    return four_bit(base[:3], double=base.endswith("-dq"), block_size=chosen)


def _published(base: str, rest: str) -> Scheme:
    """A published format with the bits and group size that follow its name."""
    sizes = rest.split(":") if rest else []  # bits, then the group, which may be -1: whole rows
    taken = 0 if base in {"nvfp4", "mxfp4"} else 2
    if len(sizes) > taken or not all(size.lstrip("-").isdecimal() and len(size) < 7 for size in sizes):
        raise InspectorError(
            f"{rest!r} is not what follows {base}", hint=f"write {base}:4:128" if taken else f"write {base} alone"
        )
    return _PUBLISHED[base](*map(int, sizes))


def schemes_of_bits(bits: int | None, *, block_size: int | None = None) -> tuple[Scheme, ...]:
    """All schemes of a number of bits, the usual one first; of every number when ``bits`` is None.

    Raises InspectorError for bits no scheme has.
    """
    if bits is not None and bits not in BITS:
        raise InspectorError(f"no scheme stores weights in {bits} bits", hint="choose 32, 16, 8 or 4")
    found = []
    for name in SCHEME_NAMES:
        scheme = scheme_named(name)
        if bits is None or scheme.bits == bits:
            chosen = block_size if scheme.bits == 4 else None
            found.append(scheme_named(name, block_size=chosen) if chosen else scheme)
    if block_size is not None and not any(scheme.bits == 4 for scheme in found):
        raise InspectorError("a block size needs a 4-bit scheme", hint="add --bits 4 or --scheme nf4")
    return tuple(found)


def chosen_schemes(
    names: Sequence[str] = (), *, bits: int | None = None, block_size: int | None = None
) -> tuple[Scheme, ...]:
    """The schemes a user asks for: those named, or those of ``bits``, or all.

    Raises InspectorError for names and bits together, and as `scheme_named` and `schemes_of_bits`.
    """
    if names and bits is not None:
        raise InspectorError("--bits and --scheme exclude each other", hint="a scheme has its own bits")
    if names:
        return tuple(scheme_named(name, block_size=block_size) for name in dict.fromkeys(names))
    return schemes_of_bits(bits, block_size=block_size)

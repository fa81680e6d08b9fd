"""What a deck says of a checkpoint that is quantized already: its format, its weights as stored, how it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lenses.weights import weights
from inspector.precision.as_published import published_scheme
from inspector.precision.published import DEQUANTIZE, published_in

if TYPE_CHECKING:
    from inspector.lenses.weights import WeightsReport
    from inspector.precision import Scheme
    from inspector.sources.source import Source


@dataclass(frozen=True, slots=True)
class AsStored:
    """The format that a checkpoint is in.

    ``title`` names it; ``weights`` is None where neither its config nor its files say what it takes. ``trained`` is
    what adapters train on, in words: the format itself, a plain dtype after dequantizing, or nothing ("").
    ``trained_bytes`` are those of the base weights then. ``is_dequantized`` is whether its config has them plain when
    they are loaded.
    """

    title: str
    weights: WeightsReport | None
    trained: str
    trained_bytes: int
    is_bitsandbytes: bool = False
    is_dequantized: bool = False


def stored_title(source: Source) -> str:
    """The format in which a source's checkpoint is quantized already, "" for plain weights."""
    published = published_in(source.config) if source.config else None
    if published is None:
        return ""
    return f"{published.title}, dequantized on loading" if published.says_dequantize else published.title


def as_stored(source: Source) -> AsStored | None:
    """How the checkpoint of a source is stored; None for plain weights.

    Raises QuantizationWordError as `published_in`.
    """
    from inspector.precision import scheme_named
    from inspector.simulate.setup.stored import trains_as_stored

    published = published_in(source.config) if source.config else None
    if published is None:
        return None
    scheme = published_scheme(source.config, source.skeleton) or _of_its_files(source)
    found = weights(source.skeleton, scheme) if scheme is not None else None
    if published.known and trains_as_stored(published) and not published.says_dequantize:
        taken, own = found.tensor_bytes if found else 0, published.method == "bitsandbytes"
        return AsStored(published.title, found, published.title, taken, is_bitsandbytes=own)
    if published.method in DEQUANTIZE:
        dtype = "float16" if source.skeleton.facts.dtype == "float16" else "bfloat16"
        plain = weights(source.skeleton, scheme_named(dtype))
        taken, unasked = plain.tensor_bytes, published.says_dequantize
        return AsStored(published.title, found, f"{dtype}, dequantized", taken, is_dequantized=unasked)
    return AsStored(published.title, found, "", 0)


def _of_its_files(source: Source) -> Scheme | None:
    """What the files hold, of a format whose layout is known to them alone."""
    from inspector.precision.stored import stored

    try:
        return stored(source.checkpoint, source.skeleton)
    except InspectorError:
        return None

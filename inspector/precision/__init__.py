"""Precisions: what each scheme stores for a tensor, and what it leaves alone."""

from inspector.precision.base import Piece, Scheme
from inspector.precision.registry import (
    PUBLISHED_NAMES,
    SCHEME_NAMES,
    chosen_schemes,
    scheme_named,
    schemes_of_bits,
    usual_scheme,
)

__all__ = [
    "PUBLISHED_NAMES",
    "SCHEME_NAMES",
    "Piece",
    "Scheme",
    "chosen_schemes",
    "scheme_named",
    "schemes_of_bits",
    "usual_scheme",
]

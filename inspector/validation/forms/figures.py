"""The measured side of a record: numbers with their units, what a peak is of, and how far to trust it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.validation import words
from inspector.validation.fields import NotUnderstoodError
from inspector.validation.published_run import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.validation.fields import Fields

MOST = 2**60
"""More bytes than any card has, by far: a figure above it is in another unit than it says."""


def measured(fields: Fields, name: str, of: str, unit: int) -> tuple[Figure, ...]:
    """One measured number, rounded to whole bytes; none where it is not said."""
    if not fields.given(name):
        fields.told(name)
        return ()
    value = fields.number(name, 0.0)
    # Zero cannot be divided by, and was not measured either.
    if not 0 < value * unit < MOST:
        fields.refuse(f"{fields.path(name)} is no number of bytes that a card could hold", wrong=True)
        return ()
    return (Figure(of, round(value * unit)),)


def peak(fields: Fields, name: str, usual: words.Metric, figures: Mapping[tuple[str, bool], str]) -> tuple[Figure, ...]:
    """The field whose unit and meaning are told in words, ``unit`` and ``metric``.

    ``figures`` maps kind and whether loading counts to the figure it is compared with. A metric that is not understood
    is named, and the peak is not compared.
    """
    unit = fields.read("unit", words.unit, 1, required=fields.given(name))
    metric = usual
    if fields.given("metric"):
        try:
            metric = words.metric(fields.text("metric"))
        except NotUnderstoodError:
            fields.name_it("metric")
            fields.told(name)
            return ()
    # A metric that is silent about loading means what the form's tool does.
    with_load = usual.with_load if metric.with_load is None else metric.with_load
    of = figures.get((metric.kind, bool(with_load)))
    if of is None:
        fields.name_it("metric")
        fields.told(name)
        return ()
    return measured(fields, name, of, unit)


def described(fields: Fields) -> list[str]:
    """What a record says of itself: whether the run ended, and how far it is to be trusted. Returns notes."""
    status = fields.text("status", "ok").lower()
    if status == "oom":
        fields.refuse("it ran out of memory: nothing was measured")
    elif status not in {"ok", "success"}:
        fields.refuse(f"status {status}: the run did not end")
    left_open, trust = fields.names("unspecified"), fields.text("trust", "A")
    notes = [f"the record leaves open: {', '.join(left_open)}"] if left_open else []
    return notes if trust.upper().startswith("A") else [*notes, f"trust {trust}: an order of magnitude"]

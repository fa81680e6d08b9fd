"""Which tensor it was: the candidates that print the size, those first that the line of the traceback speaks of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from inspector.explain.candidate import WIDTHS
from inspector.explain.shapes import spread, weights
from inspector.explain.sizes import Request, request_of
from inspector.explain.tokens import Batch, solved, with_batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inspector.explain.candidate import Candidate
    from inspector.explain.operators import Family, Operator
    from inspector.explain.sizes import Size
    from inspector.skeleton import Skeleton

Certainty = Literal["certain", "likely", "possible", "line alone", "no match"]
"""``certain``: line and size name one and the same tensor of a model that was given. ``likely``: the line with a length
that was solved, or the size with one shape of the model alone. ``possible``: several, or a length that was solved.
``line alone``: the sort of tensor by the line, and no size."""

MOST = 8
"""Candidates that are kept: further ones are worse."""
UNROUND = 1000
"""A length whose odd part is larger was not chosen for being round, so that it speaks for nothing."""
_ALIKE = "its gradient, an optimizer's moment and a dequantized copy are as large"
_ORDER = {
    "weight": 0,
    "flat": 1,
    "mlp": 2,
    "logits": 3,
    "scores": 4,
    "hidden": 5,
    "cache": 6,
    "attention": 7,
    "mask": 8,
}
"""Where no line decides: parameters before activations, and those that are most often too large first."""
SORTS: dict[Family, str] = {
    "weight": "a weight", "flat": "a flat parameter", "state": "optimizer state", "gradient": "a gradient",
    "logits": "logits", "scores": "attention scores", "mask": "a mask of all pairs of tokens",
    "mlp": "an MLP activation", "attention": "an activation of attention", "hidden": "hidden states",
    "cache": "keys or values of the cache", "merged": "the product of an adapter",
}  # fmt: skip
# Weights that stand for something else of the same shape, by what the line says.
_STANDS_FOR = {"state": "optimizer state or its temporary, of the", "gradient": "gradient of the",
               "merged": "an adapter's product, as large as the"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Named:
    """The answer: the candidates, the best first, and how far they can be trusted.

    ``why`` says it in a sentence. ``sort`` is the sort of tensor by the line alone, where no candidate is.
    """

    certainty: Certainty
    candidates: tuple[Candidate, ...]
    why: str
    sort: str = ""

    @property
    def tensor(self) -> Candidate | None:
        """The best candidate."""
        return self.candidates[0] if self.candidates else None


def named(
    tried: Size,
    skeleton: Skeleton | None,
    operator: Operator | None,
    called: Sequence[str] = (),
    batch: Batch | None = None,
    *,
    exact: bool = False,
    guessed: bool = False,
) -> Named:
    """Which tensor asked for a printed size.

    Args:
        tried: what was asked for.
        skeleton: the model, None when it is not known.
        operator: what the traceback's line was computing.
        called: modules whose calls led there, the innermost first.
        batch: sequences and length, as far as known.
        exact: no allocator has rounded the size.
        guessed: the model was read off the text, nobody said it.
    """
    request = request_of(tried, exact=exact)
    decides = operator is not None and bool(operator.families)
    if skeleton is None:
        return _by_line(operator, "no model was named, so no shape can be compared") if decides else _nothing(
            "no model was named: with its name every tensor of it is compared")  # fmt: skip
    if request.open and not decides:
        least = "up to 1" if request.low == 1 else "from 1 to 10"
        return _nothing(f"every tensor {least} MiB asks for {tried.text}: the size says nothing")
    found = list(_known(skeleton, request, batch or Batch()))
    if operator is not None and decides:
        found = list(_of(found, operator))
    # A length that is made up to match is only looked for where nothing of the model itself does.
    if not found and not request.open:
        found = [*solved(skeleton, request), *spread(skeleton, request)]
        found = list(_of(found, operator)) if operator is not None and decides else found
    found = _joined(sorted(found, key=lambda one: _rank(one, operator if decides else None, called)))
    if not found and decides:
        return _by_line(operator, "no shape of the model asks for that size")
    if not found:
        return _nothing("no tensor of the model, and no length that fits, asks for that size")
    # A length was said, and none of what it makes is of that size: what was solved contradicts it.
    against = bool(batch and batch.known and found[0].solved)
    return _trusted(found[:MOST], request, operator if decides else None, guessed=guessed, against=against)


def _known(skeleton: Skeleton, request: Request, batch: Batch) -> Iterator[Candidate]:
    yield from weights(skeleton, request)
    yield from (one for one in spread(skeleton, request) if not one.solved)
    if batch.known:
        yield from with_batch(skeleton, request, batch)


def _of(candidates: Sequence[Candidate], operator: Operator) -> Iterator[Candidate]:
    """Those the line can mean, called by what it does with them."""
    for one in candidates:
        if operator.widths and one.width not in operator.widths:
            continue
        for family in operator.families:
            if family in _STANDS_FOR and one.family == "weight":
                yield replace(one, family=family, what=f"{_STANDS_FOR[family]} {one.what}")
                break
            if family == one.family:
                what = one.what
                if operator.name == "dequantizing a weight":
                    what = what.replace(" in ", " dequantized to ")
                yield replace(one, what=what)
                break


def _joined(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Each name and size once: a matrix and its transposed one, as up and down projections are, are no alternatives."""
    found: dict[tuple[str, int], Candidate] = {}
    for one in candidates:
        key = one.what, one.tensor_bytes
        if key in found:
            where = ", ".join(name for name in (found[key].where, one.where) if name)
            found[key] = replace(found[key], where=where, count=found[key].count + one.count)
        else:
            found[key] = one
    return list(found.values())


def _rank(one: Candidate, operator: Operator | None, called: Sequence[str]) -> tuple[int, ...]:
    leaves = set(one.where.replace(",", ".").replace(" ", ".").split("."))
    spoken = next((at for at, name in enumerate(called) if name in leaves), len(called))
    family = operator.families.index(one.family) if operator else _ORDER.get(one.family, len(_ORDER))
    widths = operator.widths if operator and operator.widths else tuple(WIDTHS)
    width = widths.index(one.width) if one.width in widths else len(widths)
    if one.solved and operator is None:
        # Only how round the length is speaks for one of them; one that is not, and too long for the model, is last.
        return (1, int(one.beyond and one.oddness > UNROUND), one.oddness, family, width, 0)
    return (
        int(one.solved),
        family,
        spoken,
        width + (one.fused != bool(operator and operator.fuses)),
        one.oddness,
        -one.count,
    )


def _trusted(
    found: Sequence[Candidate], request: Request, operator: Operator | None, *, guessed: bool, against: bool
) -> Named:
    own = [one for one in found if not one.solved]
    single = len({one.what for one in own}) == 1
    if operator is None:
        # Without a line a weight may also be what has its shape.
        found = tuple(
            replace(one, assumes=(*one.assumes, _ALIKE)) if one.family == "weight" else one for one in found
        )  # fmt: skip
    doubt = "; the model was read off the text" if guessed else ""
    if operator is not None:
        line = f"the line speaks of {operator.name}"
        if own and single and not guessed and not request.open:
            return Named("certain", tuple(found), f"{line}, and of such tensors one shape alone asks for that")
        if request.open:
            return Named("possible", tuple(found), f"{line}; so small a size leaves the shape open{doubt}")
        if against:
            return Named("possible", tuple(found), f"{line}; the batch that was said would ask for another size{doubt}")
        several = "several of such tensors ask for that" if own else "the tokens or ranks are solved from the size"
        return Named("likely", tuple(found), f"{line}; {several}{doubt}")
    # What other code keeps in one tensor is an alternative, and a weaker one than what the model itself has.
    if own and (single or len({one.what for one in own if not one.fused}) == 1):
        others = "" if single else "; fused layers of other code would too"
        return Named("likely", tuple(found), f"of the model's tensors one shape alone asks for that{others}{doubt}")
    if own:
        return Named("possible", tuple(found), f"several of the model's shapes ask for that{doubt}")
    return Named("possible", tuple(found), f"no weight asks for that; these would, with so many tokens or ranks{doubt}")


def _by_line(operator: Operator | None, why: str) -> Named:
    name = operator.name if operator else ""
    sort = SORTS[operator.families[0]] if operator else ""
    return Named("line alone", (), f"the line speaks of {name}; {why}", sort)


def _nothing(why: str) -> Named:
    return Named("no match", (), why)

"""The ranks of a user's script, or the cards of one process: a bar a card, their peaks, what goes between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.card_bars import bars
from inspector.render.several_cards import (
    card_bars,
    rank_payload,
    ranks_table,
    sent_payload,
    sent_table,
    why_heaviest,
)
from inspector.render.sharing_words import units_line
from inspector.render.terminal import Responsive, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.render.card_bars import CardBar
    from inspector.simulate.script.ranks import Ranks
    from inspector.simulate.script.report import ScriptReport


def parts(report: ScriptReport) -> list[RenderableType]:
    """What the page says of them; nothing where there is one process with one card."""
    ranks = report.ranks
    if ranks is None:
        return []
    made = drawn(ranks)
    page: list[RenderableType] = [
        Text(in_words(ranks)),
        Responsive(lambda width: bars(made, width)),
        ranks_table(ranks.each, ranks.of),
    ]
    if ranks.of == "rank":
        page.append(_kept(ranks))
    if ranks.sent:
        page.append(sent_table(ranks.sent))
    return page


def drawn(ranks: Ranks) -> list[CardBar]:
    """A bar for each card."""
    return card_bars(ranks.each, ranks.world_size, ranks.of)


def in_words(ranks: Ranks) -> str:
    """How many there are, whose figures all others are, and how the model is spread, in a line."""
    most = why_heaviest(ranks.each, ranks.world_size, ranks.of)
    if ranks.of == "card":
        return f"One process on {ranks.world_size} cards, of which one computes while the others wait. Below: {most}."
    machines = f" on {ranks.machines} machines" if ranks.machines > 1 else ""
    return f"{ranks.world_size} ranks{machines}. {sharing(ranks)} Below: {most}."


def sharing(ranks: Ranks) -> str:
    """What the wrappers of the script do."""
    heaviest = ranks.heaviest
    # Gathered in half the precision, a unit takes what a rank of two keeps of it: then what is sent says it.
    gathers = any(each.collective.kind == "all-gather" and each.collective.group_size > 1 for each in ranks.sent)
    if heaviest.units and (gathers or any(unit.whole_bytes > unit.rank_bytes for unit in heaviest.units)):
        return "The weights are sharded: each card keeps its share, and gathers units when they are used."
    if heaviest.units:
        return "There are units, and nothing is cut: one rank has all of them."
    if any(each.collective.kind == "reduce-scatter" for each in ranks.sent):
        return "Weights are whole on every card; gradients or optimizer state are sharded."
    if any(each.collective.kind == "all-reduce" for each in ranks.sent):
        return "Each card has a copy of the model, and gradients are summed over them."
    return "Nothing is shared among the cards: every rank trains by itself."


def _kept(ranks: Ranks) -> RenderableType:
    rank = ranks.heaviest
    rows = table("weights", ("MiB", "right"), "")
    rows.add_row("a rank's share of units", f"{rank.sharded_bytes / 2**20:,.1f}", units_line(rank.units))
    rows.add_row("whole on every card", f"{rank.replicated_bytes / 2**20:,.1f}", "")
    if rank.gathered_bytes:
        rows.add_row("largest unit when gathered", f"{rank.gathered_bytes / 2**20:,.1f}", "")
    if rank.host_bytes:
        alone = f"{ranks.world_size // ranks.machines} x {rank.host_bytes / 2**20:,.1f}: each rank loads the model"
        rows.add_row("host memory a machine", f"{ranks.host_bytes_per_machine / 2**20:,.1f}", alone)
    return rows


def payload(ranks: Ranks | None) -> dict[str, Any]:
    """The keys of the JSON document that are of them."""
    if ranks is None:
        return {"world_size": 1, "ranks": [], "collectives": [], "heaviest_rank": None, "host_bytes_per_node": 0,
                "ranks_in_words": ""}  # fmt: skip
    return {
        "world_size": ranks.world_size,
        "ranks": [rank_payload(rank) for rank in ranks.each],
        "collectives": sent_payload(ranks.sent),
        "heaviest_rank": ranks.heaviest.rank,
        "host_bytes_per_node": ranks.host_bytes_per_machine,
        "ranks_in_words": in_words(ranks),
    }

"""A simulated fine-tuning on several cards, as a terminal page and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.card_bars import CardBar, bars
from inspector.render.sharing_words import in_words, remarks, units_line
from inspector.render.simulate import VERDICT_STYLES, said_of, stage_name
from inspector.render.terminal import Responsive, heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import mebibytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from inspector.render.charts import Chart
    from inspector.simulate.parallel.rank_report import RankReport, Sent
    from inspector.simulate.several_cards import SeveralCardsReport

MOST_BARS = 16


def text(report: SeveralCardsReport) -> RenderableType:
    """The page `inspector simulate finetune --gpus N` prints."""
    drawn = card_bars(report.ranks, report.parallel.world_size, _word(report))
    parts: list[RenderableType] = [
        heading(report.model, what(report), in_words(report)),
        Text(verdict_line(report), style=VERDICT_STYLES[report.verdict]),
        Responsive(lambda width: bars(drawn, width)),
        ranks_table(report.ranks, _word(report)),
    ]
    if report.parallel.strategy != "device_map":
        parts.append(_kept(report))
    if report.sent:
        parts.append(sent_table(report.sent))
    parts += [
        _settings(report),
        notes((*remarks(report), *report.not_understood, *report.assumptions, *_legend(report))),
    ]
    return page(*parts)


def charts(report: SeveralCardsReport) -> tuple[Chart, ...]:
    """A bar a card, and the heaviest rank's run, allocation by allocation."""
    from inspector.render.charts.cards import cards
    from inspector.render.charts.timeline import timeline

    rank = report.heaviest
    line = timeline(rank.timeline, rank.timeline_kinds, report.gpu, stage_name, peak=rank.peaks.reserved)
    return cards(card_bars(report.ranks, report.parallel.world_size, _word(report))), line


def card_bars(ranks: Sequence[RankReport], world_size: int, word: str) -> list[CardBar]:
    """A bar for each card, as many as a page holds; beyond, one for the ranks that are alike."""
    if world_size > MOST_BARS:
        return [CardBar.of(named(rank, word), rank.peaks, rank.alive_at_peak) for rank in ranks]
    each = sorted((number, place) for place, rank in enumerate(ranks) for number in rank.members)
    return [CardBar.of(f"{word} {number}", ranks[place].peaks, ranks[place].alive_at_peak) for number, place in each]


def _word(report: SeveralCardsReport) -> str:
    """One process has all cards of a map; elsewhere each card has its own, a rank."""
    return "card" if report.parallel.strategy == "device_map" else "rank"


def named(rank: RankReport, word: str) -> str:
    """A rank, and those that are as it is: ``ranks 0-6``, or where others lie between ``rank 0 and 3 like it``."""
    if rank.alike == 1:
        return f"{word} {rank.rank}"
    if rank.members and rank.members[-1] - rank.members[0] + 1 == rank.alike:
        return f"{word}s {rank.members[0]}-{rank.members[-1]}"
    return f"{word} {rank.rank} and {rank.alike - 1:,} like it"


def what(report: SeveralCardsReport) -> str:
    """The run in a line."""
    setup, parallel = report.setup, report.parallel
    stored = setup.load.quantization
    quantized = f" on {stored.scheme}" if stored else ""
    shared = parallel.ep if parallel.strategy == "ep" else max(parallel.tp, parallel.cp)
    its = "a card" if shared == 1 else f"for {shared} cards together"
    batch = report.inputs or f"{setup.batch.size} x {setup.batch.seq_len} tokens {its}"
    machines = f" on {parallel.nodes} machines" if parallel.nodes > 1 else ""
    offloaded = f", {parallel.offload} offloaded" if parallel.offload != "none" else ""
    cards = f"{parallel.world_size} x {report.gpu.name}{machines}"
    return f"{setup.method}{quantized}, {parallel.words} over {cards}{offloaded}, {batch}, {setup.loop.optimizer}"


def verdict_line(report: SeveralCardsReport) -> str:
    """The verdict, the heaviest rank and why."""
    heaviest, card = report.heaviest, report.gpu
    margin = heaviest.peaks.margin
    left = (
        "to spare" if margin >= 0 else "missing" if not heaviest.peaks.fits else "made up by giving cached memory back"
    )
    return (
        f"{report.verdict.capitalize()} on {report.parallel.world_size} x {card.name}: "
        f"{mebibytes(abs(margin))} {left} on {_why(report)}"
    )


def _why(report: SeveralCardsReport) -> str:
    return why_heaviest(report.ranks, report.parallel.world_size, _word(report))


def why_heaviest(ranks: Sequence[RankReport], world_size: int, word: str) -> str:
    """The heaviest rank, and what it has more of than the lightest."""
    heaviest = max(ranks, key=lambda rank: (rank.peaks.process, -rank.rank))
    lightest = min(ranks, key=lambda rank: rank.peaks.process)
    if lightest.peaks.process == heaviest.peaks.process:
        if world_size == 1:
            return "the one card"
        # Ranks that differ by less than the allocator's segments have processes of one size.
        return f"every {word}: {'all are alike' if len(ranks) == 1 else 'its process is as large on all'}"
    there = {share.name: share.nbytes for share in lightest.alive_at_peak}
    more = {share.name: share.nbytes - there.get(share.name, 0) for share in heaviest.alive_at_peak}
    kind = max(more, key=lambda name: more[name], default="")
    return f"{word} {heaviest.rank}, the heaviest: {mebibytes(more[kind])} more of {kind} than {word} {lightest.rank}"


def ranks_table(ranks: Sequence[RankReport], word: str) -> RenderableType:
    """The peaks of every rank that was traced."""
    rows = table(
        "MiB",
        *((name, "right") for name in ("allocated", "reserved", "process", "at most", "after training", "peak at")),
    )
    for rank in ranks:
        style = VERDICT_STYLES[rank.peaks.verdict]
        peaks = rank.peaks
        sizes = (
            peaks.allocated, peaks.reserved, peaks.process, peaks.process_most, rank.after_training_allocated_bytes,
        )  # fmt: skip
        where = "loading" if rank.peak_step < 0 else f"step {rank.peak_step + 1} {rank.peak_stage}"
        name = Text(f"{named(rank, word)} {rank.peaks.verdict}", style=style)
        rows.add_row(name, *(f"{size / 2**20:,.1f}" for size in sizes), where)
    return rows


def _kept(report: SeveralCardsReport) -> RenderableType:
    rank = report.heaviest
    rows = table("weights", ("MiB", "right"), "")
    rows.add_row("whole model, as loaded", f"{rank.whole_bytes / 2**20:,.1f}", "")
    rows.add_row("a rank's share of units", f"{rank.sharded_bytes / 2**20:,.1f}", units_line(report.ranks[0].units))
    rows.add_row("whole on every card", f"{rank.replicated_bytes / 2**20:,.1f}", "")
    rows.add_row("largest unit when gathered", f"{rank.gathered_bytes / 2**20:,.1f}", "")
    if report.host_bytes_per_node:
        rows.add_row("host memory a machine", f"{report.host_bytes_per_node / 2**20:,.1f}", "")
    return rows


def sent_table(made: Sequence[Sent]) -> RenderableType:
    """What a steady step sends, by kind."""
    rows = table("sent in a step", ("times", "right"), ("of", "right"), ("GiB", "right"), ("estimate", "right"))
    for each in made:
        sent = each.collective
        rows.add_row(sent.kind, f"{sent.times:,}", f"{sent.group_size:,}", f"{sent.nbytes / 2**30:,.2f}", seconds(each))
    return rows


def seconds(sent: Sent) -> str:
    """Time at the link's full speed, three digits."""
    return "-" if sent.seconds is None else f"{sent.seconds * 1000:,.1f} ms"


def _settings(report: SeveralCardsReport) -> RenderableType:
    rows = table("setting", "value", "set by")
    for name, value, by in said_by(report):
        rows.add_row(name, Text(clean(value)), Text(clean(by)))
    return rows


def said_by(report: SeveralCardsReport) -> list[tuple[str, str, str]]:
    """Settings that are not a library's own, with who set them; a file by its line."""
    rows = [
        (name, said_of(value), report.set_at[name]) for name, value in asdict(report.parallel).items()
        if name in report.set_at
    ]  # fmt: skip
    for name, setting in report.settings.items():
        if setting["set_by"] != "library":
            rows.append((name, said_of(setting["value"]), report.set_at.get(name, setting["set_by"])))
    return rows


def _legend(report: SeveralCardsReport) -> tuple[str, ...]:
    link = (
        f"Times are estimates: a ring at {report.link} by the data sheet, nothing hidden behind computation."
        if report.link and any(each.seconds is not None for each in report.sent)
        else "No times: the link between the cards is not known."
    )
    if not report.sent:
        link = "What goes between the cards is not counted."
    least, most = report.nccl_bytes
    nccl = (
        f"NCCL's own buffers take {least / 2**30:,.2f} to {most / 2**30:,.2f} GiB of each card, by the channels it "
        "finds: the process has the least, at most has the most, and what fits beside the least alone is tight."
        if most
        else "NCCL sends nothing, and has no buffers."
    )
    made = "simulated with " + ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (link, nccl, made, "MiB = 2^20 bytes, in blocks as the allocator hands them out.")


def payload(report: SeveralCardsReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.several_cards``."""
    return {
        "model": report.model,
        "gpu": {
            "name": report.gpu.name,
            "usable_bytes": report.gpu.usable_bytes,
            "context_bytes": report.gpu.context_bytes,
        },
        "parallel": {"words": report.parallel.words, **asdict(report.parallel)},
        "verdict": report.verdict,
        "fits": report.fits,
        "heaviest_rank": report.heaviest.rank,
        "why": _why(report),
        "ranks": [rank_payload(rank) for rank in report.ranks],
        "collectives": sent_payload(report.sent),
        "link": report.link,
        "nccl_bytes": dict(zip(("least", "most"), report.nccl_bytes, strict=True)),
        "host_bytes_per_node": report.host_bytes_per_node,
        "layers_are_units": report.layers_are_units,
        "in_words": in_words(report),
        "remarks": list(remarks(report)),
        "not_understood": list(report.not_understood),
        "inputs": report.inputs,
        "settings": {name: dict(setting) for name, setting in report.settings.items()},
        "set_at": dict(report.set_at),
        "versions": dict(report.versions),
        "assumptions": list(report.assumptions),
    }  # fmt: skip


def sent_payload(sent: Sequence[Sent]) -> list[dict[str, Any]]:
    """What a steady step sends, for the JSON document."""
    return [
        {
            "kind": each.collective.kind, "bytes": each.collective.nbytes, "times": each.collective.times,
            "group_size": each.collective.group_size, "seconds_estimate": each.seconds,
        }
        for each in sent
    ]  # fmt: skip


def rank_payload(rank: RankReport) -> dict[str, Any]:
    """One rank, for the JSON document."""
    return {
        "rank": rank.rank,
        "alike": rank.alike,
        "members": list(rank.members),
        "peak_allocated_bytes": rank.peaks.allocated,
        "peak_reserved_bytes": rank.peaks.reserved,
        "peak_reserved_behind_bytes": rank.reserved_behind_bytes,
        "after_training_allocated_bytes": rank.after_training_allocated_bytes,
        "process_bytes": rank.peaks.process,
        "process_most_bytes": rank.peaks.process_most,
        "margin_bytes": rank.peaks.margin,
        "verdict": rank.peaks.verdict,
        "peak_stage": rank.peak_stage,
        "peak_step": rank.peak_step,
        "units": [
            {
                "name": unit.name, "class": unit.cls, "whole_bytes": unit.whole_bytes, "rank_bytes": unit.rank_bytes,
                "trainable_bytes": unit.trainable_bytes, "model_bytes": unit.model_bytes or unit.whole_bytes,
            }
            for unit in rank.units
        ],
        "sharded_bytes": rank.sharded_bytes,
        "replicated_bytes": rank.replicated_bytes,
        "gathered_bytes": rank.gathered_bytes,
        "host_bytes": rank.host_bytes,
        "paged_bytes": rank.paged_bytes,
        "streams": list(rank.streams),
        "alive_at_peak": {share.name: share.nbytes for share in rank.alive_at_peak},
        "largest_at_peak": [
            {"bytes": item.nbytes, "kind": item.kind, "module": item.module, "source": item.source}
            for item in rank.largest_at_peak
        ],
        "steps": [
            {
                "step": item.step, "stage": item.stage, "peak_allocated_bytes": item.peak_allocated,
                "peak_reserved_bytes": item.peak_reserved, "end_allocated_bytes": item.end_allocated,
                "end_reserved_bytes": item.end_reserved,
            }
            for item in rank.stages
        ],
    }  # fmt: skip

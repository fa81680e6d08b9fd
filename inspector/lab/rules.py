"""The rules of thumb of LoRA, each beside what the lab's runs say of it. Pure: a report in, sentences out.

What counts as a difference is what another seed changes too: a rule holds when nothing measured beats it by more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inspector.lab.plan import ALPHAS, AS_LARGE, CENTRE, QUANTIZED, RANKS, SEEDS, TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inspector.lab.plan import Setup
    from inspector.lab.reports import Finetuned, FinetuneLab


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of thumb, whether it held here (None: the runs that would say are not there), and the figures."""

    name: str
    rule: str
    holds: bool | None
    said: str


def noise(lab: FinetuneLab) -> float | None:
    """How far apart the centre's losses are by seed, largest less smallest, in nats; None with one seed."""
    found = [run.loss for run in _runs(lab, (replace(CENTRE, seed=seed) for seed in SEEDS))]
    return max(found) - min(found) if len(found) > 1 else None


def by_rank(lab: FinetuneLab, *, alpha: int | None = None) -> tuple[Finetuned, ...]:
    """Runs on attention by rank, alpha twice r; or ``alpha`` as it is."""
    return _runs(lab, (replace(CENTRE, r=r, alpha=alpha or 2 * r) for r in RANKS))


def by_alpha(lab: FinetuneLab) -> tuple[Finetuned, ...]:
    """Runs at r 8 by alpha."""
    return _runs(lab, (replace(CENTRE, alpha=alpha) for alpha in ALPHAS))


def by_targets(lab: FinetuneLab) -> tuple[Finetuned, ...]:
    """Runs at r 8 by targets."""
    return _runs(lab, (replace(CENTRE, targets=targets) for targets in TARGETS))


def as_large(lab: FinetuneLab) -> tuple[Finetuned, ...]:
    """Attention at r 8 and other targets with about as many parameters."""
    return _runs(lab, (CENTRE, *(replace(CENTRE, targets=name, r=r, alpha=2 * r) for name, r in AS_LARGE)))


def rules(lab: FinetuneLab) -> tuple[Rule, ...]:
    """Every rule with its verdict; a difference within `noise` is none."""
    within = noise(lab)
    return (_rank(lab, within), _alpha(lab, within), _targets(lab, within), _quantized(lab, within))


def _rank(lab: FinetuneLab, within: float | None) -> Rule:
    rule = "start with r 8, then double until diminishing returns"
    runs = by_rank(lab)
    if len(runs) < len(RANKS) or within is None:
        return Rule("rank", rule, None, "")
    losses = {run.setup.r: run.loss for run in runs}
    gains = {r: losses[r] - losses[2 * r] for r in RANKS if 2 * r in losses}
    # Where another doubling changes no more than another seed does.
    stops = next((r for r, gain in gains.items() if gain <= within), None)
    told = ", ".join(f"{r} to {2 * r} {-gain:+.3f}" for r, gain in gains.items())
    best = min(losses.values())
    share = (runs[0].before - losses[1]) / (runs[0].before - best) if runs[0].before > best else 0.0
    said = f"alpha twice r, each doubling changes the loss by: {told}. r 1 alone has {share:.0%} of the best gain."
    said += _alpha_left(lab)
    if stops is None:
        return Rule("rank", rule, None, f"{said} No doubling up to r {RANKS[-1]} is lost in the noise.")
    # The rule names the place to start: where doubling had stopped to pay before, it starts too high.
    return Rule("rank", rule, stops >= CENTRE.r, f"{said} The first within the noise is {stops} to {2 * stops}.")


def _alpha_left(lab: FinetuneLab) -> str:
    """What ranks do where alpha stays, so that the push shrinks as they grow; empty where a run is not there."""
    left = by_rank(lab, alpha=CENTRE.alpha)
    if len(left) < len(RANKS):
        return ""
    losses = [run.loss for run in left]
    return (
        f" With alpha left at {CENTRE.alpha}, r {RANKS[0]} to {RANKS[-1]} all end within "
        f"{max(losses) - min(losses):.3f} ({losses[0]:.3f} to {losses[-1]:.3f})."
    )


def _alpha(lab: FinetuneLab, within: float | None) -> Rule:
    rule = "alpha twice r"
    runs = by_alpha(lab)
    if len(runs) < len(ALPHAS) or within is None:
        return Rule("alpha", rule, None, "")
    best = _best(runs)
    said = f"at r {CENTRE.r}: {_told(runs, lambda run: f'alpha {run.setup.alpha}')}. Best: alpha {best.setup.alpha}."
    return Rule("alpha", rule, _is_best(runs, CENTRE, within), said)


def _targets(lab: FinetuneLab, within: float | None) -> Rule:
    rule = "target the attention layers"
    runs, alike = by_targets(lab), as_large(lab)
    if len(runs) < len(TARGETS) or within is None:
        return Rule("targets", rule, None, "")
    said = f"at r {CENTRE.r}: {_told(runs, lambda run: run.setup.targets)}."
    if len(alike) > 1:
        named = _told(alike, lambda run: f"{run.setup.targets} at r {run.setup.r}")
        said += f" With about as many parameters: {named}."
    return Rule("targets", rule, _is_best((*runs, *alike), CENTRE, within), said)


def _quantized(lab: FinetuneLab, within: float | None) -> Rule:
    rule = "the adapter makes up for what 4 bits lost"
    exact, packed = lab.run(), lab.run(base=QUANTIZED)
    if exact is None or packed is None or within is None:
        return Rule("qlora", rule, None, "")
    lost, left = packed.before - exact.before, packed.loss - exact.loss
    said = (
        f"untrained, {QUANTIZED} is {lost:+.3f} from fp32; trained alike (r {CENTRE.r}, attention), QLoRA is "
        f"{left:+.3f} from LoRA, and {packed.loss - exact.before:+.3f} from fp32 untrained."
    )
    return Rule("qlora", rule, left <= within, said)


def _is_best(runs: Iterable[Finetuned], chosen: Setup, within: float) -> bool:
    losses = {run.setup: run.loss for run in runs}
    return losses[chosen] - min(losses.values()) <= within


def _best(runs: Iterable[Finetuned]) -> Finetuned:
    return min(runs, key=lambda run: run.loss)


def _told(runs: Iterable[Finetuned], name: Callable[[Finetuned], str]) -> str:
    return ", ".join(f"{name(run)} {run.loss:.3f}" for run in runs)


def _runs(lab: FinetuneLab, setups: Iterable[Setup]) -> tuple[Finetuned, ...]:
    found = {run.setup: run for run in lab.runs}
    return tuple(found[setup] for setup in setups if setup in found)

"""The verdicts on rules of thumb, from losses made up so that each is true, false or open."""

from dataclasses import replace

import pytest

from inspector.lab.plan import CENTRE, RANKS, Settings, plan
from inspector.lab.recorded import recorded_finetuning
from inspector.lab.reports import Finetuned, FinetuneLab
from inspector.lab.rules import noise, rules
from inspector.render.charts.lab import PLOT, _box, _meet, label_places, loss_by_parameters


def lab(loss, left_out=()):
    """A lab whose losses a function of the setup says."""
    sample = recorded_finetuning().sample
    runs = tuple(
        Finetuned(setup, 3.4 if setup.base != "fp32" else 3.0, loss(setup), 3.0, 2.0, setup.r * 1000, 1, 4, 9, 1.0, 1.0)
        for setup in plan()
        if setup not in left_out
    )
    return FinetuneLab(sample, Settings(), runs, len(plan()))


def held(loss, left_out=()):
    return {rule.name: rule.holds for rule in rules(lab(loss, left_out))}


def usual(setup):
    """Every rule holds: ranks pay up to 8, alpha 16 and attention are best, the adapter makes up for 4 bits."""
    loss = 2.5 + 0.1 * max(0, RANKS.index(8) - RANKS.index(setup.r) if setup.r in RANKS else 0)
    loss += 0.2 * (setup.alpha != 2 * setup.r) + 0.3 * (setup.targets != "attention") + 0.01 * setup.seed
    return loss


def test_all_hold():
    assert set(held(usual).values()) == {True}
    assert noise(lab(usual)) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rank", lambda setup: -0.1 * max(0, 3 - RANKS.index(setup.r)) if setup.r in RANKS else 0),
        ("alpha", lambda setup: -0.5 if setup.alpha == 32 and setup.r == 8 else 0),
        ("targets", lambda setup: -0.5 if setup.targets == "mlp" else 0),
        ("qlora", lambda setup: 0.1 if setup.base != "fp32" else 0),
    ],
)
def test_one_does_not_hold(name, change):
    found = held(lambda setup: usual(setup) + change(setup))
    assert found.pop(name) is False
    assert set(found.values()) == {True}


def test_doubling_that_always_pays_leaves_the_first_open():
    assert held(lambda setup: 3 - 0.1 * RANKS.index(setup.r) if setup.r in RANKS else 3.5)["rank"] is None


def test_a_difference_within_the_noise_is_none():
    found = held(
        lambda setup: usual(setup) - (0.519 if setup.targets == "mlp" and setup.r == 8 else 0) + 0.2 * setup.seed
    )
    assert found["targets"] is True


def test_runs_that_are_missing_leave_rules_open():
    assert set(held(usual, left_out=[setup for setup in plan() if setup.seed]).values()) == {None}
    assert held(usual, left_out=[setup for setup in plan() if setup.base != "fp32"])["qlora"] is None
    assert set(held(usual, left_out=plan()).values()) == {None}


def test_the_chart_has_every_series_that_is_there():
    assert len(loss_by_parameters(lab(usual)).figure.data) == 5
    only = [setup for setup in plan() if setup != CENTRE]
    assert len(loss_by_parameters(lab(usual, left_out=only)).figure.data) < 5


@pytest.mark.parametrize("near", [0.0, 0.002, 0.05])
def test_labels_do_not_meet(near):
    xs, ys = [100.0, 100.0 + 100 * near, 100.0 + 90 * near, 500.0], [3.5, 3.49, 3.3, 3.0]
    names = ["nf4-dq", "nf4", "fp4", "fp32"]
    import math

    across = [math.log(x) for x in xs]
    low, wide = min(across), max(across) - min(across)
    boxes = [
        _box((x - low) / wide * PLOT[0], (y - min(ys)) / (max(ys) - min(ys)) * PLOT[1], name, place)
        for x, y, name, place in zip(across, ys, names, label_places(xs, ys, names), strict=True)
    ]
    assert not any(_meet(one, other) for number, one in enumerate(boxes) for other in boxes[:number])


def test_alpha_left_as_it_is_is_told_where_all_ranks_were_run():
    (rank,) = (rule for rule in rules(lab(usual)) if rule.name == "rank")
    losses = [usual(replace(CENTRE, r=r)) for r in RANKS]
    assert f"all end within {max(losses) - min(losses):.3f}" in rank.said
    (rank,) = (rule for rule in rules(lab(usual, [replace(CENTRE, r=64)])) if rule.name == "rank")
    assert rank.said
    assert "left at" not in rank.said

"""The models beside the one that trains that have names of their own: what they are is part of a dry run's question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.setup.training import TrainSetup


def further_models(setup: TrainSetup) -> tuple[Mapping[str, Any], ...]:
    """Their configs, which an answer depends on. Raises InspectorError for a name that is none."""
    from inspector.sources.resolve import resolve_config

    asked = setup.objective
    return () if asked is None else tuple(resolve_config(name) for name in (asked.reward_model, asked.teacher) if name)

"""Measured runs as questions: of the published sets, and of a file of a user's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.validation.fields import Fields, shown
from inspector.validation.forms import ALL, FORMS
from inspector.validation.forms.training import before
from inspector.validation.models import config_of, find_model, is_here, original

if TYPE_CHECKING:
    from pathlib import Path

    from inspector.validation.published_run import Question

FUSED_EXPERTS = "its experts were quantized layers then; transformers now fuses them and leaves them unquantized"


def questions(name: str = "") -> tuple[Question, ...]:
    """Every published run on one card, or those of one set."""
    chosen = (name,) if name in ALL else () if name else tuple(FORMS)
    return tuple(_published(form, record) for form in chosen for record in _records(form))


@cache
def _records(name: str) -> tuple[Mapping[str, object], ...]:
    text = (files("inspector") / "data" / "truth" / f"{name}.json").read_text(encoding="utf-8")
    return tuple(json.loads(text))


def _published(form: str, record: Mapping[str, object]) -> Question:
    return question(record, form, file=form)


def question(
    record: Mapping[str, object], form: str, *, file: str, name: str = "", folder: Path | None = None
) -> Question:
    """One record of a form as a question.

    Args:
        record: the fields.
        form: a key of `ALL`.
        file: what the ledger calls the set.
        name: what the run is called when the record does not say.
        folder: where a model's path may begin, besides the working directory.
    """
    fields = Fields(record)
    asked = ALL[form].read(fields)
    model = original(asked.model)
    reference = find_model(model, folder)
    if file == form and not {"own_model", "loss_benchmark"} & asked.settings.keys() and not is_here(reference):
        # A published run is answered without a network, or not at all.
        fields.refuse("its config.json is not kept here")
    # Before transformers 5, experts were linear layers, which bitsandbytes replaced one by one.
    elif asked.settings.get("scheme", "none") != "none" and before(asked.versions, "transformers", 5):
        _only_now_fused(fields, reference)
    # Asked last, with ``source``: what a form's reader did not ask for by now is not understood.
    own_id = fields.raw("id")
    if own_id is not None and (isinstance(own_id, bool) or not isinstance(own_id, str | int) or own_id == ""):
        fields.refuse(f"id is {shown(own_id)}, not a name or a number", wrong=True)
        own_id = None
    if not asked.figures and not fields.findings.problems:
        fields.refuse("no measured figure can be compared", wrong=True)
    source = _source(fields)
    fields.name_the_rest()
    found = fields.findings
    return replace(
        asked,
        file=file,
        model=model,
        id=asked.id or name if own_id is None else str(own_id),
        reference=reference,
        source=source,
        skipped=found.problems[0].reason if found.problems else "",
        wrong=bool(found.problems) and found.problems[0].wrong,
        not_understood=tuple(found.not_understood),
    )


def _source(fields: Fields) -> str:
    """Where a record is from: a text, or an object of repository, file and place."""
    if isinstance(said := fields.values.get("source"), Mapping):
        fields.told("source")
        return ", ".join(str(value) for value in said.values() if value)
    return fields.text("source", "")


def _only_now_fused(fields: Fields, reference: str) -> None:
    """Leave out a quantized mixture of before transformers 5, whose experts were linear layers of their own.

    Source: transformers/integrations/bitsandbytes.py, ``replace_with_bnb_linear``, which replaces linear layers alone.
    """
    from inspector.simulate.program.routing import num_experts

    try:
        config = config_of(reference)
    except InspectorError:
        return  # said when it is simulated
    if num_experts(config) > 1:
        fields.refuse(FUSED_EXPERTS)

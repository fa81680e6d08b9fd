"""Notes in records that say how the batches were made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.validation.fields import Fields

_LABELS = {"labels=input_ids": "shared", "labels=input_ids.clone()": "clone"}
_FULL = {"random ids", "random token ids", "full length", "synthetic ids"}
"""Every row has the record's length: what a dry run simulates anyway."""


def length_note(fields: Fields, usual: str) -> str:
    """``seq_len_note`` of a loop over made-up rows: what the labels are. A clause that is not understood is named."""
    labels = usual
    for clause in re.split(r"[,;]", fields.text("seq_len_note", "")):
        word = clause.strip().lower()
        if word in _LABELS:
            labels = _LABELS[word]
        elif word and word not in _FULL:
            fields.name_it("seq_len_note")
            break
    return labels

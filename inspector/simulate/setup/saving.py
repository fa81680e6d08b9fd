"""What a training writes to the disk when it ends or between its steps, and what it loads again."""

from __future__ import annotations

from dataclasses import dataclass

from inspector.simulate.setup.words import MergeOn, Saved, check_words


@dataclass(frozen=True, slots=True)
class SaveSetup:
    """A save after the last step.

    ``what`` is Trainer's ``checkpoint`` (the adapters, or all weights where there are none, with the optimizer's state
    unless ``only_model``); the ``adapter`` alone; the ``full`` model; or the model with its adapters ``merged`` into
    it, ``merge_on`` the card as it stands there, or the CPU, where the base model is loaded anew. ``total_limit``
    checkpoints stay on the disk (``save_total_limit``), 0: nobody says how many. ``load_best`` loads one again at the
    end (``load_best_model_at_end``).
    """

    what: Saved = "checkpoint"
    merge_on: MergeOn = "card"
    only_model: bool = False
    total_limit: int = 0
    load_best: bool = False

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)

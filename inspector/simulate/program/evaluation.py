"""Trainer's evaluation between steps: forwards without gradients, and what is gathered of them until the end.

Source: transformers/trainer.py, 5.23, ``evaluation_loop`` and ``prediction_step``; trainer_pt_utils.py,
``EvalLoopContainer`` and ``nested_concat``, which put each batch behind all before it into a new tensor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.setup.evaluation import EvalSetup
    from inspector.simulate.tracing.tracer import Tracer

WHOLE = 2
"""Batches whose forward is traced, and the last: each between takes and frees what the second one did."""


class Evaluation:
    """One evaluation.

    Args:
        setup: how much, and what is gathered.
        predict: the forward of one batch: its loss, its logits (None where only the loss is asked for), its labels.
        tracer: what it is told of.
        gather: what several cards have together of what one has; ``gather_function``, after the logits' argmax.
    """

    def __init__(self, setup: EvalSetup, predict: Callable[[], tuple[Any, Any, Any]], tracer: Tracer,
                 gather: Callable[[torch.Tensor], torch.Tensor]) -> None:  # fmt: skip
        self.setup, self.predict, self.tracer, self.gather = setup, predict, tracer, gather
        self.held: list[Any] = [None, None, None]

    def run(self) -> None:
        """All batches; what was gathered is gone in the end."""
        setup, latest = self.setup, None
        for number in range(setup.batches):
            if number < WHOLE or number == setup.batches - 1 or latest is None:
                latest = self._batch()
            else:
                latest = self._as_before(latest)
            for place, new in enumerate(latest):
                self._hold(place, new)
            del new
            if setup.accumulation and (number + 1) % setup.accumulation == 0:
                self.held, latest = [None, None, None], None
                self.tracer.empty_cache()

    def _batch(self) -> list[Any]:
        loss, logits, labels = self.predict()
        found = [self.gather(loss.repeat(self.setup.size)), None, None]
        if logits is not None:
            found[1] = self.gather(logits.argmax(dim=-1) if self.setup.gathered == "argmax" else logits)
            found[2] = self.gather(labels)
        return found

    @staticmethod
    def _as_before(latest: list[Any]) -> list[Any]:
        """What another forward would leave, once it is over."""
        return [None if each is None else torch.empty_like(each) for each in latest]

    def _hold(self, place: int, new: torch.Tensor | None) -> None:
        if new is not None:
            old = self.held[place]
            self.held[place] = new if old is None else torch.cat((old, new), dim=0)

"""``--steps``: training ends after so many optimizer steps, and what comes after it is run: evaluation, saving.

A loop ends where its data ends: a loader that has fed so many steps has no more batches. The Trainer of transformers is
told to stop as its own callbacks do. A loop without a loader cannot be left, and there the run ends.
"""

from __future__ import annotations

import dis
import functools
import sys
import weakref
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader

from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType

    from inspector.simulate.script.child.imports import OnImport
    from inspector.simulate.script.child.lines import Lines

MOST_EMPTY = 1000
"""Times that a loader is asked again, with nothing made in between, until a loop is taken to be one that never ends."""


class Enough(BaseException):
    """The steps that were asked for are done; no ``except Exception`` of a script catches it."""


class Steps:
    """Counts the steps that each loader has fed.

    Args:
        most: optimizer steps of a training; 0 for all.
        ends: whether the whole run ends with them, as where one thing is tried again.
    """

    def __init__(self, most: int, *, ends: bool) -> None:
        self.most, self.ends = most, ends
        self._fed: weakref.WeakKeyDictionary[DataLoader[Any], int] = weakref.WeakKeyDictionary()
        self._feeding: weakref.ref[DataLoader[Any]] | None = None
        self._over = False
        """Its last batch may be trained on still: accelerate asks for the one after it first."""
        self._made = self._empty = 0

    def done(self, steps: int) -> None:
        """An optimizer has made its step, the run's so many-th."""
        loader = None if self._feeding is None else self._feeding()
        if loader is not None:
            self._fed[loader] = self._fed.get(loader, 0) + 1
        if self.most and steps >= self.most and (self.ends or self._feeding is None):
            raise Enough
        if self._over:
            self._feeding = None

    def install(self, skip: Callable[[str], None], made: Callable[[], int], lines: Lines, imports: OnImport) -> None:
        """Watch loaders and trainers.

        Args:
            skip: says what is not done.
            made: how much has happened on the card.
            lines: which files are the script's.
            imports: actions for libraries that come.
        """
        if not self.most:
            return
        self._skip, self._happened, self._lines = skip, made, lines
        iterator: Any = sys.modules["torch.utils.data.dataloader"]._BaseDataLoaderIter
        make, following = DataLoader.__iter__, iterator.__next__

        def begun(loader: DataLoader[Any]) -> Any:
            made: Any = make(loader)
            made._inspector_loader = weakref.ref(loader)
            return made

        def next_batch(self_: object) -> Any:
            known = getattr(self_, "_inspector_loader", None)
            loader: DataLoader[Any] | None = None if known is None else known()
            self._over = True
            if loader is not None and self._fed.get(loader, 0) >= self.most:
                self._stop(loader)
                raise StopIteration
            batch = following(self_)
            self._feeding, self._over = None if loader is None else weakref.ref(loader), False
            return batch

        replace("torch.utils.data.DataLoader.__iter__", begun)
        replace("torch.utils.data.dataloader._BaseDataLoaderIter.__next__", next_batch)
        if not self.ends:
            imports.then("transformers.trainer", self._trainer)

    def _stop(self, loader: DataLoader[Any]) -> None:
        """A loader has no more to give. Raises Enough where the loop would not end by it."""
        self._skip(self.said)
        made = self._happened()
        self._empty = self._empty + 1 if made == self._made else 0
        self._made = made
        # ``next(iter(loader))`` counts on a batch; a ``for`` does not.
        frame = sys._getframe(2)
        own = self._lines.is_own(frame.f_code.co_filename)
        if self._empty >= MOST_EMPTY // (1 + 9 * bool(loader.num_workers)) or (own and not _loops(frame)):
            raise Enough

    @property
    def said(self) -> str:
        """What is left out, in words."""
        return f"training after {self.most} optimizer step{'s' * (self.most != 1)} (--steps)"

    def _trainer(self, module: ModuleType) -> None:
        most, said, skip = self.most, self.said, self._skip

        class Stop(module.TrainerCallback):  # type: ignore[misc, name-defined]
            """Ends as ``max_steps`` does (transformers/trainer_callback.py, ``DefaultFlowCallback.on_step_end``)."""

            done = 0

            def on_train_begin(self, *_: object, **__: object) -> None:
                self.done = 0

            def on_step_end(self, args: object, _state: object, flow: object, **_: object) -> None:
                control: Any = flow
                self.done += 1
                if self.done < most or control.should_training_stop:
                    return
                skip(said)
                control.should_training_stop = True
                control.should_evaluate |= getattr(args, "eval_strategy", "") == "steps"
                control.should_save |= getattr(args, "save_strategy", "") == "steps"

        train = module.Trainer.train

        @functools.wraps(train)
        def trained(self: object, *args: object, **kwargs: object) -> Any:
            trainer: Any = self
            if not any(isinstance(each, Stop) for each in trainer.callback_handler.callbacks):
                trainer.add_callback(Stop())
            return train(self, *args, **kwargs)

        replace("transformers.trainer.Trainer.train", trained)


def _loops(frame: FrameType) -> bool:
    """Whether a frame is at a ``for``, which ends where there is nothing more."""
    found = next((each for each in dis.get_instructions(frame.f_code) if each.offset == frame.f_lasti), None)
    return found is not None and found.opname.startswith("FOR_ITER")

"""Where a training loop lets others in: what spreads a model over several cards does its part here."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.error_origin import runs_the_graph
from inspector.simulate.program import optimizers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from torch import nn

    from inspector.simulate.program.stored.loader import Loader
    from inspector.simulate.tracing.tracer import Tracer


class Alone:
    """One card: nothing is wrapped.

    ``quant_storage`` is the dtype that 4-bit weights are packed in. ``stays_on_host`` says that a model which is loaded
    on the CPU stays there until it is wrapped. ``loads`` puts the weights elsewhere than on the one card.
    """

    quant_storage: str = "auto"
    stays_on_host: bool = False
    loads: Callable[[Any, Loader | None], None] | None = None

    def wrapped(self, model: nn.Module, _tracer: Tracer) -> Any:
        """The model as it trains, made once it is loaded and adapted."""
        return model

    def beside(self, model: Any, _named: Mapping[nn.Module, str]) -> Any:
        """A further model, which answers alone, as it stands beside the one that trains; its modules have names."""
        return model

    def called(self, name: str) -> str:
        """A weight's path as it was before anything was wrapped."""
        return name

    def optimizer(self, name: str, model: nn.Module, *, of_trainer: bool = False) -> Any:
        """The optimizer over what it trains, by transformers' name; in Trainer's groups where it is ``of_trainer``."""
        return optimizers.make_optimizer(name, model, of_trainer=of_trainer)

    def shared(self, batch: dict[str, Any]) -> AbstractContextManager[Any]:
        """Around forward and backward of a batch that several cards have together, which becomes this card's part."""
        return nullcontext()

    def gathered(self, tensor: torch.Tensor) -> torch.Tensor:
        """What all cards have of a batch that is evaluated."""
        return tensor

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward of one accumulated micro-batch."""
        return nullcontext()

    @runs_the_graph
    def backward(self, loss: torch.Tensor) -> None:
        """The backward pass."""
        loss.backward()

    def clip(self, parameters: Sequence[torch.Tensor], norm: float) -> None:
        """Clip the gradients."""
        torch.nn.utils.clip_grad_norm_(parameters, norm)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """The optimizer's step."""
        optimizer.step()

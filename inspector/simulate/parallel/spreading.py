"""What every way of spreading a model has in common: where a training loop lets it in, and what it says of itself."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor

from inspector.memory_kinds import MemoryKind
from inspector.patched import patched
from inspector.simulate.parallel.cut import local
from inspector.simulate.parallel.two_devices import TwoDevices
from inspector.simulate.program.spread import Alone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from inspector.simulate.parallel.rank_trace import Unit
    from inspector.simulate.parallel.rank_tracer import RankTracer
    from inspector.simulate.setup.parallel import ParallelSetup


class Spread(Alone):
    """One rank's part in a training loop. `wrapped` is called once, when the model is loaded and adapted."""

    cuts = False
    """Whether the wrapper takes a model that is on the CPU, and moves no more to the card than it cuts."""

    def __init__(
        self, parallel: ParallelSetup, tracer: RankTracer, *, loaded_on_cpu: bool = False, grad_accum: int = 1,
        half: str = "none", worst: bool = False,
    ) -> None:  # fmt: skip
        self.parallel, self.tracer = parallel, tracer
        self.quant_storage = parallel.quant_storage
        self.loaded_on_cpu = loaded_on_cpu
        self.stays_on_host = tracer.on_host = self.cuts and loaded_on_cpu
        self.grad_accum, self.half, self.worst = grad_accum, half, worst
        self.model: Any = None
        self._until_the_end = ExitStack()

    @property
    def two_devices(self) -> bool:
        """Whether tensors go to the host and come back, so that it is told where each lies."""
        return self.parallel.offload != "none"

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """What has to be as the library expects it, as long as the program runs."""
        with self._until_the_end:
            yield

    def wrapped(self, model: nn.Module, _tracer: object) -> Any:
        """The model as this rank trains it."""
        if self.loaded_on_cpu and not self.tracer.two_devices:
            self._was_on_host(model)
        self.tracer.on_host = False
        if self.two_devices:
            self.starts_on_two_devices()
        with self.tracer:
            self.model = self.wrap(model)
        self.label()
        return self.model

    def starts_on_two_devices(self) -> None:
        """From now on it is told where each tensor lies."""
        if not self.tracer.two_devices:
            self.tracer.two_devices = True
            self._until_the_end.enter_context(patched(TwoDevices(self.tracer).replaced()))

    def _was_on_host(self, model: nn.Module) -> None:
        """Every rank of a machine has loaded all of the model in the machine's memory."""
        if self.stays_on_host:
            self.tracer.on_the_host(tensors_of(model))
        else:
            held = {each.untyped_storage()._cdata: each.untyped_storage().nbytes() for each in tensors_of(model)}
            self.tracer.host.most = max(self.tracer.host.most, sum(held.values()))

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model in the library's wrapper, on the tracer."""
        raise NotImplementedError

    def gathered(self, tensor: torch.Tensor) -> torch.Tensor:
        """All ranks' in one tensor. Source: accelerate/utils/operations.py, ``_gpu_gather``."""
        whole = tensor.new_empty((self.parallel.world_size * tensor.numel(),))
        torch.distributed.all_gather_into_tensor(whole, tensor.contiguous())
        return whole.view(-1, *tensor.shape[1:])

    def called(self, name: str) -> str:
        """A weight's path as it was before anything was wrapped."""
        return plain(name)

    def units(self) -> tuple[Unit, ...]:
        """What is gathered and let go as one; nothing where nothing is cut."""
        return ()

    def label(self) -> None:
        """Say what the tensors are that wrapping made."""
        adapted = self.adapted  # of all weights: asked once
        for name, parameter in self.model.named_parameters():
            if self.tracer.kind_of(local(parameter)) is None:
                kind = MemoryKind.ADAPTERS if adapted and parameter.requires_grad else MemoryKind.BASE_WEIGHTS
                self.tracer.label(parameter, kind, plain(name).rpartition(".")[0])

    @property
    def adapted(self) -> bool:
        """Whether what trains was added to a model that does not."""
        return any(not parameter.requires_grad for parameter in self.model.parameters())

    def replicated_bytes(self) -> int:
        """Weights that every rank keeps whole."""
        return sum(tensor.nbytes for tensor in self.whole_parameters())

    def whole_parameters(self) -> Iterator[torch.Tensor]:
        """The weights that nobody cuts."""
        for parameter in self.model.parameters():
            if not isinstance(parameter, DTensor):
                yield parameter


def tensors_of(model: nn.Module) -> Iterator[torch.Tensor]:
    """All weights and buffers."""
    yield from model.parameters()
    yield from model.buffers()


def plain(name: str) -> str:
    """A path as it was before anything was wrapped."""
    parts = name.split(".")
    return ".".join(part for part in parts if part not in {"_fsdp_wrapped_module", "module"})


def layer_classes(model: nn.Module) -> set[type[nn.Module]]:
    """The classes of a model's decoder layers, as accelerate finds them: what transformers says must not be split.

    Source: accelerate/utils/dataclasses.py, ``set_auto_wrap_policy``.
    """
    names = set(getattr(model, "_no_split_modules", None) or ())
    for module in model.modules():
        names |= set(getattr(module, "_no_split_modules", None) or ())
    return {type(module) for module in model.modules() if type(module).__name__ in names}


def dtype(name: str) -> torch.dtype | None:
    """A dtype by its name; None for no name."""
    return getattr(torch, name) if name else None

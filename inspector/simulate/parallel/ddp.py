"""``torch.nn.parallel.DistributedDataParallel``: every card has all of the model; gradients are summed in buckets."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from inspector.memory_kinds import MemoryKind
from inspector.simulate.parallel.spreading import Spread

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import nn
    from torch._C._distributed_c10d import GradBucket


DEFAULT_BUCKET_MB = 25


class DataParallel(Spread):
    """As ``torchrun`` scripts and Trainer wrap a model."""

    def wrap(self, model: nn.Module) -> nn.Module:
        """Buckets are there from now on, and made anew in the order of the gradients after the first step."""
        from torch.nn.parallel import DistributedDataParallel

        setup = self.parallel
        with self.tracer.making(MemoryKind.COMMUNICATION):
            wrapped = DistributedDataParallel(
                model,
                # Said, it is the first bucket's size too; not said, that is 1 MiB. accelerate says only what is no
                # default (KwargsHandler.to_kwargs).
                bucket_cap_mb=None if setup.bucket_cap_mb == DEFAULT_BUCKET_MB else setup.bucket_cap_mb,
                find_unused_parameters=setup.find_unused_parameters,
                gradient_as_bucket_view=setup.gradient_as_bucket_view,
                static_graph=setup.static_graph,
            )
        # The default's own work has no future without data (FakeWork): what it does is done here, in the same buffer.
        wrapped.register_comm_hook(self, lambda state, bucket: state.reduced(bucket))
        # It would warn of a device that it cannot take the time on.
        wrapped.logger = Untimed(wrapped.logger)
        return wrapped

    def reduced(self, bucket: GradBucket) -> torch.futures.Future[Any]:
        """One bucket, summed over the ranks in its own buffer."""
        buffer = bucket.buffer()
        self.tracer.label(buffer, MemoryKind.COMMUNICATION, "")
        dist.all_reduce(buffer)
        done: torch.futures.Future[Any] = torch.futures.Future()
        done.set_result(buffer)
        return done

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        """Gradients are summed over the ranks once, after the last."""
        return nullcontext() if last else self.model.no_sync()


class Untimed:
    """DDP's logger, without times."""

    def __init__(self, logger: object) -> None:
        self._logger = logger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def set_runtime_stats_and_log(self) -> None:
        """Nothing is timed."""

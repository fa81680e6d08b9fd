"""transformers' own expert parallelism: whole experts on each rank, and tokens that travel to them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.patched import patched
from inspector.simulate.parallel.tensor import TensorParallel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers.distributed.expert_parallel import AllToAllEP

_ALL_TO_ALL = "transformers.distributed.expert_parallel.AllToAllEP"


class ExpertParallel(TensorParallel):
    """As ``DistributedConfig(ep_size=...)``: alone the same ranks cut the rest by tensor parallelism and share a batch.

    Under FSDP2 the rest is cut over all ranks, each of which has a batch of its own.
    """

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """How many tokens each rank is sent is data: read back from the card, and answered as the routing says."""
        import transformers.distributed.expert_parallel as real

        dispatch, numbers = real.AllToAllEP._dispatch_tokens, torch.Tensor.tolist
        pairs = [0]

        def dispatched(layer: AllToAllEP, hidden: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor) -> Any:
            # A group that shares a batch cuts it first, into chunks of which this rank has one.
            ranks, place = layer.tp_mesh.size(), layer.tp_mesh.get_local_rank()
            chunk = -(-hidden.size(0) // ranks)
            pairs[0] = max(0, min(chunk, hidden.size(0) - chunk * place)) * chosen.size(-1)
            return dispatch(layer, hidden, chosen, weights)

        def listed(tensor: torch.Tensor) -> Any:
            if not tensor.is_meta:
                return numbers(tensor)
            ranks = tensor.shape[-1]
            if self.worst:  # all come to this rank, and it keeps its own
                place = self.rank % ranks
                return [[pairs[0] * (each == place) for each in range(ranks)], [pairs[0]] * ranks]
            return [[pairs[0] // ranks + (each < pairs[0] % ranks) for each in range(ranks)]] * 2

        with ExitStack() as stack:
            stack.enter_context(super().surroundings())
            stack.enter_context(patched({f"{_ALL_TO_ALL}._dispatch_tokens": dispatched, "torch.Tensor.tolist": listed}))
            yield

    @property
    def rank(self) -> int:
        """This one."""
        return torch.distributed.get_rank()

    def sizes(self) -> dict[str, int]:
        """Alone as many ranks as share a batch: ``ep_size`` must be a multiple of ``tp_size``, and divide the world."""
        setup = self.parallel
        if setup.strategy == "ep":
            return {"tp_size": setup.ep, "ep_size": setup.ep}
        return {"fsdp_size": setup.world_size, "ep_size": setup.ep}

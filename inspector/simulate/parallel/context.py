"""Context parallelism as accelerate and transformers' trainer do it: each rank has a part of every sequence.

Weights are cut by FSDP2 over all ranks, and attention goes round a group by PyTorch's own ring
(torch/distributed/tensor/experimental/_context_parallel). Sources: accelerate/accelerator.py, ``_prepare_cp`` and
``maybe_context_parallel``; transformers/trainer.py, ``_prepare_context_parallel_inputs``.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from inspector.errors import CannotSimulateError, in_one_line
from inspector.simulate.parallel.fsdp2 import FullyShard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from transformers import PreTrainedConfig

ROTATE = "allgather"
"""How keys and values go round: ``cp_comm_strategy`` of accelerate's ``TorchContextParallelConfig``, its default."""

UNFUSED = "got mixed torch.Tensor and DTensor"
"""What PyTorch says where attention falls back to plain products, whose mask nobody has cut."""


def masked_otherwise(config: PreTrainedConfig) -> list[str]:
    """The types of a model's layers that see less than all tokens before, by accelerate 1.15's own rule.

    Source: accelerate/big_modeling.py, ``_attach_context_parallel_hooks``, which 1.14 has without it.
    """
    text = config.get_text_config()
    types = getattr(text, "layer_types", None)
    if types is None:
        return ["sliding_attention"] if getattr(text, "sliding_window", None) else []
    return sorted(set(types) - {"full_attention"})


class ContextParallel(FullyShard):
    """``parallelism_config`` with a ``cp_size``: its ranks share a batch, and each has an equal part of its tokens."""

    def mesh(self) -> Any:
        """All ranks as one row, which FSDP cuts over; attention has them in groups."""
        from torch.distributed.device_mesh import init_device_mesh

        size = self.parallel.cp
        shape = self.parallel.world_size // size, size
        self.groups = init_device_mesh(self.tracer.device, shape, mesh_dim_names=("dp_shard", "cp"))
        return self.groups._flatten("dp_shard_cp")

    def wrap(self, model: nn.Module) -> nn.Module:
        """FSDP2's; attention has no mask but its order.

        Raises:
            CannotSimulateError: for what accelerate refuses, in its words.
        """
        from accelerate.big_modeling import _attach_context_parallel_hooks
        from torch.distributed.tensor.experimental._attention import set_rotate_method

        set_rotate_method(ROTATE)
        try:
            _attach_context_parallel_hooks(model)
        except ValueError as error:
            raise self._refused(error) from error
        if dropped := masked_otherwise(model.config):
            self.tracer.notes.append(
                f"the mask of {' and '.join(dropped)} layers is dropped: this accelerate trains them with full causal "
                "attention and says nothing, accelerate 1.15 refuses them"
            )
        return super().wrap(model)

    @contextmanager
    def shared(self, batch: dict[str, Any]) -> Iterator[None]:
        """The batch becomes this rank's part of it, and attention goes round the group.

        Raises:
            CannotSimulateError: for what transformers' trainer refuses, in its words; for lengths that do not divide.
        """
        from torch.distributed.tensor.experimental import context_parallel
        from transformers import Trainer

        length, parts = batch["input_ids"].shape[1], 2 * self.parallel.cp
        if length % parts:
            raise CannotSimulateError(
                f"sequences of {length:,} tokens are not in {parts} parts of one length: each rank has one of the "
                "first half and one of the second",
                hint=f"--seq-len {-(-length // parts) * parts}: trainers pad to a multiple of {parts}",
            )
        accelerator = SimpleNamespace(
            parallelism_config=SimpleNamespace(cp_enabled=True, cp_backend="torch"),
            maybe_context_parallel=functools.partial(context_parallel, mesh=self.groups["cp"]),
        )
        asked: Any = SimpleNamespace(accelerator=accelerator)
        try:
            around, _ = Trainer._prepare_context_parallel_inputs(asked, self.model, batch)
        except ValueError as error:
            raise self._refused(error) from error
        try:
            with around():
                yield
        except RuntimeError as error:
            if UNFUSED not in str(error):
                raise
            raise CannotSimulateError(
                f"{self.parallel.words} refuses: {in_one_line(error)}",
                hint="the ring takes fused kernels alone, and this attention has none on the card: --autocast bf16",
            ) from error

    def _refused(self, error: ValueError) -> CannotSimulateError:
        return CannotSimulateError(
            f"{self.parallel.words} refuses: {in_one_line(error)}", hint="--parallel fsdp2 leaves sequences whole"
        )

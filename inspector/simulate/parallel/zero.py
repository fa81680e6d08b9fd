"""DeepSpeed's ZeRO: ``deepspeed.initialize`` on a fake group. Stage 1 cuts state, 2 gradients too, 3 weights too."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.patched import patched
from inspector.simulate.parallel.rank_trace import Unit
from inspector.simulate.parallel.spreading import Spread, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from torch import nn

CHECKS = ("assert_ints_same_as_other_ranks", "assert_lst_len_same_as_other_ranks")
"""What DeepSpeed asks the other ranks to be sure of; there are none."""


SAYING = ("engine", "zero.partition_parameters", "zero.parameter_offload", "zero.stage3", "zero.stage_1_and_2")
"""Where DeepSpeed prints how much memory there is: it would say that of this process."""


class Zero(Spread):
    """As Trainer hands a model to DeepSpeed: its own optimizer, and the stage; all else at DeepSpeed's defaults."""

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """DeepSpeed's own state of the process, put back as it was."""
        from deepspeed.accelerator import real_accelerator
        from deepspeed.comm import comm
        from deepspeed.utils import groups

        from inspector.simulate.parallel.zero_card import ZeroCard

        zero = "deepspeed.runtime.zero"
        checked = {
            f"{zero}.{where}.{CHECKS[0]}": lambda *_args, **_kwargs: None
            for where in ("partition_parameters", "partitioned_param_coordinator", "stage3")
        } | {f"deepspeed.runtime.{where}.see_memory_usage": lambda *_args, **_kwargs: None for where in SAYING}
        checked["deepspeed.runtime.zero.parameter_offload.print_rank_0"] = lambda *_args, **_kwargs: None
        with ExitStack() as stack:
            for module in (comm, real_accelerator, groups):
                stack.enter_context(_kept(module))
            stack.enter_context(_local_rank())
            stack.enter_context(patched(checked))
            vars(real_accelerator).update(ds_accelerator=ZeroCard(self.tracer))
            yield

    def wrap(self, model: nn.Module) -> nn.Module:
        """The engine; its optimizer is there with it."""
        if any(type(each).__name__ in {"Params4bit", "Int8Params"} for each in model.parameters()) and self.stage == 3:
            raise CannotSimulateError(
                "ZeRO-3 does not cut weights in 4 or 8 bits", hint="use --parallel zero2 or fsdp1"
            )
        return model

    @property
    def stage(self) -> int:
        """1, 2 or 3."""
        return int(self.parallel.strategy[-1])

    def optimizer(self, name: str, model: nn.Module) -> Any:
        """DeepSpeed's, around the one that transformers makes."""
        import deepspeed

        dtypes = {parameter.dtype for parameter in model.parameters()}
        half = next((word for word in ("bfloat16", "float16") if getattr(torch, word) in dtypes), "")
        offloaded = {"device": "cpu", "pin_memory": False}
        zero: dict[str, Any] = {"stage": self.stage}
        if self.parallel.offload != "none":
            zero["offload_optimizer"] = offloaded
        if self.parallel.offload == "params":
            zero["offload_param"] = offloaded
        config = {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": self.grad_accum,
            "zero_optimization": zero,
            "zero_allow_untested_optimizer": True,
            **({{"bfloat16": "bf16", "float16": "fp16"}[half]: {"enabled": True}} if half else {}),
        }
        with self.tracer:
            made = super().optimizer(name, model)
            self.engine, optimizer, _, _ = deepspeed.initialize(
                model=model, optimizer=made, config=config, dist_init_required=False
            )
        self._label_partitions(optimizer)
        return optimizer

    def _label_partitions(self, optimizer: object) -> None:
        """Copies in float32 are the optimizer's; what a rank keeps of the weights are weights."""
        for name in ("fp32_partitioned_groups_flat", "single_partition_of_fp32_groups"):
            for tensor in getattr(optimizer, name, ()):
                self.tracer.label(tensor, MemoryKind.OPTIMIZER_STATE, "")
        for tensor in getattr(optimizer, "bit16_groups_flat", ()):
            self.tracer.label(tensor, MemoryKind.BASE_WEIGHTS, "")
        for parameter in self.model.parameters():
            self.tracer.label(getattr(parameter, "ds_tensor", parameter), MemoryKind.BASE_WEIGHTS, "")

    @contextmanager
    def micro_batch(self, *, last: bool) -> Iterator[None]:
        """The engine counts its micro-batches by its own steps, all but the last of which do nothing."""
        yield
        if not last:
            self.engine.step()

    def backward(self, loss: torch.Tensor) -> None:
        """The engine's backward, which reduces as it goes."""
        self.engine.backward(loss)

    def clip(self, parameters: Sequence[torch.Tensor], norm: float) -> None:
        """DeepSpeed clips in its own step."""
        del parameters
        self.engine.optimizer.clip_grad = norm

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """The engine's step."""
        del optimizer
        self.engine.step()

    def units(self) -> tuple[Unit, ...]:
        """Stage 3 gathers weight by weight: each is a unit of its own, told layer by layer."""
        if self.stage < 3:
            return ()
        found: dict[str, list[int]] = {}
        for name, parameter in self.model.named_parameters():
            sums = found.setdefault(plain(name).rpartition(".")[0], [0, 0, 0])
            whole = parameter.ds_numel * parameter.ds_tensor.element_size()
            sums[0] += whole
            sums[1] += parameter.ds_tensor.nbytes
            sums[2] += whole * parameter.requires_grad
        return tuple(Unit(name, "", *sums) for name, sums in found.items())

    def whole_parameters(self) -> Iterator[torch.Tensor]:
        """All of them, before stage 3."""
        return iter(()) if self.stage == 3 else self.model.parameters()

    def label(self) -> None:
        """What DeepSpeed makes has no names of a module's own."""
        for _, parameter in self.model.named_parameters():
            self.tracer.label(parameter, MemoryKind.BASE_WEIGHTS, "")


@contextmanager
def _kept(module: ModuleType) -> Iterator[None]:
    """A module's variables, as they were."""
    before = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    copies = {name: dict(value) for name, value in before.items() if isinstance(value, dict)}
    vars(module).update(copies)
    try:
        yield
    finally:
        vars(module).update(before)


@contextmanager
def _local_rank() -> Iterator[None]:
    """DeepSpeed wants to have been launched."""
    before = os.environ.get("LOCAL_RANK")
    os.environ.update(LOCAL_RANK=before or "0")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("LOCAL_RANK", None)

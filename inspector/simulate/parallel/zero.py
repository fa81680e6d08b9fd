"""DeepSpeed's ZeRO: ``deepspeed.initialize`` on a fake group. Stage 1 cuts state, 2 gradients too, 3 weights too."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.parallel import zero_init
from inspector.simulate.parallel.rank_trace import Unit
from inspector.simulate.parallel.spreading import Spread, plain
from inspector.simulate.parallel.zero_config import engine_config, has_optimizer
from inspector.simulate.parallel.zero_world import as_zero_rank

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from inspector.simulate.program.stored.loader import Loader


class Zero(Spread):
    """As Trainer hands a model to DeepSpeed: with its own optimizer, the stage, and what a file says."""

    cuts = True

    @property
    def two_devices(self) -> bool:
        """DeepSpeed takes weights through the host even where it offloads nothing (``defragment``)."""
        return True

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """DeepSpeed's own state of the process, put back as it was."""
        with super().surroundings(), as_zero_rank(self.tracer):
            if self.stage == 3 and self.parallel.zero_init and self.loaded_on_cpu:
                self.loads = self._partitioned
            yield

    @property
    def stage(self) -> int:
        """1, 2 or 3."""
        return int(self.parallel.strategy[-1])

    def config(self, model: nn.Module) -> dict[str, Any]:
        """What the engine is made with."""
        dtypes = {parameter.dtype for parameter in model.parameters() if type(parameter).__name__ not in QUANTIZED}
        half = next((short for dtype, short in _SHORT.items() if dtype in dtypes), "")
        half = self.half if self.half != "none" else half
        return engine_config(self.parallel, self.stage, half, self.grad_accum)

    def _partitioned(self, model: Any, loader: Loader | None) -> None:
        """Load as transformers does in stage 3: every module is cut as soon as it is there, and filled from rank 0."""
        del loader
        self.starts_on_two_devices()
        self.tracer.on_host = False
        with self.tracer:
            zero_init.load(model, self.config(model), self.tracer)
        self.stays_on_host = False

    def wrap(self, model: nn.Module) -> nn.Module:
        """The engine comes with the optimizer. Raises CannotSimulateError for packed numbers that it would convert.

        Source: deepspeed/runtime/engine.py, ``_configure_distributed_model``, ``self.module.bfloat16()``.
        """
        config = self.config(model)
        half = next((full for full, short in _SHORT.items() if config.get(short, {}).get("enabled") is True), None)
        stored = {each.dtype for each in model.parameters() if type(each).__name__ == "Params4bit"}
        for dtype in stored if half else ():
            if dtype.is_floating_point and dtype != half:
                raise CannotSimulateError(
                    f"{self.parallel.words} would convert 4-bit weights that are stored as {dtype} to {half}: they are "
                    "packed codes, and no numbers after it",
                    hint=f"--parallel-option quant_storage={str(half).removeprefix('torch.')}, or leave it auto",
                )
        return model

    def optimizer(self, name: str, model: nn.Module, *, of_trainer: bool = False) -> Any:
        """DeepSpeed's, around the one that transformers makes; or one of its own, where the file has it."""
        import deepspeed

        config = self.config(model)
        zero = config["zero_optimization"]
        # What is trained alone has masters, state and gradients; the trainer gives DeepSpeed no more.
        given: dict[str, Any] = {"model_parameters": [each for each in model.parameters() if each.requires_grad]}
        with self.tracer:
            if not has_optimizer(config):
                made = super().optimizer(name, model, of_trainer=of_trainer)
                if zero["offload_optimizer"]["device"] != "none" and config.get("zero_force_ds_cpu_optimizer", True):
                    from accelerate.utils.deepspeed import map_pytorch_optim_to_deepspeed

                    made = map_pytorch_optim_to_deepspeed(made)
                given = {"optimizer": made}
            self.engine, optimizer, _, _ = deepspeed.initialize(
                model=model, config=config, dist_init_required=False, **given
            )
        return self._ready(optimizer)

    def engine_of(self, model: nn.Module) -> Any:
        """The engine around a model of no trainer's, with the optimizer of its config."""
        import deepspeed

        self.model = model
        self.engine, optimizer, _, _ = deepspeed.initialize(
            model=model, model_parameters=model.parameters(), config=self.config(model), dist_init_required=False
        )
        self._ready(optimizer)
        return self.engine

    def _ready(self, optimizer: Any) -> Any:
        """Its partitions labelled; in float16 every gradient is looked at, and none is found to be infinite."""
        looked = getattr(optimizer, "has_overflow", None)
        if looked is not None:
            optimizer.has_overflow = lambda *args, **kwargs: looked(*args, **kwargs) is None
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
        """DeepSpeed clips in its own step, by its config where there is one (accelerate's clipping does nothing)."""
        del parameters
        if not self.parallel.deepspeed:
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
        classes = {plain(name): type(module).__name__ for name, module in self.model.named_modules()}
        for name, parameter in self.model.named_parameters():
            sums = found.setdefault(plain(name).rpartition(".")[0], [0, 0, 0])
            whole = parameter.ds_numel * parameter.ds_tensor.element_size()
            sums[0] += whole
            sums[1] += parameter.ds_tensor.nbytes
            sums[2] += whole * parameter.requires_grad
        return tuple(Unit(name, classes.get(name, ""), *sums) for name, sums in found.items())

    def whole_parameters(self) -> Iterator[torch.Tensor]:
        """All of them, before stage 3."""
        return iter(()) if self.stage == 3 else self.model.parameters()

    def label(self) -> None:
        """What DeepSpeed makes has no names of a module's own."""
        for _, parameter in self.model.named_parameters():
            self.tracer.label(parameter, MemoryKind.BASE_WEIGHTS, "")


QUANTIZED = {"Params4bit", "Int8Params"}
"""bitsandbytes' weights, whose dtype is that of their bytes. Stage 3 cuts them as any other once they are loaded, which
each card does with all of them (transformers/modeling_utils.py, ``get_init_context``: no ``zero.Init``); 8-bit layers
keep the whole weight besides (bitsandbytes/nn/modules.py, ``Linear8bitLt.init_8bit_state``)."""
_SHORT = {torch.bfloat16: "bf16", torch.float16: "fp16"}

"""Real PEFT adapters and real training steps on random tokens, with the peak of every stage. Imports torch and peft."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.error_origin import is_of_the_model
from inspector.architecture.facts import language_config
from inspector.architecture.quiet import quiet
from inspector.errors import InspectorError, in_one_line
from inspector.lora.peft_fields import peft_fields
from inspector.measure import machine
from inspector.measure.live import LiveStorages
from inspector.measure.weigh import breakdown, own_part
from inspector.simulate.program.heads import heads_to_name, task_type
from inspector.simulate.program.optimizers import make_optimizer
from inspector.units import MiB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.measure.spec import MeasuredLora, StepSetup

STAGES = ("forward", "backward", "optimizer")


def add_lora(model: PreTrainedModel, lora: MeasuredLora, *, seed: int = 0) -> Any:
    """The model in PEFT's wrapper, adapters in float32 as PEFT makes them. Raises InspectorError as PEFT refuses."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    # The task of the model's class, which trains a classifier's head whole.
    whole = {"modules_to_save": heads_to_name(model) or None}
    config = LoraConfig(
        **{**peft_fields(lora.counted), **whole}, lora_dropout=lora.dropout, task_type=task_type(model) or None
    )
    try:
        with quiet():
            return get_peft_model(model, config)
    except ValueError as error:
        if not is_of_the_model(error):
            raise
        raise InspectorError(
            f"PEFT refuses these adapters: {in_one_line(error)}", hint="`inspector layers` lists modules"
        ) from None


def prepare(model: PreTrainedModel, step: StepSetup, *, quantized: bool) -> Any:
    """``prepare_model_for_kbit_training`` for a bitsandbytes model, as QLoRA scripts call it before PEFT."""
    from peft import prepare_model_for_kbit_training

    # Else the forward fills a cache that no training step reads.
    model.config.use_cache = False
    # PEFT would make float32 of every 16-bit weight.
    if not quantized:
        return model
    with quiet():
        return prepare_model_for_kbit_training(
            model,
            use_gradient_checkpointing=step.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )


def needs_preparing(model: nn.Module, scheme: str) -> bool:
    """Whether the model is bitsandbytes'."""
    # PEFT does not count FP8 among what it prepares (``loaded_in_kbit``, peft/utils/other.py).
    return bool(getattr(model, "is_quantized", False)) and not scheme.startswith("fp8")


def clears_cache() -> bool:
    """Whether the installed PEFT empties the allocator's cache after it prepared a model."""
    import inspect

    from peft import prepare_model_for_kbit_training

    return "auto_clear_cache" in inspect.signature(prepare_model_for_kbit_training).parameters


def run_steps(
    model: PreTrainedModel,
    step: StepSetup,
    device: torch.device,
    report: Callable[[str], None],
    meter: Meter | None = None,
) -> dict[str, Any]:
    """Train, and say what each stage took at its peak, over the steps after the first (which makes optimizer state).

    The keys and the unit (MiB, counted by the allocator on CUDA) are those of the published measurements that ship
    with Inspector (``t4_transformers_peft_loop``). On a CPU the peaks are of live storages: the bytes of every tensor
    alive at once, without the kernels' own scratch memory. ``meter`` takes the place of the device's own.
    """
    inner: Any = model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model
    if step.gradient_checkpointing:
        with quiet():
            inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if hasattr(inner, "peft_config"):
            inner.enable_input_require_grads()
    model.train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(step.optimizer, model)
    ids = torch.randint(0, _vocabulary(inner), (step.batch_size, step.seq_len), device=device)
    # After the tokens are there, which a CPU's meter counts among what was loaded.
    meter = meter or (_CudaMeter(device) if device.type == "cuda" else _CpuMeter(model, ids))
    loaded = meter.now()
    shares = {name: nbytes / MiB for name, nbytes in breakdown(model).items()}
    peaks: dict[str, list[int]] = {stage: [] for stage in STAGES}
    losses = []
    with quiet(), meter.running():
        for number in range(step.steps):
            report(f"step {number + 1} of {step.steps}")
            with meter.stage("forward", peaks["forward"]):
                optimizer.zero_grad(set_to_none=True)
                loss = model(input_ids=ids, labels=ids).loss
            with meter.stage("backward", peaks["backward"]):
                loss.backward()
            losses.append(float(loss.detach()))
            with meter.stage("optimizer", peaks["optimizer"]):
                optimizer.step()
            # Here, before the next step lets go of them.
            gradients = sum(own_part(each.grad).nbytes for each in trainable if each.grad is not None)
            # Else the old loss would be alive through the next forward.
            del loss
        state = _state_bytes(optimizer)
        result = _result(meter, peaks, loaded, gradients, state)
    return {
        **result,
        "weight_breakdown_mib": shares,
        "trainable_params": sum(each.numel() for each in trainable),
        "losses": losses,
    }


def _result(meter: Meter, peaks: dict[str, list[int]], loaded: int, gradients: int, state: int) -> dict[str, Any]:
    steady = {stage: max(values[1:]) for stage, values in peaks.items()}
    return {
        "after_load_allocated_mib": loaded / MiB,
        **{f"peak_{stage}_mib": steady[stage] / MiB for stage in STAGES},
        "optimizer_state_mib": state / MiB,
        "gradient_mib": gradients / MiB,
        "peak": max(steady.values()) / MiB,
        **meter.after(),
        "unit": "MiB",
        "metric": meter.metric,
    }


class Meter(ABC):
    """Reads the bytes in use now, and the peak of a stage."""

    metric = ""

    @abstractmethod
    def now(self) -> int:
        """Bytes in use now."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """While the steps run."""
        yield

    @abstractmethod
    def stage(self, name: str, peaks: list[int]) -> contextlib.AbstractContextManager[None]:
        """While one stage runs; its peak is added to the list."""

    def after(self) -> dict[str, float | None]:
        """What else there is to say at the end."""
        return {}


class _CudaMeter(Meter):
    metric = (
        "torch.cuda.max_memory_allocated of each stage (counter reset before it), over the steps after the first; "
        "reserved likewise; process by NVML"
    )

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.reserved = 0

    def now(self) -> int:
        torch.cuda.synchronize(self.device)
        return int(torch.cuda.memory_allocated(self.device))

    @contextlib.contextmanager
    def stage(self, name: str, peaks: list[int]) -> Iterator[None]:
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        yield
        torch.cuda.synchronize(self.device)
        peaks.append(torch.cuda.max_memory_allocated(self.device))
        self.reserved = max(self.reserved, torch.cuda.max_memory_reserved(self.device))

    def after(self) -> dict[str, float | None]:
        memory = machine.cuda_memory(self.device)
        process, context = memory["process_bytes"], memory["context_bytes"]
        return {
            "peak_reserved_mib": self.reserved / MiB,
            "process_mib": None if process is None else process / MiB,
            "cuda_context_mib": None if context is None else context / MiB,
        }


class _CpuMeter(Meter):
    metric = (
        "bytes of live storages at their peak within each stage (dispatched tensors; kernels' scratch memory is not "
        "seen), over the steps after the first; resident is the process's, by the kernel"
    )

    def __init__(self, model: nn.Module, *others: torch.Tensor) -> None:
        self.live = LiveStorages(model)
        for other in others:
            self.live.note(other)
        # The peak of loading is no step's.
        machine.reset_resident_peak()

    def now(self) -> int:
        return self.live.nbytes

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with self.live:
            yield

    @contextlib.contextmanager
    def stage(self, name: str, peaks: list[int]) -> Iterator[None]:
        self.live.peak = self.live.nbytes
        yield
        peaks.append(self.live.peak)

    def after(self) -> dict[str, float | None]:
        return {"peak_resident_mib": machine.resident()["resident_peak_bytes"] / MiB}


def _state_bytes(optimizer: torch.optim.Optimizer) -> int:
    states = (value for state in optimizer.state.values() for value in state.values())
    return sum(own_part(value).nbytes for value in states if isinstance(value, torch.Tensor))


def _vocabulary(model: PreTrainedModel) -> int:
    return int(language_config(model.config).vocab_size)

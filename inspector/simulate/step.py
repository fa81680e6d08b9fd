"""The training step itself: load, then forward, backward, optimizer, as many times as asked, traced."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.kinds import MemoryKind
from inspector.simulate import attention, composites, model as models
from inspector.simulate.kernels import Kernels, cuda_kernels
from inspector.simulate.optimizers import label_state, make_optimizer
from inspector.simulate.trace import Tracer, follow_modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.simulate.events import Event
    from inspector.simulate.setup import TrainSetup


def trace_finetune(
    config: Mapping[str, Any], setup: TrainSetup, capability: tuple[int, int], multiprocessors: int
) -> tuple[Event, ...]:
    """Everything that loading a model and training it allocates and frees on a CUDA device.

    Args:
        config: content of the model's ``config.json``.
        setup: how it is trained.
        capability: the device's compute capability.
        multiprocessors: its number of multiprocessors.
    """
    tracer = Tracer(cuda_kernels(capability, multiprocessors))
    operators = {**composites.CUDA, "scaled_dot_product_attention": attention.sdpa_for(capability, setup.sdpa_backend)}
    with ExitStack() as stack:
        stack.enter_context(models.quiet())
        stack.enter_context(composites.decomposed_as(operators))
        run(config, setup, tracer)
    return tracer.events()


def run(config: Mapping[str, Any], setup: TrainSetup, tracer: Tracer) -> None:
    """Load and train under a tracer."""
    tracer.mark("load", -1)
    model = build(config, setup, tracer)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(setup, model)
    with tracer:
        batch = _batch(model, setup, tracer)
    head = models.head_path(model)
    tracer.watch_modules(model.named_modules(), head)
    with contextmanager(follow_modules)(tracer), tracer:
        for step in range(setup.steps):
            _one_step(model, optimizer, trainable, batch, setup, tracer, step)


def build(config: Mapping[str, Any], setup: TrainSetup, tracer: Tracer) -> Any:
    """The model ready to train."""
    model = models.load_model(config, setup, tracer)
    if setup.prepare_kbit:
        model = models.prepare_for_kbit(model, setup, tracer)
    if setup.method != "full":
        model = models.add_adapters(model, setup, tracer)
    if setup.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": setup.reentrant})
        if setup.method != "full":
            model.enable_input_require_grads()
    model.train()
    models.label_model(model, tracer)
    return model


def _batch(model: Any, setup: TrainSetup, tracer: Tracer) -> dict[str, Any]:
    shape = (setup.batch_size, setup.seq_len)
    ids = torch.empty(shape, dtype=torch.int64, device="meta")
    batch = {"input_ids": ids, "labels": ids}
    if setup.padding_mask:
        batch["attention_mask"] = torch.empty(shape, dtype=torch.int64, device="meta")
    for tensor in batch.values():
        tracer.label(tensor, MemoryKind.INPUTS, "")
    return batch


def _one_step(
    model: Any,
    optimizer: Any,
    trainable: list[Any],
    batch: dict[str, Any],
    setup: TrainSetup,
    tracer: Tracer,
    step: int,
) -> None:
    tracer.mark("forward", step, reset=True)
    optimizer.zero_grad(set_to_none=True)
    outputs = model(**batch)
    tracer.mark("backward", step)
    outputs.loss.backward()
    for parameter in trainable:
        if parameter.grad is not None:
            tracer.label(parameter.grad, MemoryKind.GRADIENTS, "")
    if not setup.keep_outputs:
        del outputs
    tracer.mark("optimizer", step)
    optimizer.step()
    label_state(optimizer, tracer)

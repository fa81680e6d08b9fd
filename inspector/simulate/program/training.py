"""The training step itself: load, then forward, backward, optimizer, as many times as asked, traced."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint

from inspector.architecture.quiet import quiet
from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.device.cuda import as_on
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.program import (
    adapters,
    end_tokens,
    global_attention,
    objectives,
    optimizers,
    routing,
    transcripts,
)
from inspector.simulate.program.around import carry_autocast, regions_apart, take_token_accuracy, to_float32
from inspector.simulate.program.convolutions import note_convolutions
from inspector.simulate.program.evaluation import Evaluation
from inspector.simulate.program.heads import classes_with_a_loss
from inspector.simulate.program.inputs import described, settle, training_inputs, trains_next_tokens
from inspector.simulate.program.labels import target_length
from inspector.simulate.program.load import head_path, keeps_fp8, label_model, load_model
from inspector.simulate.program.looks import looked_at, text_length
from inspector.simulate.program.loss import use_loss
from inspector.simulate.program.objectives.policy_and_value import own_name
from inspector.simulate.program.position_limits import check_positions
from inspector.simulate.program.predicting import predicted
from inspector.simulate.program.refusals import of_the_model
from inspector.simulate.program.saving import save
from inspector.simulate.program.spread import Alone
from inspector.simulate.program.stored.fp8 import dequantized_in_parts
from inspector.simulate.program.trace import Trace
from inspector.simulate.tracing.answers import answers
from inspector.simulate.tracing.following import follow_modules
from inspector.simulate.tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from inspector.simulate.device.autocast import Autocast
    from inspector.simulate.program.looks import Input
    from inspector.simulate.reports.saved import Saved
    from inspector.simulate.setup.evaluation import EvalSetup
    from inspector.simulate.setup.training import TrainSetup


def trace_finetune(
    config: Mapping[str, Any], setup: TrainSetup, capability: tuple[int, int], multiprocessors: int
) -> Trace:
    """Everything that loading a model and training it allocates and frees on a CUDA device.

    Args:
        config: content of the model's ``config.json``.
        setup: how it is trained.
        capability: the device's compute capability.
        multiprocessors: its number of multiprocessors.
    """
    device = Device(capability, multiprocessors)
    loop = setup.loop
    with quiet():
        tracer = Tracer(cuda_kernels(device))
    config = objectives.of_its_class(config, setup.objective)
    tracer.answer = answers(lambda: training.tokens, masks=not (setup.batch.packed or setup.batch.padded))
    routing.install(tracer, config, setup.routing)
    fp8 = keeps_fp8(setup.load)
    kernels: dict[str, Any] = {"sdpa_backend": loop.sdpa_backend, "autocast": loop.autocast, "fp8": fp8}
    with as_on(device, tracer.page, **kernels, routing=setup.routing) as autocast:
        training = Loop(config, setup, tracer, autocast)
        training.run()
    note_convolutions(tracer)
    inputs = "" if training.next_tokens else described(training.inputs)
    if asked := setup.objective:
        inputs = asked.words(setup.batch.size, setup.batch.seq_len, adapted=setup.adapters is not None)
    notes = tuple(tracer.notes)
    return Trace(tracer.events(), tracer.paged_bytes, notes, device.questions, inputs, training.saved)


class Loop:
    """A training loop over one batch, again and again, on one card or ``spread`` over several."""

    def __init__(
        self,
        config: Mapping[str, Any],
        setup: TrainSetup,
        tracer: Tracer,
        autocast: Autocast | None,
        spread: Alone | None = None,
    ) -> None:
        self.config = config
        self.spread = spread or Alone()
        self.next_tokens = True
        self.named = self.with_a_loss = ""
        self.looks_at: set[str] = set()
        self.pixels = torch.float32
        self.inputs: dict[str, Input] = {}
        self.setup = setup
        self.tracer = tracer
        self.autocast = autocast
        self.outputs: Any = None
        self.tokens = setup.batch.seq_len
        self.saved: Saved | None = None

    def run(self) -> None:
        """Load the model, then train."""
        tracer, setup = self.tracer, self.setup
        tracer.mark("load", -1)
        spread = self.spread
        places: dict[str, Any] = {"storage": spread.quant_storage, "stays_on_host": spread.stays_on_host}
        model = load_model(self.config, setup.load, tracer, training=True, spread=spread.loads, **places)
        if keeps_fp8(setup.load) and dequantized_in_parts(model):
            routing.matters(tracer, self.config, setup.routing)
        self.kind, self.named = str(model.config.model_type), type(model).__name__
        self.with_a_loss = classes_with_a_loss(model)
        self.next_tokens = trains_next_tokens(model)
        tracer.notes += settle(model)
        end_tokens.install(tracer, model)
        global_attention.install(tracer, model)
        transcripts.install(tracer, model, setup.batch.target_len)
        self.inputs, self.looks_at = training_inputs(model, setup.batch), set(looked_at(model, setup.batch))
        self.objective = objectives.objective_of(setup, self.next_tokens, type(model).__name__)
        if self.objective is not None:
            self.inputs = self.objective.inputs()
        seen = "token ids" if self.next_tokens else described(self.inputs)
        doing = f"the training step of this {self.kind} model does not run on {seen} without data"
        with of_the_model(doing, self.config):
            self.model = self._trainable(model)
            self.model_before = model
            # By the names that they have before anything is wrapped.
            named, head = list(self.model.named_modules()), head_path(self.model)
            named += objectives.prepared(self.objective, self.model, self.config, tracer, spread)
            if self.objective is not None:
                regions_apart(self.autocast, self.model, self.objective.beside)
            self.unwrapped = self.model
            self.model = self.spread.wrapped(objectives.trained(self.objective, self.model), tracer)
            # Only now: preparation freezes every weight, and PEFT and FSDP rename what they wrap.
            self.trainable = [
                (own_name(self.spread.called(name)), tensor)
                for name, tensor in self.model.named_parameters()
                if tensor.requires_grad
            ]
            # Images and sound in the dtype of the first layer, as scripts cast them; it may have become float32 by now.
            self.pixels = next(tensor.dtype for tensor in self.model.parameters() if tensor.is_floating_point())
            with tracer:  # Adagrad has its state from here on
                of_trainer = setup.loop.optimizer_by == "trainer"
                self.optimizer = self.spread.optimizer(setup.loop.optimizer, self.model, of_trainer=of_trainer)
            with follow_modules(tracer, named, head), tracer:
                for step in range(setup.loop.steps):
                    self._step(step)
                    if setup.loop.empty_cache_every and (step + 1) % setup.loop.empty_cache_every == 0:
                        tracer.empty_cache()
                if setup.evaluation is not None:
                    self._evaluate(setup.evaluation)
                if setup.saving is not None:
                    self.saved = save(self.model, self.optimizer, self.config, setup, tracer)
        tracer.stop()

    def _trainable(self, model: nn.Module) -> Any:
        """The loaded model ready to train."""
        setup, tracer = self.setup, self.tracer
        loop, quantization = setup.loop, setup.load.quantization
        check_positions(model, text_length(model, setup.batch), tracer, target_length(model, setup.batch))
        if quantization is not None and quantization.prepare is not None:
            # Before the adapters, as it freezes every parameter it finds.
            model = adapters.prepare_for_kbit(model, quantization.prepare, loop.checkpointing, tracer)
        if setup.adapters is not None:
            model = adapters.add_adapters(model, setup.adapters, tracer)
        if loop.trl_casting:
            adapters.cast_like_trl(model, tracer)
        if (
            loop.checkpointing is not None
            and adapters.use_checkpointing(model, loop.checkpointing, tracer, adapted=setup.adapters is not None)
            and self.autocast is not None
        ):
            carry_autocast(model, self.autocast)
        if (loop.loss != "full" or loop.token_accuracy) and not self.next_tokens and self.objective is None:
            raise CannotSimulateError(
                f"{type(model).__name__} has the loss of its own task, no language model's", hint="use --loss full"
            )
        if self.objective is None:
            use_loss(model, loop, tracer, self.autocast.carried(checkpoint) if self.autocast else checkpoint)
        model.train()
        # Last, as casting gives tensors another storage.
        label_model(model, tracer, adapted=setup.adapters is not None)
        return model

    def _step(self, step: int) -> None:
        loop, tracer = self.setup.loop, self.tracer
        for part in range(loop.grad_accum):
            # A policy answers as it was before anything was wrapped (TRL's ``unwrap_model_for_generation``).
            objectives.begin(self.objective, self.unwrapped, step)
            batch = self._batch(self._shapes_of(step * loop.grad_accum + part))
            # One counter for a step: its micro-batches are one stage's peak.
            tracer.mark("forward", step, reset=part == 0)
            if loop.zero_grad == "before" and part == 0:
                self.optimizer.zero_grad(set_to_none=True)
            with self.spread.shared(batch), self.spread.micro_batch(last=part + 1 == loop.grad_accum):
                loss = self._forward(batch)
                tracer.mark("backward", step)
                self.spread.backward(loss)
            for name, parameter in self.trainable:
                # Gradients are there from the first backward on, and are new ones after each ``zero_grad``.
                if parameter.grad is not None:
                    tracer.label(parameter.grad, MemoryKind.GRADIENTS, name.rpartition(".")[0])
        tracer.mark("optimizer", step)
        if loop.grad_clip:
            self.spread.clip([tensor for _, tensor in self.trainable], loop.grad_clip)
        self.spread.step(self.optimizer)
        optimizers.label_state(self.optimizer, self.trainable, tracer)
        if loop.zero_grad == "after":
            self.optimizer.zero_grad(set_to_none=True)
        objectives.end(self.objective, self.model, self.setup)
        if loop.outputs != "next":
            self.outputs = None

    def _shapes_of(self, number: int) -> Mapping[str, Input]:
        """The inputs of a micro-batch; where they differ in length, by its number in the run."""
        lengths = self.setup.batch.lengths
        self.tokens = lengths[number % len(lengths)] if lengths else self.tokens
        again = replace(self.setup.batch, seq_len=self.tokens)
        return training_inputs(self.model_before, again) if lengths else self.inputs

    def _forward(self, batch: dict[str, Any]) -> Any:
        """The loss; the rest of the output lives as long as the setup says."""
        if self.objective is not None:
            return self._objective_loss(self.objective, batch)
        with nullcontext() if self.autocast is None else self.autocast():
            outputs = self.model(**batch)
        if getattr(outputs, "loss", None) is None or not outputs.loss.requires_grad:
            raise CannotSimulateError(
                f"{self.named} returns no loss that trains what is to be trained", hint=self.with_a_loss
            )
        if (loop := self.setup.loop).outputs_fp32:
            outputs = to_float32(outputs)
        if loop.token_accuracy:
            take_token_accuracy(outputs)
        # A division makes one tensor more, which a loop without accumulation does not have.
        loss = outputs.loss / loop.grad_accum if loop.grad_accum > 1 else outputs.loss
        if loop.outputs != "loss":
            self.outputs = outputs
        return loss

    def _evaluate(self, setup: EvalSetup) -> None:
        """Trainer's evaluation, after the last step."""
        self.tracer.mark("evaluation", self.setup.loop.steps - 1, reset=True)
        self.model.eval()
        batch = replace(self.setup.batch, size=setup.size)
        objective = objectives.objective_of(replace(self.setup, batch=batch), self.next_tokens, self.named)
        shapes = training_inputs(self.model_before, batch) if objective is None else objective.inputs()
        if objective is not None and self.objective is not None:
            objective.beside = self.objective.beside

        def predict() -> tuple[Any, Any, Any]:
            given = self._batch(shapes)
            made = None
            if setup.gathered == "generated":
                with nullcontext() if self.autocast is None else self.autocast():
                    made = predicted(self.model, self.setup, setup, self.tracer)
            with torch.no_grad(), self.spread.shared(given):
                if objective is not None:
                    return self._objective_loss(objective, given), None, None
                with nullcontext() if self.autocast is None else self.autocast():
                    outputs = self.model(**given)
            if self.setup.loop.outputs_fp32:
                outputs = to_float32(outputs)
            gathered = made if made is not None else outputs.logits if setup.gathered != "loss" else None
            return outputs.loss, gathered, given.get("labels")

        Evaluation(setup, predict, self.tracer, self.spread.gathered).run()
        self.model.train()

    def _objective_loss(self, objective: objectives.Objective, batch: dict[str, Any]) -> Any:
        """The loss of an objective, whose outputs are gone with its function."""
        with nullcontext() if self.autocast is None else self.autocast():
            loss = objective.loss(self.model, batch)
        return loss / self.setup.loop.grad_accum if self.setup.loop.grad_accum > 1 else loss

    def _batch(self, shapes: Mapping[str, Input] | None = None) -> dict[str, Any]:
        shared = self.setup.batch.labels == "shared" and self.next_tokens
        batch: dict[str, Any] = {}
        for name, given in (shapes or self.inputs).items():
            if name == "labels" and self.next_tokens and self.objective is None:
                batch[name] = batch["input_ids"] if shared else batch["input_ids"].clone()
            else:
                dtype = self.pixels if name in self.looks_at and given.dtype.is_floating_point else given.dtype
                batch[name] = torch.empty(given.shape, dtype=dtype, device="meta")
            self.tracer.label(batch[name], MemoryKind.INPUTS, "")
        return batch

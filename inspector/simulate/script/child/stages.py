"""The stages of a run as they are found from what happens: loading, adapters, a step's three, evaluation, and so on."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from inspector.memory_kinds import MemoryKind
from inspector.simulate.device.bitsandbytes import quantization_constants
from inspector.simulate.events import Mark
from inspector.simulate.script.child.errors import handed_on
from inspector.simulate.script.child.replaced import replace
from inspector.simulate.script.child.storages import has_no_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from inspector.simulate.events import Stage
    from inspector.simulate.script.child.card_tracer import CardTracer


_OF_WEIGHTS = frozenset({MemoryKind.BASE_WEIGHTS, MemoryKind.QUANTIZATION_CONSTANTS})


class Stages:
    """Watches modules, the engine and optimizers, and tells the tracer what runs.

    ``enough`` is called after every optimizer step with how many there were.
    """

    def __init__(self, tracer: CardTracer, enough: Callable[[int], None]) -> None:
        self.tracer = tracer
        self.enough = enough
        self.step = 0
        self.stage: Stage = "load"
        self._at = -1
        self._running: list[tuple[str, bool]] = []
        self._depth = 0
        self._held: list[Stage] = []
        self._doubted: int | None = None
        """Where in the log a forward begins of which it is not known yet whether a backward follows."""
        self._roots: dict[int, int] = {}
        self.at_first_step: Callable[[nn.Module], None] | None = None
        """Told the outermost module once it has been trained on."""
        self._made: tuple[int, int] = (0, -1)
        """Which optimizer made the last step, after how many backward passes."""
        self._backwards = 0
        self._root_module: weakref.ref[nn.Module] | None = None
        # Weakly: a model that the script lets go of is gone, with its gradients.
        self._trained: list[tuple[str, weakref.ref[nn.Parameter]]] = []

    def install(self) -> None:
        """Begin to watch."""
        self.tracer.mark("load", -1)
        register_module_forward_pre_hook(self._begins)
        register_module_forward_hook(self._ends, always_call=True)
        register_optimizer_step_pre_hook(self._steps)
        register_optimizer_step_post_hook(self._stepped)
        engine: Any = torch.autograd._engine_run_backward  # type: ignore[attr-defined]

        @functools.wraps(engine)
        def run_backward(*args: object, **kwargs: object) -> Any:
            self._depth += 1
            if self._depth == 1:
                self._backwards += 1
                self._doubted = None
                self.mark("backward")
            try:
                return handed_on(engine, *args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:
                    self._label_gradients()

        replace("torch.autograd._engine_run_backward", run_backward)
        clip: Any = torch.nn.utils.clip_grad_norm_

        @functools.wraps(clip)
        def clipped(*args: object, **kwargs: object) -> Any:
            self.mark("optimizer")
            return handed_on(clip, *args, **kwargs)

        replace("torch.nn.utils.clip_grad_norm_", clipped)
        replace("torch.nn.utils.clip_grad.clip_grad_norm_", clipped)

    def mark(self, stage: Stage) -> None:
        """A stage begins, if it is another than the one that runs."""
        if self._held:
            stage = self._held[-1]
        if stage != self.stage:
            self._marked(stage, -1 if stage in {"load", "adapters"} else self.step)

    def _marked(self, stage: Stage, step: int) -> None:
        if stage != "backward":
            self.settle()
        self.stage, self._at = stage, step
        self.tracer.mark(stage, step)

    def _forward(self, module: nn.Module) -> None:
        """A model is called. One in evaluation mode may be trained all the same: a backward that follows says so."""
        if not torch.is_grad_enabled():
            self.settle()
            self.mark("evaluation")
            return
        certain = module.training or not any(tensor.requires_grad for tensor in module.parameters())
        if certain:
            self.settle()
        self.mark("forward" if module.training or not certain else "evaluation")
        if not certain and self.stage == "forward" and self._doubted is None and self._is_mark(-1):
            self._doubted = len(self.tracer.log) - 1

    def _is_mark(self, at: int) -> bool:
        return bool(self.tracer.log) and isinstance(self.tracer.log[at], Mark)

    def settle(self) -> None:
        """What was taken for a step's forward was followed by no backward: it was an evaluation."""
        if self._doubted is not None:
            mark = self.tracer.log[self._doubted]
            assert isinstance(mark, Mark)
            self.tracer.log[self._doubted] = Mark("evaluation", mark.step, mark.reset)
            self.stage = "evaluation"
        self._doubted = None

    def holding(self, stage: Stage, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function all of which is one stage, such as ``generate``."""

        @functools.wraps(function)
        def held(*args: object, **kwargs: object) -> Any:
            before, at = self.stage, self._at
            self.mark(stage)
            self._held.append(stage)
            try:
                return handed_on(function, *args, **kwargs)
            finally:
                self._held.pop()
                # What goes on is the step that it was in, even where that has just ended.
                if self.stage != before:
                    self._marked(before, at)

        return held

    # -- modules -------------------------------------------------------------------------------------------------

    def _begins(self, module: nn.Module, _args: object) -> None:
        tracer = self.tracer
        if not self._running and not self._depth:
            self._root(module)
            self._forward(module)
        self._running.append(tracer.enter(module))

    def _ends(self, _module: nn.Module, _args: object, _output: object) -> None:
        if self._running:
            self.tracer.leave(self._running.pop())

    def _root(self, module: nn.Module) -> None:
        """The outermost module of a call: its parts are known by name, and what they own by kind."""
        parameters = list(module.named_parameters())
        if module.training and parameters:
            self._root_module = weakref.ref(module)
        if self._roots.get(id(module)) == len(parameters):
            return
        self._roots[id(module)] = len(parameters)
        names = {id(part): name for name, part in module.named_modules()}
        self.tracer.names |= names
        self.tracer._head = _head(module, names)
        self._trained = [(name, weakref.ref(tensor)) for name, tensor in parameters if tensor.requires_grad]
        adapted = any("lora_" in name for name, _ in parameters) or hasattr(module, "peft_config")
        for name, tensor in parameters:
            owner = name.rpartition(".")[0]
            adapter = adapted and (tensor.requires_grad or "lora_" in name)
            if has_no_data(tensor):
                self.tracer.label(tensor, MemoryKind.ADAPTERS if adapter else MemoryKind.BASE_WEIGHTS, owner)
            for constant in filter(has_no_data, quantization_constants(tensor)):
                self.tracer.label(constant, MemoryKind.QUANTIZATION_CONSTANTS, owner)
        for name, buffer in module.named_buffers():
            # Packed weights are buffers, and were told what they are.
            if has_no_data(buffer) and self.tracer.kind_of(buffer) not in _OF_WEIGHTS:
                self.tracer.label(buffer, MemoryKind.BUFFERS, name.rpartition(".")[0])

    # -- gradients and the optimizer -------------------------------------------------------------------------------

    def _label_gradients(self) -> None:
        for name, reference in self._trained:
            parameter = reference()
            if parameter is not None and parameter.grad is not None and has_no_data(parameter.grad):
                self.tracer.label(parameter.grad, MemoryKind.GRADIENTS, name.rpartition(".")[0])

    def _steps(self, _optimizer: object, _args: object, _kwargs: object) -> None:
        self.mark("optimizer")

    def _stepped(self, optimizer: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
        for state in optimizer.state.values():
            for tensor in state.values() if isinstance(state, dict) else ():
                if isinstance(tensor, torch.Tensor) and has_no_data(tensor):
                    self.tracer.label(tensor, MemoryKind.OPTIMIZER_STATE, "")
        if self._made == (id(optimizer), self._backwards):
            return  # DeepSpeed's own makes one of each of its groups
        self._made = id(optimizer), self._backwards
        root = None if self._root_module is None or self.step else self._root_module()
        if root is not None and self.at_first_step is not None:
            self.at_first_step(root)
        self.step += 1
        self.enough(self.step)


def _head(module: nn.Module, names: dict[int, str]) -> str:
    """Path of the output head, after which tensors are logits and loss; "" where a model has none to tell."""
    whole: Any = module
    base: Any = whole.get_base_model() if hasattr(whole, "get_base_model") else whole
    ask: Any = getattr(base, "get_output_embeddings", None)
    try:
        head = ask() if callable(ask) else None
    except (NotImplementedError, AttributeError):
        return ""
    return names.get(id(head), "") if head is not None else ""

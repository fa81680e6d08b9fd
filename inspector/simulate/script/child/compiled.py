"""``torch.compile`` in every form that it is written in: the model runs as it is, and says that it was compiled."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child.errors import emulated, handed_on
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.script.child.world import World

_SAID = "torch.compile is traced as eager: the compiled graph allocates otherwise, mostly less"
_GRAPHS = "torch.compile with CUDA graphs is traced as eager: what graphs keep in pools of their own is not counted"
_WITH_GRAPHS = frozenset({"reduce-overhead", "max-autotune"})
"""Modes that switch CUDA graphs on. Source: torch/_inductor/__init__.py, ``list_mode_options``."""

_MODES = frozenset({"default", "lite", "max-autotune-no-cudagraphs", *_WITH_GRAPHS})


def install(world: World) -> None:
    """Put all of it in its place."""
    replace("torch.compile", _compile(world, inspect.signature(torch.compile)))
    # Under this name it was known before torch 2.0, and tutorials still say it.
    replace("torch._dynamo.optimize", lambda *_, **__: torch.compile())
    # Nothing was compiled that could be forgotten; the real ones import the compiler to say so.
    replace("torch._dynamo.reset", lambda: None)
    replace("torch.compiler.cudagraph_mark_step_begin", lambda: None)
    # TorchScript reads the text of what it is given, and would read that of our functions in it.
    for name in ("script", "trace"):
        replace(f"torch.jit.{name}", _scripted(world, name))


def _scripted(world: World, name: str) -> Any:
    def scripted(given: Any = None, *_: object, **named: object) -> Any:
        given = named.get("obj", named.get("func")) if given is None else given
        if _is_the_users(world, given):
            world.tracer.notes.append(f"torch.jit.{name} is traced as eager: fused kernels allocate less")
        return given

    return scripted


def _compile(world: World, known: inspect.Signature) -> Any:
    def compile(model: Any = None, **given: Any) -> Any:  # noqa: A001 -- torch's own name
        handed_on(known.bind, model, **given)  # what it does not take is refused here
        if model is None:
            return lambda model: compile(model, **given)
        mode, options, backend = (given.get(name) for name in ("mode", "options", "backend"))
        _checked(mode, options)
        if given.get("disable"):
            return model
        if _is_the_users(world, model):
            graphs = mode in _WITH_GRAPHS or backend == "cudagraphs" or (options or {}).get("triton.cudagraphs")
            world.tracer.notes.append(_GRAPHS if graphs else _SAID)
        return _wrapped(model) if isinstance(model, torch.nn.Module) else model

    return compile


def _checked(mode: str | None, options: Any) -> None:
    """Raise what PyTorch raises for settings that it does not take. Source: ``compile`` of torch/__init__.py."""
    if mode is not None and options is not None:
        said = "Either mode or options can be specified, but both can't be specified at the same time."
        raise emulated(RuntimeError(said))
    if mode is not None and mode not in _MODES:
        raise emulated(RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(sorted(_MODES))}"))


def _is_the_users(world: World, model: Any) -> bool:
    """Whether a model, or a function of the script's own, was compiled: libraries compile helpers of theirs."""
    of = getattr(model, "__self__", model)
    if isinstance(of, (torch.nn.Module, torch.optim.Optimizer)):
        return True
    inner: Any = getattr(model, "__wrapped__", model)
    code = getattr(inner, "__code__", None)
    return code is not None and world.lines.is_own(code.co_filename)


def _wrapped(model: torch.nn.Module) -> Any:
    """The class that a compiled model is of: what it saves has its prefix, and libraries ask for it to unwrap."""
    from torch._dynamo.eval_frame import OptimizedModule

    if isinstance(model, OptimizedModule):
        return model

    class _Eager:
        """What the class asks to be given: how to make of a function a compiled one."""

        def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
            return function

    class Compiled(OptimizedModule):
        def _initialize(self) -> None:
            self.forward = self._orig_mod.__call__

        # Without its own, which warns of the hooks by which we find the stages.
        __call__ = torch.nn.Module.__call__

    Compiled.__name__, Compiled.__qualname__ = OptimizedModule.__name__, OptimizedModule.__qualname__
    Compiled.__module__ = OptimizedModule.__module__
    context: Any = _Eager()
    return Compiled(model, context)

"""Whose code raised an error: ours, or that of the model and the libraries it is written with."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType, FunctionType

Operator = TypeVar("Operator", bound="Callable[..., object]")

OF_THE_MODEL = frozenset({"transformers", "transformers_modules", "peft"})
"""Packages whose frames speak for the model: its class, its own code (`transformers.dynamic_module_utils` imports that
as ``transformers_modules``), and the adapters around its layers."""

_OURS = frozenset({"inspector", "bitsandbytes"})
"""Ours, and the library whose kernels run as we replaced them: what it refuses is our simulation of it."""

_RUNS_OPERATORS: set[CodeType] = set()
_RUNS_THE_GRAPH: set[CodeType] = set()
_HANDS_ON = frozenset(
    {
        "inspector.simulate.tracing.tracer", "inspector.simulate.tracing.shape_memory",
        "inspector.simulate.device.attention", "inspector.simulate.device.decompositions",
        "inspector.simulate.device.flash_attention",
        "inspector.simulate.tracing.unwritten", "inspector.simulate.parallel.rank_tracer",
    }
)  # fmt: skip
"""Modules through which an operator's arguments go unchanged on their way to it."""


_PASSES_ON = "inspector.patched.by_thread"
"""The module whose frames stand between a caller and the original function or its replacement."""


def is_of_the_model(error: BaseException) -> bool:
    """Whether the model's code raised an error, or torch on its behalf.

    The innermost frame decides that is neither torch's nor the standard library's. Where an operator itself refused,
    run by the tracer in the place of torch's dispatcher, the frame that called the operator decides; in the backward
    that is autograd, and the graph is the model's. An error that was raised again in other words is as the first.
    """
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    if any(isinstance(cause, (MemoryError, OSError)) or "allocate memory" in str(cause) for cause in causes):
        return False  # this machine's, now
    for cause in reversed(causes):
        if (found := _decided(list(frames(cause)))) is not None:
            return found
    return False


def _decided(frames: list[FrameType]) -> bool | None:
    """What the innermost frame says that is the model's or ours; None where none is."""
    refused = False
    while frames:
        frame = frames.pop()
        package = package_of(frame)
        if package in OF_THE_MODEL or (refused and frame.f_code in _RUNS_THE_GRAPH):
            return True
        if runs_operator(frame):
            refused = True
            while frames and _module(frames[-1]) in _HANDS_ON:
                frames.pop()
        elif passes_on(frame):
            continue
        elif package in _OURS:
            return False
    return None


def runs_operators(function: Operator) -> Operator:
    """Mark a function that does nothing but run an operator in the place of torch's dispatcher."""
    _RUNS_OPERATORS.add(cast("FunctionType", function).__code__)
    return function


def runs_the_graph(function: Operator) -> Operator:
    """Mark a function that does nothing but run the backward of the model's graph."""
    _RUNS_THE_GRAPH.add(cast("FunctionType", function).__code__)
    return function


def runs_operator(frame: FrameType) -> bool:
    """Whether a frame is of a function marked by `runs_operators`."""
    return frame.f_code in _RUNS_OPERATORS


def passes_on(frame: FrameType) -> bool:
    """Whether a frame only hands on to the function its caller meant: a patch's, a mode's or bitsandbytes' tensors'."""
    return _module(frame) == _PASSES_ON or frame.f_code.co_name == "__torch_function__"


def package_of(frame: FrameType) -> str:
    """The package of a frame's code."""
    return _module(frame).partition(".")[0]


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def frames(error: BaseException) -> Iterator[FrameType]:
    """The frames an error passed through, outermost first."""
    link = error.__traceback__
    while link is not None:
        yield link.tb_frame
        link = link.tb_next

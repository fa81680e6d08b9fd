"""The same tracing for a step on a CPU, where a profiler can be asked what was really allocated."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.own_random import own_random_numbers
from inspector.patched import patched
from inspector.simulate.device.attention import sdpa_on_cpu
from inspector.simulate.device.autocast import no_autocast
from inspector.simulate.device.decompositions import decomposed_as
from inspector.simulate.device.kernels import cpu_kernels
from inspector.simulate.device.random_numbers import NOT_THE_CALLERS
from inspector.simulate.tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.events import Event


def _generator_state(tracer: Tracer) -> dict[str, Any]:
    """Checkpointing keeps the random generator's state, a CPU tensor that no operator makes.

    ``fork_rng`` keeps it too while a layer is recomputed, but does nothing for the meta device.
    """
    original, fork = torch.get_rng_state, torch.random.fork_rng

    def get_rng_state() -> Any:
        state = original()
        tracer.follow(state, "torch.get_rng_state")
        return state

    def fork_rng(*args: object, **kwargs: object) -> Any:
        return fork(*args, **{**kwargs, "device_type": "cuda"})

    return {
        "torch.get_rng_state": get_rng_state,
        "torch.random.get_rng_state": get_rng_state,
        "torch.random.fork_rng": fork_rng,
        **NOT_THE_CALLERS,
    }


def _int8_products() -> dict[str, Any]:
    """On a CPU, LLM.int8 trains through whole weights in the activations' dtype; nothing is said of outliers.

    Source: bitsandbytes/autograd/_functions.py, ``matmul``, which asks for the input's device, and ``MatMul8bitFp``.
    """
    library: Any = sys.modules.get("bitsandbytes")
    if library is None:
        return {}
    from bitsandbytes.autograd._functions import MatMul8bitFp

    original = library.matmul

    def matmul(
        a: torch.Tensor,
        b: torch.Tensor,
        out: object = None,
        state: Any = None,
        threshold: float = 0.0,
        bias: torch.Tensor | None = None,
    ) -> Any:
        if state is None or not state.is_training:
            return original(a, b, out=out, state=state, threshold=threshold, bias=bias)
        return MatMul8bitFp.apply(a, b, out, bias, state)

    return {"bitsandbytes.matmul": matmul}


def trace_on_cpu(
    step: Callable[[], Any], existing: list[Any], prepare: Callable[[Tracer], None] = lambda _: None
) -> tuple[Event, ...]:
    """What running ``step`` allocates and frees on a CPU. Its model and inputs are meta tensors.

    Args:
        step: a function that runs on meta tensors, such as a forward, a backward and an optimizer step.
        existing: tensors that are there before, and do not count.
        prepare: told the tracer first, for answers that a model needs.

    Not seen: the 8 bytes of a Python number that an operator wraps in a tensor.
    """
    tracer = Tracer(cpu_kernels())
    prepare(tracer)
    tracer.ignore(existing)
    tracer.mark("forward", 0)
    operators = {"scaled_dot_product_attention": sdpa_on_cpu}
    replaced = {**_int8_products(), **_generator_state(tracer)}
    with own_random_numbers(), patched(replaced), decomposed_as(operators), no_autocast(), tracer:
        step()
    tracer.stop()
    return tracer.events()

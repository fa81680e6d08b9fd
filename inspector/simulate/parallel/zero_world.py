"""What DeepSpeed keeps of a process (group, accelerator, launcher's word), as a rank without others has it."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from inspector.patched import patched
from inspector.simulate.parallel import zero_kernels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from inspector.simulate.parallel.rank_tracer import RankTracer

CHECKS = ("assert_ints_same_as_other_ranks", "assert_lst_len_same_as_other_ranks")
"""What DeepSpeed asks the other ranks to be sure of; there are none."""


SAYING = ("engine", "zero.partition_parameters", "zero.parameter_offload", "zero.stage3", "zero.stage_1_and_2")
"""Where DeepSpeed prints how much memory there is: it would say that of this process."""


@contextmanager
def as_zero_rank(tracer: RankTracer, *, synchronized: bool = False) -> Iterator[None]:
    """DeepSpeed's own state of the process is another while this runs, and is put back as it was.

    Its modules' variables know no threads: a process that is not ours alone runs this in a child (`apart`).
    ``synchronized`` ranks are a CPU's.
    """
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
        stack.enter_context(patched(checked | zero_kernels.replaced()))
        vars(real_accelerator).update(ds_accelerator=ZeroCard(tracer, synchronized=synchronized))
        yield


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

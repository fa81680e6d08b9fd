"""What is not simulated, where the run comes to it: the words of ``--check``, and the script's own line."""

from __future__ import annotations

import functools
import importlib.abc
import sys
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.script.check import rules
from inspector.simulate.script.child import errors
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from inspector.simulate.script.child.world import World

_MAKING: dict[str, dict[str, str]] = {
    "torch.nn": {"DataParallel": "__init__"},
    "torch.nn.parallel": {"DistributedDataParallel": "__init__"},
    "torch.distributed.fsdp": {"FullyShardedDataParallel": "__init__", "fully_shard": ""},
    "torch.distributed.tensor.parallel": {"parallelize_module": ""},
    "torch.cuda.graphs": {"CUDAGraph": "__new__", "graph": "__init__", "make_graphed_callables": ""},
    "torch.cuda": {"make_graphed_callables": ""},
    "torch.cuda.memory": {"CUDAPluggableAllocator": "__init__", "change_current_allocator": ""},
    "torch.utils.cpp_extension": {"load": "", "load_inline": ""},
    "torch.nn.attention.flex_attention": {"flex_attention": ""},
}
"""By module: functions, and classes with the method that makes one. They stay classes: libraries ask what is one."""

_OF_RANKS = frozenset({"torch.nn.parallel", "torch.distributed.fsdp", "torch.distributed.tensor.parallel"})
"""What a script may call that its launcher starts as one of several."""


class NotSimulatedError(InspectorError, ImportError):
    """A package that no dry run has. A script that foresees its absence goes on without it."""


def install(world: World) -> None:
    """Put all of it in its place."""
    for module, names in _MAKING.items():
        if world.job.launch and module in _OF_RANKS:
            continue
        world.imports.then(module, functools.partial(_replace, world, names))
    if not world.job.launch:
        _process_group(world)
    sys.meta_path.insert(0, _Packages(world))


def _replace(world: World, names: Mapping[str, str], module: ModuleType) -> None:
    for name, making in names.items():
        full = f"{module.__name__}.{name}"
        replace(f"{full}.{making}" if making else full, _refusing(world, full), optional=True)


def _refusing(world: World, full: str) -> Callable[..., Any]:
    rule = rules.called(full)
    assert rule is not None, full

    def refuse(*_: object, **__: object) -> Any:
        raise InspectorError(f"{_at(world)}{rule.what}: not simulated", hint=rule.instead)

    return refuse


def _process_group(world: World) -> None:
    """Libraries make one of a single process; a script that makes one means several."""
    import torch

    make = torch.distributed.init_process_group
    refuse = _refusing(world, "torch.distributed.init_process_group")

    def made(*args: object, **kwargs: object) -> Any:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(errors.HERE):
            frame = frame.f_back
        own = world.lines.is_own(frame.f_code.co_filename)
        return refuse() if own else errors.handed_on(make, *args, **kwargs)

    replace("torch.distributed.init_process_group", made)


def _at(world: World) -> str:
    line = world.tracer.line()
    return f"{line}: " if line else ""


class _Packages(importlib.abc.MetaPathFinder):
    """Stands before all finders: the script's own import of a package that is not simulated is the end of the run.

    A library that only looks whether one is there finds what is there.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None, or NotSimulatedError."""
        del path, target
        rule = None if self._world.job.launch and fullname == "deepspeed" else rules.imported(fullname)
        if rule is not None and rule.grade == "refused" and self._is_the_scripts():
            raise NotSimulatedError(f"{_at(self._world)}{rule.what}: not simulated", hint=rule.instead)
        return None

    def _is_the_scripts(self) -> bool:
        """Whether the innermost frame that is not the import itself is the user's."""
        frame = sys._getframe(2)
        while frame.f_back is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        return self._world.lines.is_own(frame.f_code.co_filename)

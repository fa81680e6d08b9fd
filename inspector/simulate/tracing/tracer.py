"""Run real torch code on shapes without data and write down every storage that is born and every one that dies.

A `Tracer` is a ``TorchDispatchMode``: it sits below autograd, so it sees the operators a device would run, in the
order it would run them, and the tensors they make. A storage is followed from the first operator that returns it until
Python and autograd have dropped it. What a CUDA kernel does and a meta kernel does not is looked up in `kernels`.
"""

from __future__ import annotations

import weakref
from bisect import bisect_right
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from inspector.memory_kinds import MemoryKind
from inspector.simulate.device.autograd_in_place import as_on_device
from inspector.simulate.device.random_numbers import drawn
from inspector.simulate.events import EmptyCache, Event, Instant, Mark, Stage
from inspector.simulate.tracing.answers import answers
from inspector.simulate.tracing.operators import Known, Operators
from inspector.simulate.tracing.owners import made_of, written
from inspector.simulate.tracing.shape_memory import run, shape_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import nn
    from torch._ops import OpOverload

    from inspector.simulate.device.kernels import Kernels


_READ = torch.ops.aten._local_scalar_dense.default
_COPY = torch.ops.aten._to_copy.default
_FORWARDS = frozenset({"forward", "evaluation", "generation"})
FOREIGN = -1  # the block number of a storage that is known and does not count


class _Watch(weakref.ref[Any]):
    """A weak reference that knows which block dies with its storage."""

    __slots__ = ("block", "key")
    block: int
    key: int


class Tracer(TorchDispatchMode):
    """Follow the storages of one device. Not reentrant across threads: meta tensors run on the calling thread.

    Args:
        kernels: what the simulated device's kernels allocate besides their results.
        device: the device whose storages are followed.
        remember: answer repeated questions about shapes from memory (see `shapes`).
    """

    def __init__(self, kernels: Kernels, device: str = "meta", *, remember: bool = True) -> None:
        super().__init__()
        self._shapes = shape_memory() if remember and device == "meta" else None  # its answers are meta tensors
        self.kernels = kernels
        self._operators = Operators(kernels)
        self.device = device
        self.devices = frozenset({device, *kernels.host})
        self.answer = answers()
        self.names: dict[int, str] = {}
        self.module, self.after_head = "", False
        self.stage: Stage = "load"
        self.step = -1
        self.rows: list[tuple[int, MemoryKind, str, str]] = []
        self.log: list[int | Instant] = []  # ~n is the free of block n: numbers, as there are many
        self._live: dict[int, _Watch] = {}
        self._labels: dict[int, tuple[MemoryKind, str]] = {}
        self._copies: dict[int, int] = {}
        self._head = ""
        self.paged_bytes = 0
        self._generator = torch.Generator()
        self.notes: list[str] = []
        self.on_host = False  # what is made lies in the machine's memory: of one rank among several alone
        self._stopped: int | None = None
        self._entered: list[int] = []
        self._entries: list[tuple[str, bool]] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: nothing is compiled while a tracer runs, and PyTorch's guard against it costs every operator."""
        return False

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        known = self._operators.of(func)
        if replacement := self._operators.replaced(known):
            with self:  # no mode is on within a dispatch, but these operators are to be seen
                return replacement(*args, **kwargs)
        if known.in_place:
            func = as_on_device(func, args)
        if known.gemm:
            self._workspace()
        if func is _READ and args[0].device.type == self.device:
            return self.answer(args[0])
        if known.draws:
            func, kwargs = drawn(func, args, kwargs, self._generator)
        known = self._operators.of(func)
        if self.stage == "load":
            # ``torch.tensor(values, device=...)`` allocates at once, and a mode sees it only from torch 2.15 on: so
            # bitsandbytes' table of levels would come after the temporaries of its own scaling.
            self._note_all(args, "aten.lift_fresh.default")
        out = self._shapes.call(func, args, kwargs) if self._shapes else run(func, args, kwargs)
        self._note_result(out, known, args)
        if known.temporaries:
            for phase in known.temporaries(out, *args, **kwargs):
                self.transient(phase, known.name)
        return out

    def _note_result(self, out: Any, known: Known, args: tuple[Any, ...]) -> None:
        if self.stage != "optimizer" or self.module or not args:
            self._note_all(out, known.name)
            if known.func is _COPY and self.stage == "load":
                block, after = self.block_of(args[0]), self.block_of(out)
                if block is not None and after is not None:
                    self._copies[block] = after
            return
        for source, made in made_of(args[0], out):
            # No module runs: it is of the module that what it was made of is of.
            self.module = "" if source is None else self._module_of(source)
            self._note_all(made, known.name)
        self.module = ""

    def _note_all(self, out: object, source: str) -> None:
        """Follow every tensor in an operator's result, or among what it reads."""
        if isinstance(out, torch.Tensor):
            self._note(out, source)
        elif isinstance(out, (list, tuple)):
            for item in out:
                self._note_all(item, source)

    def _module_of(self, tensor: torch.Tensor) -> str:
        """The module that a tensor's block is of, "" where that is not known."""
        block = self.block_of(tensor)
        return "" if block is None else self._labels[block][1] if block in self._labels else self.rows[block][2]

    def mark(self, stage: Stage, step: int, *, reset: bool = False) -> None:
        """Begin a stage; ``reset`` restarts the peak counters as ``reset_peak_memory_stats`` does."""
        self.stage, self.step = stage, step
        self.log.append(Mark(stage, step, reset))
        if stage in _FORWARDS:
            self.forward_begins()

    def forward_begins(self) -> None:
        """The last forward's graph is gone, and its numbers with it."""
        self.after_head, self._entered, self._entries = False, [], []

    def empty_cache(self) -> None:
        """Note a call of ``torch.cuda.empty_cache``."""
        self.log.append(EmptyCache())

    def stop(self) -> None:
        """What happens from now on is not part of the step: the program ends."""
        self._stopped = len(self.log)

    def watch_modules(self, named: Iterable[tuple[str, Any]], head: str) -> None:
        """Know these modules by name; ``head`` is the path after which tensors are logits and loss."""
        self.names = {id(module): name for name, module in named}
        self._head = head

    def enter(self, module: nn.Module) -> tuple[str, bool]:
        """A module's forward begins; returns what `leave` wants back."""
        before = self.module, self.after_head
        self.module = self.names.get(id(module), self.module)
        if self._head and self.module == self._head:
            self.after_head = True
        self._remember()
        return before

    def leave(self, before: tuple[str, bool]) -> None:
        """A module's forward ends."""
        self.module = before[0]
        self._remember()

    def _remember(self) -> None:
        """Autograd numbers its nodes in the order of the forward: remember which module each number belongs to."""
        if self.stage == "forward":
            self._entered.append(torch.autograd._get_sequence_nr())  # type: ignore[attr-defined]
            self._entries.append((self.module, self.after_head))

    def _origin(self) -> tuple[str, bool]:
        """Module that made the autograd node that is running, and whether it is of the logits and the loss."""
        node = torch._C._current_autograd_node()
        if node is None or not self._entered:
            return "", False
        place = bisect_right(self._entered, node._sequence_nr()) - 1
        return self._entries[max(place, 0)]

    def _note(self, tensor: torch.Tensor, source: str) -> None:
        if tensor.device.type not in self.devices:
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._live or not (nbytes := storage.nbytes()):  # CUDA's allocator has no block for nothing
            return
        self._follow(storage, key, self.new_block(nbytes, source))

    def follow(self, tensor: torch.Tensor, source: str) -> None:
        """Follow a tensor that no operator made."""
        self._note(tensor, source)

    def _follow(self, storage: torch.UntypedStorage, key: int, block: int) -> None:
        watch = _Watch(storage, self._died)
        watch.block, watch.key = block, key
        self._live[key] = watch

    def _died(self, watch: _Watch) -> None:
        self._live.pop(watch.key, None)
        if watch.block != FOREIGN:
            self.log.append(~watch.block)

    def drop(self, tensor: torch.Tensor) -> None:
        """The simulated program lets go of a tensor here, although this one still holds it."""
        if self.block_of(tensor) is not None:
            watch = self._live[tensor.untyped_storage()._cdata]
            self.log.append(~watch.block)
            watch.block = FOREIGN

    def ignore(self, tensors: Iterable[Any]) -> None:
        """These tensors exist already, and are not on the simulated device."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._live:
                self._follow(storage, storage._cdata, FOREIGN)

    def page(self, tensor: torch.Tensor) -> None:
        """This tensor is in managed memory: none of the device's, counted apart."""
        self.ignore([tensor])
        self.paged_bytes += tensor.nbytes

    def new_block(self, nbytes: int, source: str, kind: MemoryKind | None = None) -> int:
        """Write down an allocation and return its number."""
        block = len(self.rows)
        guessed, module = self._guess(source)
        self.rows.append((nbytes, kind or guessed, module, source))
        self.log.append(block)
        return block

    def transient(self, sizes: Iterable[int], source: str, kind: MemoryKind = MemoryKind.TEMPORARIES) -> None:
        """Write down storages that live inside one kernel."""
        blocks = [self.new_block(nbytes, source, kind) for nbytes in sizes if nbytes]
        self.log.extend(~block for block in reversed(blocks))  # as C++ lets go of locals: the last first

    def _workspace(self) -> None:
        """A BLAS handle's workspace, at the first product a thread makes: autograd's thread has its own handle."""
        thread = "backward" if torch._C._current_autograd_node() is not None else "forward"
        if nbytes := self.kernels.workspace(thread):
            self.new_block(nbytes, "at::cuda::getCurrentCUDABlasHandle", MemoryKind.WORKSPACE)

    def _guess(self, source: str) -> tuple[MemoryKind, str]:
        """The kind of a tensor and its module, as far as they are known when it is made."""
        if "dequantize" in source and self.stage != "load":
            return MemoryKind.DEQUANTIZED_WEIGHTS, self.module or self._origin()[0]
        if self.stage in _FORWARDS:
            return MemoryKind.LOGITS_AND_LOSS if self.after_head else MemoryKind.ACTIVATIONS, self.module
        if self.stage == "backward":
            if self.module:
                return MemoryKind.RECOMPUTATION, self.module
            module, logits = self._origin()
            return MemoryKind.LOGITS_AND_LOSS if logits else MemoryKind.TEMPORARIES, module
        return MemoryKind.TEMPORARIES, self.module

    def block_of(self, tensor: torch.Tensor) -> int | None:
        """The number of the block a tensor lives in, or None when it is not followed."""
        watch = self._live.get(tensor.untyped_storage()._cdata)
        return None if watch is None or watch.block == FOREIGN else watch.block

    def label(self, tensor: torch.Tensor, kind: MemoryKind, module: str) -> None:
        """Say what a living tensor is, once its owner is known."""
        block = self.block_of(tensor)
        if block is not None:
            self._labels[block] = (kind, module)

    @contextmanager
    def making(self, kind: MemoryKind) -> Iterator[None]:
        """What is made in here and lives on is of this kind, whoever holds it."""
        first = len(self.rows)
        yield
        for watch in self._live.values():
            if watch.block >= first:
                self._labels[watch.block] = (kind, "")

    def kind_of(self, tensor: torch.Tensor) -> MemoryKind | None:
        """What a tensor was said to be; None where nobody said so yet."""
        block = self.block_of(tensor)
        return None if block is None or block not in self._labels else self._labels[block][0]

    # -- the result ----------------------------------------------------------------------------------------------

    def events(self) -> tuple[Event, ...]:
        """Everything that happened, in order."""
        return written(self.log[: self._stopped], self.log, self.rows, self._labels, self._copies)

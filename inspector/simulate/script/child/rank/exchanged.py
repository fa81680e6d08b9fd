"""What collectives give: the values that are known, where every other rank says what this one says.

Only what a rank sends to others that is its own (broadcasts, what is scattered) is handed on truly: ranks are run one
after the other, the first first, and what that one sent is read by those after it.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child.errors import handed_on
from inspector.simulate.script.child.storages import META, has_no_data, worth_knowing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch._ops import OpOverload
    from torch.distributed import ProcessGroup

    from inspector.simulate.script.child.known_values import KnownValues

SAID = "other ranks say what this one says (sums are of equal parts, gathered values are copies)"

_MOST = 1 << 22
"""Bytes of a message that is kept for later ranks: objects, not weights."""


class Exchange:
    """The messages of one rank.

    Args:
        heard: what earlier ranks sent, by group and count; None where this is the first.
        rank: its number.
    """

    def __init__(self, rank: int, heard: Path | None) -> None:
        self.rank = rank
        self._heard: dict[str, dict[str, str]] = json.loads(heard.read_text()) if heard and heard.exists() else {}
        self._counts: dict[str, int] = {}
        self._said: dict[str, dict[str, str]] = {}
        self.reducing: Any = None
        """By which operation, as `torch.distributed` was told: its C++ hands it on where Python does not see it."""

    def _factor(self, size: int) -> int:
        """What equal parts of so many ranks come to: their sum, or one of them."""
        return size if self.reducing in {None, torch.distributed.ReduceOp.SUM} else 1

    def tell(self, path: Path) -> None:
        """Leave what was sent for the ranks that are run after this one."""
        path.write_text(json.dumps({**self._heard, **self._said}), encoding="utf-8")

    def done(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], known: KnownValues) -> Any:
        """What an operator of ``c10d`` gives, with its work done at once."""
        name = func._schema.name.rpartition("::")[2]
        if name in {"barrier", "monitored_barrier_"}:
            return _work([])
        tensors = _tensors(args)
        hollow = [tensor for tensor in tensors if has_no_data(tensor)]
        out: Any = None
        if len(hollow) < len(tensors) or not tensors:
            # Real ones too: what their backend refuses is refused, and what it does is undone by what follows.
            if hollow:
                args = tuple(_bare(value) for value in args)
            out = handed_on(func, *args, **kwargs)
        else:
            out = func(*args, **kwargs)
        self._values(name, args, known)
        given = out if isinstance(out, (list, tuple)) else [out]
        results = _tensors([each for each in given if not isinstance(each, torch.ScriptObject)])
        if isinstance(out, torch.ScriptObject):
            return _work(results or tensors)
        return tuple(_work(results) if isinstance(each, torch.ScriptObject) else each for each in given)

    # -- values ---------------------------------------------------------------------------------------------------

    def _values(self, name: str, args: tuple[Any, ...], known: KnownValues) -> None:
        group = _group(args)
        size = 1 if group is None else int(group.size())
        lists = [value for value in args if isinstance(value, (list, tuple, torch.Tensor))]
        if name.startswith("broadcast"):
            self._from_root(name, args, group, _flat(lists[0]), known)
        elif name.startswith(("allreduce", "reduce_")) and not name.startswith("reduce_scatter"):
            for tensor in _flat(lists[0]):
                known.policies.note(SAID, known.line())
                _multiply(tensor, self._factor(size), known)
        elif name.startswith(("allgather", "_allgather", "all_gather", "_all_gather", "gather", "alltoall")):
            _gathered(_flat(lists[0]), _flat(lists[1]), known)
        elif name.startswith(("reduce_scatter", "_reduce_scatter")):
            _scattered(_flat(lists[0]), _flat(lists[1]), group, known, self._factor(size))
        elif name.startswith("scatter"):
            self._from_root(name, args, group, _flat(lists[0]), known, given=_flat(lists[1]))
        elif name.startswith("recv"):
            for tensor in _flat(lists[0]):
                _set(tensor, None, known)

    def _from_root(
        self,
        name: str,
        args: tuple[Any, ...],
        group: ProcessGroup | None,
        tensors: list[torch.Tensor],
        known: KnownValues,
        given: list[torch.Tensor] | None = None,
    ) -> None:
        import torch.distributed as dist

        ranks = dist.get_process_group_ranks(group) if group is not None else []
        key = f"{name} {','.join(map(str, ranks))}"
        self._counts[key] = self._counts.get(key, 0) + 1
        key = f"{key} {self._counts[key]}"
        root = next((value for value in args if isinstance(value, int) and not isinstance(value, bool)), 0)
        me = ranks.index(self.rank) if self.rank in ranks else 0
        if root == me:
            sent = given or tensors
            self._said[key] = {str(at): text for at, each in enumerate(sent) if (text := _kept(each, known))}
            if given:
                for tensor, part in zip(tensors, given[me : me + 1], strict=False):
                    _set(tensor, known._known(part), known)
            return
        heard = self._heard.get(key)
        if heard is None:
            return
        for at, tensor in enumerate(tensors):
            said = heard.get(str(me if given is not None else at))
            _set(tensor, None if said is None else _again(said, tensor), known)


def _kept(tensor: torch.Tensor, known: KnownValues) -> str:
    values = known._known(tensor)
    if values is None or values.nbytes > _MOST or values.is_complex():
        return ""
    flat = values.detach().contiguous().reshape(-1).view(torch.uint8)
    return base64.b64encode(bytes(flat.tolist())).decode()


def _again(text: str, like: torch.Tensor) -> torch.Tensor | None:
    data = bytearray(base64.b64decode(text))
    if len(data) != like.numel() * like.element_size():
        return None
    with torch.utils._python_dispatch._disable_current_modes():
        return torch.frombuffer(data, dtype=like.dtype).view(like.shape) if data else None


def _set(tensor: torch.Tensor, values: torch.Tensor | None, known: KnownValues) -> None:
    """Let a tensor hold these, or nothing that is known."""
    if not has_no_data(tensor):
        if values is not None:
            tensor.detach().copy_(values)
        return
    found = known.hollow(tensor)
    if found is None:
        return
    if values is None:
        found.values = found.uniform = None
        return
    nbytes = tensor.untyped_storage().nbytes()
    if found.values is None and worth_knowing(tensor.dtype, nbytes // tensor.element_size()):
        # One part of it after the other: all that is asked for is written before it is read.
        found.values, found.uniform = torch.UntypedStorage(nbytes), None
    seen = known._known(tensor)
    if seen is not None and found.values is not None:
        seen.copy_(values)


def _multiply(tensor: torch.Tensor, factor: int, known: KnownValues) -> None:
    values = known._known(tensor)
    if values is not None and factor != 1:
        _set(tensor, values * factor, known)


def _gathered(outs: list[torch.Tensor], given: list[torch.Tensor], known: KnownValues) -> None:
    """Each rank's part is this one's."""
    known.policies.note(SAID, known.line())
    if not given:
        return
    values = known._known(given[0])
    for out in outs:
        if values is None or not values.numel():
            _set(out, None, known)
        elif out.numel() % values.numel() == 0:
            times = out.numel() // values.numel()
            _set(out, values.detach().reshape(-1).repeat(times).view(out.shape), known)


def _scattered(
    outs: list[torch.Tensor], given: list[torch.Tensor], group: ProcessGroup | None, known: KnownValues, factor: int
) -> None:
    me = 0 if group is None else int(group.rank())
    for out in outs:
        source = given[me] if len(given) > 1 and me < len(given) else given[0] if given else None
        values = None if source is None else known._known(source)
        if values is not None and values.numel() != out.numel():
            values = values.reshape(-1)[me * out.numel() : (me + 1) * out.numel()].view(out.shape)
        _set(out, None if values is None else values * factor, known)


def _group(args: tuple[Any, ...]) -> Any:
    from torch.distributed.distributed_c10d import ProcessGroup

    for arg in args:
        if isinstance(arg, torch.ScriptObject):
            try:
                return ProcessGroup.unbox(arg)
            except RuntimeError:  # the operation that reduces
                continue
        if isinstance(arg, ProcessGroup):
            return arg
    return None


def _tensors(values: Iterable[object]) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for value in values:
        found += _flat(value)
    return found


def _flat(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in _flat(item)]
    return []


def _bare(value: object) -> Any:
    """Real tensors beside those without data, as such."""
    if isinstance(value, torch.Tensor) and not has_no_data(value):
        return torch.empty(value.shape, dtype=value.dtype, device=META)
    if isinstance(value, (list, tuple)):
        return [_bare(item) for item in value]
    return value


def _work(results: list[torch.Tensor]) -> Any:
    """A work that is done; NCCL's has the outputs as its future's value."""
    from torch._C._distributed_c10d import _create_work_from_future  # type: ignore[attr-defined]
    from torch.futures import Future

    done: Future[Any] = Future()
    done.set_result(results)
    return _create_work_from_future(done).boxed()


def flattened(func: OpOverload, args: tuple[Any, ...]) -> int:
    """Bytes that NCCL's lists of tensors take as one while they are sent.

    Source: torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp, ``allgather`` and ``reduce_scatter``: ``newLikeFlat``.
    """
    name = func._schema.name.rpartition("::")[2]
    at = {"allgather_": 0, "reduce_scatter_": 1}.get(name)
    tensors = [] if at is None else _flat(args[at])
    return sum(tensor.nbytes for tensor in tensors if has_no_data(tensor))

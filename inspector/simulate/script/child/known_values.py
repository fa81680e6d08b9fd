"""What is known of the tensors without data: carried along with the operators, or a stated policy in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.device.random_numbers import drawn
from inspector.simulate.script.child import unknown
from inspector.simulate.script.child.operators import Facts, facts
from inspector.simulate.script.child.placed import Placed
from inspector.simulate.script.child.storages import (
    HOST,
    as_known,
    has_no_data,
    keep_values,
    worth_knowing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch._ops import OpOverload


aten = torch.ops.aten


class KnownValues(Placed):
    """A tracer that carries the small values among what it knows the place of."""

    # -- values ---------------------------------------------------------------------------------------------------

    def _known(self, tensor: torch.Tensor) -> torch.Tensor | None:
        if not has_no_data(tensor):
            return tensor
        found = self._live.get(tensor.untyped_storage()._cdata)
        return None if found is None else as_known(tensor, found)

    def _all_known(self, values: Iterable[object]) -> list[Any] | None:
        """The arguments with what is known in the place of what has no data; None where something is not."""
        out: list[Any] = []
        for value in values:
            if isinstance(value, torch.Tensor):
                known = self._known(value)
                if known is None or (not has_no_data(value) and not worth_knowing(value.dtype, value.numel())):
                    return None
                out.append(known)
            elif isinstance(value, (list, tuple)):
                inner = self._all_known(value)
                if inner is None:
                    return None
                out.append(inner)
            elif isinstance(value, torch.device):
                out.append(HOST)
            else:
                out.append(value)
        return out

    def _really(self, func: OpOverload, about: Facts, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What an operator gives on a CPU, or None where the CPU has no such kernel."""
        if about.random:
            func, kwargs = drawn(func, tuple(args), kwargs, self._generator)
        elif about.empty:
            return None
        try:
            return func(*args, **kwargs)
        except (RuntimeError, NotImplementedError, TypeError, IndexError):
            return None  # the answer is then not known, which is always allowed

    def _carry(
        self, func: OpOverload, about: Facts, args: tuple[Any, ...], kwargs: dict[str, Any], out: object
    ) -> None:
        """Do the same to the values that are known, and forget those that are written over by unknown ones."""
        if about.writes:
            self._written(func, about, args, kwargs)
            return
        made = out if isinstance(out, (list, tuple)) else (out,)
        tensors = [item for item in made if isinstance(item, torch.Tensor) and has_no_data(item)]
        if not tensors or not all(worth_knowing(item.dtype, item.numel()) for item in tensors):
            self._uniform(func, args, tensors)
            return
        if any(func is each for each in unknown.CHOICES) or func in unknown.HEALTHY:
            known = self._all_known(args)
            if known is None:
                self._chosen(func, args, kwargs, tensors)
                return
        if about.like:
            args = (torch.empty(args[0].shape, dtype=args[0].dtype, device=HOST), *args[1:])
        known = self._all_known(args)
        named = self._all_known(kwargs.values()) if kwargs else []
        if known is None or named is None:
            self._compared(func, args, kwargs, tensors)
            return
        if any(item.untyped_storage()._cdata in self._storages(args) for item in tensors):
            return  # a view sees the values of what it is a view of
        real = self._really(func, about, known, dict(zip(kwargs, named, strict=True)))
        if real is None:
            return
        results = real if isinstance(real, (list, tuple)) else (real,)
        for item, result in zip(made, results, strict=False):
            if isinstance(item, torch.Tensor) and isinstance(result, torch.Tensor) and item.shape == result.shape:
                keep_values(item, self._live[item.untyped_storage()._cdata], result)

    def _storages(self, values: Iterable[object]) -> set[int]:
        found: set[int] = set()
        for value in values:
            if isinstance(value, torch.Tensor):
                found.add(value.untyped_storage()._cdata)
            elif isinstance(value, (list, tuple)):
                found |= self._storages(value)
        return found

    def _written(self, func: OpOverload, about: Facts, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        targets: list[torch.Tensor] = []
        for at in about.writes:
            value = kwargs.get(at) if isinstance(at, str) else args[at] if at < len(args) else None
            targets += [item for item in (value if isinstance(value, (list, tuple)) else (value,))
                        if isinstance(item, torch.Tensor) and has_no_data(item)]  # fmt: skip
        if func is aten._amp_foreach_non_finite_check_and_unscale_.default:
            targets = [item for item in targets if item is not args[1]]
            self.policies.note("no gradient is infinite or not a number: GradScaler skips no step", self.line())
        found = [self._live.get(item.untyped_storage()._cdata) for item in targets]
        whole = len(targets) == 1 and found[0] is not None and _fills(targets[0])
        overwrites = func in {aten.copy_.default, aten.fill_.Scalar, aten.fill_.Tensor, aten.zero_.default} or (
            about.random and len(targets) == 1
        )
        if whole and overwrites and worth_knowing(targets[0].dtype, targets[0].numel()):
            keep_values(targets[0], found[0], torch.zeros(targets[0].shape, dtype=targets[0].dtype, device=HOST))  # type: ignore[arg-type]
        elif not any(item is not None and (item.values is not None or item.uniform is not None) for item in found):
            return
        known = self._all_known(args)
        named = self._all_known(kwargs.values()) if kwargs else []
        uniform = any(item is not None and item.uniform is not None for item in found)
        if known is not None and named is not None and not uniform:
            if func is aten._amp_foreach_non_finite_check_and_unscale_.default:
                # Weights that were drawn here are not those of the card: an infinity of theirs is no answer.
                known[1] = known[1].clone()
            try:
                if about.random:
                    told, more = drawn(func, tuple(known), dict(zip(kwargs, named, strict=True)), self._generator)
                    told(*known, **more)
                else:
                    func(*known, **dict(zip(kwargs, named, strict=True)))
            except (RuntimeError, NotImplementedError, TypeError, IndexError):
                pass
            else:
                return
        for item in found:
            if item is not None:
                item.values = item.uniform = None

    def _chosen(
        self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]
    ) -> None:
        """Integers that say where something is among unknown numbers, and whether those are finite."""
        for item in tensors:
            if item.dtype.is_floating_point:
                continue
            found = self._live[item.untyped_storage()._cdata]
            if func in unknown.HEALTHY:
                keep_values(item, found, torch.full(item.shape, unknown.HEALTHY[func], device=HOST), assumed=True)
                continue
            dim = _dimension(func, args, kwargs)
            size = 1 if not args[0].dim() else args[0].numel() if dim is None else args[0].size(dim)
            if item.dim() == args[0].dim() and item.dim() and func in {
                aten.topk.default, aten.sort.default, aten.sort.stable, aten.argsort.default, aten.argsort.stable,
            }:  # fmt: skip
                along = [1] * item.dim()
                at = -1 if dim is None else dim
                along[at] = item.size(at)
                real = torch.arange(item.size(at), device=HOST).view(along).expand(item.shape)
            else:
                real = torch.full(item.shape, self.policies.place(size), dtype=item.dtype, device=HOST)
            keep_values(item, found, real, assumed=True)

    def _compared(
        self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]
    ) -> None:
        """A comparison of unknown floats: what it gives for the constant that they are read as."""
        if not all(item.dtype == torch.bool for item in tensors) or kwargs or len(tensors) != 1:
            return
        with_constant: list[Any] = []
        for value in args:
            if isinstance(value, torch.Tensor):
                known = self._known(value)
                if known is None:
                    if not value.dtype.is_floating_point:
                        return
                    known = torch.full((), self.policies.number, dtype=value.dtype, device=HOST).expand(value.shape)
                with_constant.append(known)
            else:
                with_constant.append(value)
        real = self._really(func, facts(func), with_constant, {})
        if isinstance(real, torch.Tensor) and real.shape == tensors[0].shape:
            keep_values(tensors[0], self._live[tensors[0].untyped_storage()._cdata], real, assumed=True)

    def _uniform(self, func: OpOverload, args: tuple[Any, ...], tensors: list[torch.Tensor]) -> None:
        """Of a large result that is the same everywhere, the one value."""
        if len(tensors) != 1:
            return
        found = self._live.get(tensors[0].untyped_storage()._cdata)
        if found is None:
            return
        if func in unknown.HEALTHY and self._known(args[0]) is None:
            found.uniform = unknown.HEALTHY[func]
        elif func in {aten.ones_like.default, aten.ones.default} and tensors[0].dtype == torch.bool:
            found.uniform = True

    def _assume(self, dtype: torch.dtype) -> None:
        self.policies.note(self.policies.said(dtype), self.line())


def _fills(tensor: torch.Tensor) -> bool:
    """Whether a tensor is all of its storage."""
    return bool(tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()) and tensor.numel() > 0


def _dimension(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """The dimension along which an operator chooses; None for one that chooses among all elements."""
    if func is aten.multinomial.default:
        return -1
    at = next((at for at, argument in enumerate(func._schema.arguments) if argument.name == "dim"), None)
    if at is None:
        return None
    said = args[at] if at < len(args) else kwargs.get("dim", func._schema.arguments[at].default_value)
    return None if said is None else int(said)

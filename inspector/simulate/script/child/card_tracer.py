"""The tracer of a user's script: operators on the card have shapes and no data, those of the CPU are the CPU's own."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from inspector.simulate.device.autograd_in_place import OUT_OF_PLACE, as_on_device
from inspector.simulate.script.child import out_of_range
from inspector.simulate.script.child.agreeing import dense, one_device, one_dtype
from inspector.simulate.script.child.errors import in_its_words
from inspector.simulate.script.child.on_cards import OnCards
from inspector.simulate.script.child.operators import BY_VALUE, INDEXED, SEVERAL_DEVICES, TO_SPARSE, facts
from inspector.simulate.script.child.places import Shown, whole
from inspector.simulate.script.child.storages import (
    HOST,
    META,
    Place,
    has_no_data,
    keep_values,
    worth_knowing,
)
from inspector.simulate.tracing.shape_memory import run
from inspector.simulate.tracing.tracer import _READ

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch._ops import OpOverload


aten = torch.ops.aten

MOST_READ = 1 << 22
"""Elements of an unknown tensor that come to the CPU as real numbers; a larger one comes without data."""


FILLS = frozenset({
    aten.uniform_.default, aten.normal_.default, aten.zero_.default, aten.fill_.Scalar, aten.bernoulli_.float,
    aten.exponential_.default, aten.random_.default, aten.random_.to, getattr(aten.random_, "from"),
})  # fmt: skip
"""Operators that write all of a tensor from nothing: without data, nothing is to be done."""


CONSTANT = frozenset({aten.zeros.default, aten.ones.default, aten.full.default, aten.arange.default})

_NO_PROMISE: tuple[Any, ...] = (lambda: None), None, (), {}


class CardTracer(OnCards):
    """Follows what lives on the card, and carries the small values that are known.

    Args:
        kernels: of the card.
        policies: for what is not known.
        line: the line of the script that runs now.
    """

    # -- operators -----------------------------------------------------------------------------------------------

    def _done(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        device = kwargs.get("device")
        if device is not None and device.type == "cuda":
            whole(device)
        if device is not None or func in TO_SPARSE:
            dense(func, args, kwargs, self.line)
        card, host, bare, real = self._seen(args, kwargs)
        if not (card or host or bare):
            kind = None if device is None else torch.device(device).type
            if kind not in {"cuda", "meta"}:
                return func(*args, **_pageable(kwargs))
            # From Python it means ``meta``; autograd's formulas and ``x[mask] = 5`` mean the device of their tensors.
            inner = torch._C._current_autograd_node() is not None or func is aten.scalar_tensor.default
            if kind == "meta" and not real and not inner and not self.meta_is_card:
                return self._promise(func, args, kwargs)
            if func is aten._to_copy.default:
                return self._arrives(args[0], kwargs)
            return self._made(func, args, kwargs)
        if func is aten._to_copy.default and device is not None and not bare:
            kind = torch.device(device).type
            if kind == "cpu" and (card or host):
                return self._leaves(args[0], kwargs)
            if kind == "cuda" and host:
                return self._arrives(args[0], kwargs)
        if func is aten.copy_.default and not has_no_data(args[0]):
            return self._read_into(args[0], args[1])
        if card and (real or Shown.count > 1) and func not in SEVERAL_DEVICES:
            one_device(args, kwargs, self)
        if card:
            one_dtype(func, args)
        if card and bare:
            self._promote(args)
        return self._on(func, args, kwargs, "card" if card else "host" if host else None)

    def _promise(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A tensor on ``meta``. It is the script's own, or an operator in C++ makes it for one of the card."""
        out = func(*args, **kwargs)
        if func in CONSTANT and isinstance(out, torch.Tensor) and worth_knowing(out.dtype, out.numel()):
            storage = out.untyped_storage()
            self.promised[storage._cdata] = weakref.ref(storage), func, args, kwargs
        return out

    def _promote(self, args: Iterable[object]) -> None:
        """What an operator in C++ made on ``meta`` for a tensor of the card is on the card: they meet here.

        ``one_hot`` makes zeros like its input and scatters into them (aten/src/ATen/native/Onehot.cpp).
        """
        for value in args:
            if isinstance(value, (list, tuple)):
                self._promote(value)
            if not isinstance(value, torch.Tensor) or not has_no_data(value) or self.place(value) is not None:
                continue
            found = self.put(value, "card", "aten::empty")
            storage, func, made_by, named = self.promised.pop(value.untyped_storage()._cdata, _NO_PROMISE)
            if func is not None and storage() is not None and value.numel():
                keep_values(value, found, func(*made_by, **{**named, "device": HOST}))

    def _seen(self, args: Iterable[object], kwargs: dict[str, Any]) -> list[int]:
        """How many tensors are on the card, on the host without data, on ``meta``, and real ones with dimensions."""
        counts = [0, 0, 0, 0]
        self._count(args, counts)
        if kwargs:
            self._count(kwargs.values(), counts)
        if self.meta_is_card:
            counts[0], counts[2] = counts[0] + counts[2], 0
        return counts

    def _count(self, values: Iterable[object], counts: list[int]) -> None:
        for value in values:
            if isinstance(value, torch.Tensor):
                if not has_no_data(value):
                    counts[3] += 1
                    continue
                found = self._live.get(value.untyped_storage()._cdata)
                counts[2 if found is None else 0 if found.place == "card" else 1] += 1
            elif isinstance(value, (list, tuple)) and value:
                self._count(value, counts)

    def _on(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], place: Place | None) -> Any:
        """An operator with tensors that have no data."""
        device = kwargs.get("device")
        if device is not None:
            kind = torch.device(device).type
            if kind != "meta":
                place = "card" if kind == "cuda" else "host"
            kwargs = {**_pageable(kwargs), "device": META}
        if place is None:
            return self._shapes.call(func, args, kwargs) if self._shapes else run(func, args, kwargs)
        if place == "card" and (replacement := self.kernels.replaced.get(func)):
            with self:  # no mode is on within a dispatch, but these operators are to be seen
                return replacement(*args, **kwargs)
        if func in INDEXED and (expanded := self._expanded(args)) is not None:
            args = expanded
        if place == "card":
            out_of_range.check(func, args, self._surely)
            if func in OUT_OF_PLACE:
                func = as_on_device(func, args)
            if func in self.kernels.gemms:
                self._workspace()
        if func is _READ:
            return self._read(args[0])
        about = facts(func)
        if func in BY_VALUE:
            return self._by_value(func, args, kwargs, place)
        if func in FILLS:
            self._written(func, about, args, kwargs)
            return args[0]
        shaped, named = self._without_data(args, kwargs)
        try:
            out = self._shapes.call(func, shaped, named) if self._shapes else run(func, shaped, named)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise in_its_words(func, args, kwargs, error) from None
        self._place_all(out, place, func)
        self._carry(func, about, args, kwargs, out)
        if place == "card" and (extra := self.kernels.temporaries.get(func)):
            for phase in extra(out, *shaped, **named):
                self.transient(phase, str(func))
        return out

    def _surely(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """What a tensor is known to hold, and not by a policy alone."""
        found = self.hollow(tensor)
        return None if found is not None and found.assumed else self._known(tensor)

    def _without_data(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Real tensors that take part give their shapes alone; a single number stays, as it decides no dtype."""

        def bare(value: object) -> Any:
            if isinstance(value, torch.Tensor):
                if has_no_data(value) or not value.dim():
                    return value
                return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=META)
            if isinstance(value, (list, tuple)):
                return [bare(item) for item in value]
            return value

        if not any(_has_real(value) for value in (*args, *kwargs.values())):
            return args, kwargs
        return tuple(bare(value) for value in args), {name: bare(value) for name, value in kwargs.items()}

    def _place_all(self, out: object, place: Place, func: OpOverload) -> None:
        if isinstance(out, torch.Tensor):
            if has_no_data(out):
                self.put(out, place, str(func))
        elif isinstance(out, (list, tuple)):
            for item in out:
                self._place_all(item, place, func)

    def _note(self, tensor: torch.Tensor, source: str) -> None:
        if has_no_data(tensor):
            self.put(tensor, "card", source)

    # -- between the card and the host ----------------------------------------------------------------------------

    def _made(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A tensor made on the card from nothing, or from real ones (``empty_like(x, device="cuda")``)."""
        plain, named = self._without_data(args, {**_pageable(kwargs), "device": META})
        try:
            out = self._shapes.call(func, plain, named) if self._shapes else run(func, plain, named)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise in_its_words(func, args, kwargs, error) from None
        self._place_all(out, "card", func)
        about = facts(func)
        if isinstance(out, torch.Tensor) and worth_knowing(out.dtype, out.numel()) and out.numel():
            real = self._really(func, about, args, {**_pageable(kwargs), "device": HOST})
            if isinstance(real, torch.Tensor):
                keep_values(out, self.put(out, "card"), real)
        return out

    def _arrives(self, tensor: torch.Tensor, kwargs: dict[str, Any]) -> torch.Tensor:
        """``.to("cuda")`` from the host: a block of the card, and the values where they are worth it."""
        named = {**_pageable(kwargs), "device": META}
        source = tensor
        if not has_no_data(tensor):
            source = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
        out: torch.Tensor = run(aten._to_copy.default, (source,), named)
        found = self.put(out, "card", "aten::_to_copy")
        if worth_knowing(out.dtype, out.numel()) and out.numel() and (known := self._known(tensor)) is not None:
            keep_values(out, found, known)
        return out

    def _leaves(self, tensor: torch.Tensor, kwargs: dict[str, Any]) -> torch.Tensor:
        """``.cpu()``: what is known as it is, the unknown by the policy, and what is large without data."""
        dtype = kwargs.get("dtype") or tensor.dtype
        known = self._known(tensor)
        if known is not None:
            return known.to(dtype, copy=True)
        place = self.place(tensor)
        if tensor.numel() > MOST_READ or place == "host":
            named = {**_pageable(kwargs), "device": META}
            out: torch.Tensor = run(aten._to_copy.default, (tensor,), named)
            self.put(out, "host")
            return out
        if tensor.numel():
            self._assume(tensor.dtype)
        return torch.full(tensor.shape, self.policies.scalar(tensor.dtype), dtype=dtype, device=HOST)

    def _read_into(self, target: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        known = self._known(source)
        if known is None:
            self._assume(source.dtype)
            known = torch.full((), self.policies.scalar(source.dtype), dtype=source.dtype, device=HOST).expand(
                source.shape
            )
        return target.copy_(known)

    def real(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor of real numbers for one without: what is known, else by the policy."""
        with _disable_current_modes():
            known = self._known(tensor)
            if known is not None:
                return known.clone()
            if tensor.numel():
                self._assume(tensor.dtype)
            return torch.full(tensor.shape, self.policies.scalar(tensor.dtype), dtype=tensor.dtype, device=HOST)

    def _read(self, tensor: torch.Tensor) -> bool | int | float:
        known = self._known(tensor)
        if known is not None:
            found: bool | int | float = known.item()
            return found
        self._assume(tensor.dtype)
        return self.policies.scalar(tensor.dtype)


def _has_real(value: object) -> bool:
    if isinstance(value, torch.Tensor):
        return not has_no_data(value) and bool(value.dim())
    return isinstance(value, (list, tuple)) and any(_has_real(item) for item in value)


def _pageable(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Pinned host memory is memory of the host; this machine has no driver to pin it."""
    return {**kwargs, "pin_memory": False} if kwargs.get("pin_memory") else kwargs

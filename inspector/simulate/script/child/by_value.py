"""Operators whose result only values can tell: computed where these are known, else by the policy for the most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child import unknown
from inspector.simulate.script.child.errors import emulated, handed_on
from inspector.simulate.script.child.known_values import KnownValues
from inspector.simulate.script.child.storages import HOST, META, Place, keep_values, worth_knowing

if TYPE_CHECKING:
    from torch._ops import OpOverload

aten = torch.ops.aten


class ByValue(KnownValues):
    """Masks as indices, and all that counts, searches or compares."""

    def _expanded(self, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Masks among indices as a device turns them into places; None where there are none."""
        indices = args[1]
        masks = [item for item in indices if isinstance(item, torch.Tensor) and item.dtype in {torch.bool, torch.uint8}]
        if not masks:
            return None
        with self:
            out: list[Any] = []
            for item in indices:
                if isinstance(item, torch.Tensor) and item.dtype in {torch.bool, torch.uint8}:
                    places = item.nonzero()
                    out += [places.select(1, number) for number in range(item.dim())]
                else:
                    out.append(item)
        return (args[0], out, *args[2:])

    def _by_value(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], place: Place) -> Any:
        known = self._all_known(args)
        named = self._all_known(kwargs.values()) if kwargs else []
        if known is None or named is None:
            known = self._at_most(func, args)
            named = list(kwargs.values())
        real = handed_on(func, *known, **dict(zip(kwargs, named, strict=True)))
        return self._as_hollow(real, place, func)

    def _at_most(self, func: OpOverload, args: tuple[Any, ...]) -> list[Any]:
        """Arguments by the policy for what is not known: all that can be chosen is, all that can differ does."""
        out: list[Any] = []
        for value in args:
            if not isinstance(value, torch.Tensor):
                out.append(value)
                continue
            known = self._known(value)
            if known is None:
                shape, elements = value.shape, value.numel()
                if func in {aten.nonzero.default, aten.masked_select.default, aten.equal.default}:
                    mask = func is aten.nonzero.default or value.dtype == torch.bool
                    known = torch.full((), 1 if mask else self.policies.number, dtype=value.dtype, device=HOST).expand(
                        shape
                    )
                    said = "masks of unknown values choose every element, which is the most they can"
                elif func in {aten._unique2.default, aten.unique_dim.default, aten.unique_consecutive.default}:
                    known = torch.arange(elements, dtype=torch.float64, device=HOST).to(value.dtype).view(shape)
                    said = "unknown values are all distinct, which is the most there can be"
                else:
                    raise emulated(
                        unknown.UnknowableError(
                            f"{func} needs the values of a tensor that was never computed, and no policy says which "
                            "they are"
                        )
                    )
                self.policies.note(said, self.line())
            out.append(known)
        return out

    def _as_hollow(self, real: object, place: Place, func: OpOverload) -> Any:
        if isinstance(real, torch.Tensor):
            out = torch.empty_strided(real.shape, real.stride(), dtype=real.dtype, device=META)
            found = self.put(out, place, str(func))
            if worth_knowing(real.dtype, real.numel()) and real.numel():
                keep_values(out, found, real)
            return out
        if isinstance(real, (list, tuple)):
            return tuple(self._as_hollow(item, place, func) for item in real)
        return real

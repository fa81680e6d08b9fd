"""Which tokens go to which expert is data, and a dry run has none: answer for the balanced or for the worst case.

Most mixtures multiply sorted tokens by groups of experts (``grouped_mm``): their memory is the same for any routing.
Some loop over their experts and pick each one's tokens with ``nonzero`` or ``where``: how many is decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transformers import PretrainedConfig

    from inspector.simulate.tracing.tracer import Tracer

# The names of Mixtral, of Qwen, of DeepSeek, and of DBRX and Ernie; DBRX keeps its own in ``ffn_config``.
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_INNER = ("text_config", "ffn_config")


def num_experts(config: PretrainedConfig | Mapping[str, Any]) -> int:
    """Experts of a mixture, from a config or its ``config.json``; 1 when there are none."""
    value = next((value for name in _EXPERTS if isinstance(value := _field(config, name), int) and value > 0), None)
    if value is not None:
        return value
    return next((num_experts(inner) for name in _INNER if (inner := _field(config, name)) is not None), 1)


def _field(config: PretrainedConfig | Mapping[str, Any], name: str) -> Any:
    return config.get(name) if isinstance(config, dict) else getattr(config, name, None)


def install(tracer: Tracer, config: PretrainedConfig | Mapping[str, Any], routing: str, *, shared_by: int = 1) -> None:
    """Give ``nonzero`` a number of rows for tensors without data.

    A vector answers yes everywhere: every expert is used, and a loop over them learns each one's number, so that it can
    compare it with that of a padding expert. Of a table of choices and tokens, one expert gets its share of the entries
    (balanced) or every token once (worst). The tracer's notes say whether that was asked. Call it when
    ``tracer.answer`` is set. Of experts that so many ranks share (``shared_by``) each has its own alone.
    """
    experts = max(1, num_experts(config) // shared_by)
    numbers = _Numbers()
    usual = tracer.answer
    if experts > 1:
        _note(tracer, experts)

    def rows(tensor: torch.Tensor) -> int:
        _note(tracer, experts, routing)
        # A table has as many rows as choices a token, or as experts: the longer side is the tokens.
        tokens = max(tensor.shape)
        return tokens if routing == "worst" else max(1, -(-int(tensor.numel()) // experts))

    def nonzero(tensor: torch.Tensor) -> Any:
        # One choice a token is a table of one row (Switch); a vector of experts stands in a column or alone.
        single = experts > 1 and tensor.dim() == 2 and tensor.shape[0] == 1 < tensor.shape[1]
        if tensor.dim() < 2 or (min(tensor.shape) <= 1 and not single):
            count = int(tensor.numel())
            count -= count == experts + 1  # the last stands for padding, and there is none
            found = torch.empty((count, tensor.dim()), dtype=torch.int64, device=tensor.device)
            if tensor.dim() == 1:
                numbers.know(found, list(range(count)))
            return found
        return torch.empty((rows(tensor), tensor.dim()), dtype=torch.int64, device=tensor.device)

    def equal(tensor: torch.Tensor, other: object) -> Any:
        result = torch.empty_like(tensor, dtype=torch.bool)
        number = numbers.of(tensor)
        if number is not None:
            numbers.know(result, [int(number == other)])
        return result

    def answer(tensor: torch.Tensor) -> bool | int | float:
        number = numbers.of(tensor)
        # What nobody knows is answered as in any other model.
        if number is None:
            return usual(tensor)
        return bool(number) if tensor.dtype == torch.bool else number

    aten = torch.ops.aten
    replaced: dict[Any, Callable[..., Any]] = {aten.nonzero.default: nonzero, aten.eq.Scalar: equal}
    tracer.kernels.replaced = {**tracer.kernels.replaced, **replaced}
    tracer.answer = answer


def matters(tracer: Tracer, config: PretrainedConfig | Mapping[str, Any], routing: str) -> None:
    """Say how tokens are taken to spread, as it will be asked by what is not looked at here."""
    _note(tracer, num_experts(config), routing)


def _note(tracer: Tracer, experts: int, taken_as: str = "") -> None:
    """Say that a token's experts are data: at first that it does not matter, then how it was taken once it did."""
    said = f"which of its {experts} experts a token goes to is data"
    same = f"{said}; the memory is the same for any"
    if not taken_as:
        tracer.notes.append(same)
    elif same in tracer.notes:
        tracer.notes[tracer.notes.index(same)] = f"{said}: taken as {taken_as}"


class _Numbers:
    """What is known of the data of a few tensors without data, by storage."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, list[int]]] = {}

    def know(self, tensor: torch.Tensor, numbers: list[int]) -> None:
        """Remember the elements of a tensor; its storage is kept, so that no other takes its place."""
        storage = tensor.untyped_storage()
        self._known[storage._cdata] = storage, numbers

    def of(self, tensor: torch.Tensor) -> int | None:
        """The one element of a tensor or a view, None when nobody knows."""
        known = self._known.get(tensor.untyped_storage()._cdata)
        return known[1][tensor.storage_offset()] if known and tensor.numel() == 1 else None

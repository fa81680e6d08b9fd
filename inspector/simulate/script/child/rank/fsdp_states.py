"""What FSDP1 asks other ranks of their optimizers when it puts a whole state together for a checkpoint.

A unit's parameters lie end to end, and a rank has the states of those alone that reach into its part. Ranks are run one
after the other and what others gather are copies of this one's: so states that are another's are said to be there.

Source: torch/distributed/fsdp/_optim_utils.py (``_map_param_key_to_optim_keys``, ``_allgather_state_info``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.simulate.script.child.errors import handed_on
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from types import ModuleType

    from torch.distributed.fsdp._common_utils import _FSDPState

    from inspector.simulate.script.child.imports import OnImport

NAME = "torch.distributed.fsdp._optim_utils"


def install(imports: OnImport) -> None:
    """Answer as soon as the module is imported."""
    imports.then(NAME, _others)


def _others(module: ModuleType) -> None:
    keys_of, gather = module._map_param_key_to_optim_keys, module._allgather_state_info
    # A unit of which this rank has nothing is told as the one before: an optimizer has the same states for all.
    pattern: list[Any] = []

    def keys(*args: object, **kwargs: object) -> Any:
        found, mine = handed_on(keys_of, *args, **kwargs)
        units: Any = kwargs.get("fqn_to_fsdp_param_info", args[4] if len(args) > 4 else {})
        trained = {name for name, unit in units.items() if unit.param_requires_grad[unit.param_indices[name]]}
        missing = trained - {name for key in found for name in key.unflat_param_names}
        return sorted({*found, *(module._OptimStateKey((name,), True) for name in missing)}), mine

    def states(fsdp: _FSDPState, given: dict[str, object]) -> Any:
        gathered = handed_on(gather, fsdp, given)
        pattern[:] = [info for info in gathered[0].values() if info.tensors][:1] or pattern
        for rank, infos in enumerate(gathered):
            if rank == fsdp.rank or not pattern:
                continue
            for name in given:
                # How much of it another rank has is read by nobody: only that it has some.
                infos[name] = infos[name] if infos[name].tensors else pattern[0]
        return gathered

    replace(f"{NAME}._map_param_key_to_optim_keys", keys)
    replace(f"{NAME}._allgather_state_info", states)

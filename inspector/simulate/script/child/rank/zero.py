"""DeepSpeed in a script: its card is ``torch.cuda`` as it stands there, its own kernels compute nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    import torch

    from inspector.simulate.script.child.imports import OnImport


def install(imports: OnImport) -> None:
    """Wait for it."""
    imports.then("deepspeed.ops.op_builder.builder", _builders)


def _builders(module: ModuleType) -> None:
    """Nothing is compiled: kernels write into tensors that are there (FusedAdam, CPUAdam), or take lists apart."""
    builder = "deepspeed.ops.op_builder.builder"
    replace(f"{builder}.installed_cuda_version", lambda *_: (12, 8))
    replace(f"{builder}.OpBuilder.load", lambda *_, **__: Kernels())
    del module


class Kernels:
    """The functions of a compiled module, which return nothing."""

    @staticmethod
    def flatten(tensors: Sequence[torch.Tensor]) -> Any:
        """As its own fallback does it (deepspeed/runtime/utils.py)."""
        from torch._utils import _flatten_dense_tensors

        return _flatten_dense_tensors(tensors)

    @staticmethod
    def unflatten(flat: torch.Tensor, tensors: Sequence[torch.Tensor]) -> Any:
        """As its own fallback does it."""
        from torch._utils import _unflatten_dense_tensors

        return _unflatten_dense_tensors(flat, tensors)

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None

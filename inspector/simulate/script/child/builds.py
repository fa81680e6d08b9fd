"""What PyTorch's own wheels with CUDA are built with: libraries read it, and this machine's build has no CUDA."""

from __future__ import annotations

from typing import NamedTuple


class Build(NamedTuple):
    """A wheel's CUDA, as ``torch.version.cuda`` says it, and its NCCL, as ``torch.cuda.nccl.version()`` does."""

    cuda: str
    nccl: tuple[int, int, int]


BUILDS = {
    (2, 10): Build("12.8", (2, 27, 5)),
    (2, 11): Build("13.0", (2, 28, 9)),
    (2, 12): Build("13.0", (2, 29, 7)),
    (2, 13): Build("13.0", (2, 29, 7)),
    (2, 14): Build("13.0", (2, 30, 7)),
}
"""By PyTorch's release: what ``pip install torch`` brings on Linux.

Source: ``Requires-Dist`` in METADATA of torch-2.X.0-cp311-cp311-manylinux_2_28_x86_64.whl on PyPI, read on 2026-11-30:
``cuda-toolkit`` or ``nvidia-cuda-runtime-cu12``, and ``nvidia-nccl-cu12`` or ``nvidia-nccl-cu13``.
"""


def build_of(torch_version: str) -> Build:
    """The wheel of a release, such as ``2.13.0+cpu``; of one that is newer than the table, its newest."""
    major, minor = (int(part) for part in torch_version.split(".")[:2])
    return BUILDS.get((major, minor), BUILDS[max(BUILDS)])

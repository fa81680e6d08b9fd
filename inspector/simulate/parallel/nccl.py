"""What NCCL takes of a card for itself: a range by rule, as the number of its channels follows from a machine's wires.

Sources (github.com/NVIDIA/nccl, June 2026): init.cc, ``computeBuffSizes`` and the ``DEFAULT_*BUFFSIZE`` above it;
transport/p2p.cc, ``p2pSendSetup`` and ``p2pRecvSetup``: a connected pair has, on every channel, a buffer of each
protocol, rounded up to 2 MiB at either end (``CUDA_IPC_MIN``); graph/connect.cc, ``ncclTopoPostset``: at least two
channels, and at most ``MAXCHANNELS`` (device.h: 64, 32 in 2.21); init.cc, ``NCCL_RUNTIME_CONNECT``: an algorithm's
peers are connected at its first collective (enqueue.cc, ``initAlgoChannels``). All of it is the driver's memory and in
no allocator of PyTorch's: only ``nvidia-smi`` sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inspector.simulate.parallel.rank_trace import Collective

STEPS, ALIGNED = 8, 2 << 20
SIMPLE = 4 << 20
"""``NCCL_BUFFSIZE`` at its default."""
LL = 8 * 512 * STEPS * 16
"""Lines a thread, threads, steps, and a line's bytes."""
LL128 = 120 * 640 * STEPS * 8
"""Elements a thread, threads, steps, and an element's bytes."""
FEWEST, MOST = 2, 64
"""Channels of a communicator."""
RING, TREE = 1, 4
"""Peers on a channel, each sent to and received from: the next of a ring; of a tree at most one above, three below."""


def pair_bytes() -> int:
    """One channel's buffers between two cards: what is received through all protocols, and what is sent."""
    received = _aligned(LL + LL128 + SIMPLE + 1)  # and a few counters
    return received + _aligned(1)


def nccl_bytes(collectives: Iterable[Collective]) -> tuple[int, int]:
    """The least and the most that NCCL has on a card after a step, in bytes; (0, 0) where nothing is sent.

    Each size of group is a communicator. All-gather and reduce-scatter go around a ring, all-reduce around a ring or
    along a tree. Not in it: what user buffers are registered with, NVLink SHARP's and the network's own buffers.
    """
    groups: dict[int, bool] = {}
    for each in collectives:
        if each.group_size > 1:
            groups[each.group_size] = groups.get(each.group_size, False) or each.kind == "all-reduce"
    least = len(groups) * FEWEST * RING * pair_bytes()
    most = sum((RING + (TREE if reduced else 0)) * MOST * pair_bytes() for reduced in groups.values())
    return least, most


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNED) * ALIGNED

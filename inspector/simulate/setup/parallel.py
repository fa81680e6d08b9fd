"""How a model is spread over several cards: one frozen whole, and the words it is typed in."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from inspector.errors import ContradictionError, InspectorError
from inspector.simulate.setup.words import Dtype, check_words

Strategy = Literal["ddp", "fsdp1", "fsdp2", "hsdp", "zero1", "zero2", "zero3", "tp", "tp+fsdp2", "ep",
                   "ep+fsdp2", "cp+fsdp2", "device_map"]  # fmt: skip
"""PyTorch's wrappers, DeepSpeed's stages, transformers' own plans (tp, ep), parts of sequences, layers laid in turn."""
Offload = Literal["none", "params", "optimizer"]
Wrap = Literal["layers", "trainer", "peft", "size", "none"]
BackwardPrefetch = Literal["pre", "post", "none"]
MixedDtype = Literal["", "float32", "float16", "bfloat16"]

KNOWN = (
    "ddp, fsdp1, fsdp2, hsdp:2x4, zero1, zero2, zero3, tp:2, ep:2, tp:2+fsdp2, ep:2+fsdp2, cp:2+fsdp2, pp:2, device_map"
)
"""What `read` takes, as a user types it."""

_SIZES = re.compile(r"(hsdp):(\d+)x(\d+)|(tp|ep|pp):(\d+)|(tp|ep|cp):(\d+)\+(fsdp2)")
_OFFLOADING = frozenset({"fsdp1", "fsdp2", "hsdp", "zero1", "zero2", "zero3"})
_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class ParallelSetup:
    """A model over ``world_size`` cards on ``nodes`` machines; the defaults are PyTorch's and DeepSpeed's own.

    ``replicas`` times ``shards`` cards hold the model in HSDP: each group of ``shards`` cards has it once. ``tp`` cards
    share every layer's products, ``ep`` cards the experts of a mixture, each of them whole, ``cp`` cards a sequence.
    ``offload`` keeps sharded ``params`` (with their optimizer state), or the ``optimizer`` state alone, on the host.

    ``wrap`` says which modules are units, gathered and let go as one: the transformer ``layers`` and the root; what
    accelerate makes for the ``trainer``; what it makes of ``peft``'s policy, set by hand; all of ``min_num_params``
    (``size``); or the root alone (``none``). ``param_dtype``, ``reduce_dtype`` and ``buffer_dtype`` are FSDP's mixed
    precision; "" leaves as it is. ``quant_storage`` is ``bnb_4bit_quant_storage``: ``auto`` is bitsandbytes' own bytes,
    which FSDP does not shard.

    DDP: ``gradient_as_bucket_view``, ``static_graph``, ``find_unused_parameters``, ``bucket_cap_mb`` (MiB). FSDP1:
    ``limit_all_gathers``, ``use_orig_params``, ``sync_module_states``, ``forward_prefetch``, ``backward_prefetch``;
    ``checkpoint_around_units`` recomputes a layer together with its unit, as transformers did before 4.52;
    ``record_broadcasts`` keeps what ``sync_module_states`` sends until NCCL is done, as PyTorch did before 2.8.
    FSDP1 and FSDP2: with ``cpu_ram_efficient_loading`` one rank of each machine has the model in the machine's memory,
    where else each has (transformers/modeling_utils.py, ``is_local_dist_rank_0``).
    FSDP2: ``reshard_after_forward``; ``as_torchtitan`` keeps what its op policy keeps of a recomputed layer. ZeRO:
    ``deepspeed`` is a file's content as JSON, its ``auto`` filled; ``zero_init`` cuts weights as they are made in stage
    3, as transformers' trainer does (``deepspeed.zero.Init``).
    """

    strategy: Strategy
    world_size: int
    nodes: int = 1
    replicas: int = 1
    shards: int = 1
    tp: int = 1
    ep: int = 1
    cp: int = 1
    offload: Offload = "none"
    wrap: Wrap = "layers"
    min_num_params: int = 100_000_000
    reshard_after_forward: bool = True
    as_torchtitan: bool = False
    param_dtype: MixedDtype = ""
    reduce_dtype: MixedDtype = ""
    buffer_dtype: MixedDtype = ""
    gradient_as_bucket_view: bool = False
    static_graph: bool = False
    find_unused_parameters: bool = False
    bucket_cap_mb: int = 25
    limit_all_gathers: bool = True
    use_orig_params: bool = False
    sync_module_states: bool = False
    cpu_ram_efficient_loading: bool = False
    forward_prefetch: bool = False
    backward_prefetch: BackwardPrefetch = "pre"
    checkpoint_around_units: bool = False
    record_broadcasts: bool = False
    quant_storage: Dtype = "auto"
    zero_init: bool = True
    deepspeed: str = ""

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known, and for numbers that do not divide."""
        check_words(self)
        cards = f"{self.world_size:,} {'card' if self.world_size == 1 else 'cards'}"
        if not 1 <= self.world_size <= _MOST:
            raise ContradictionError(f"{cards} cannot be simulated", hint="give --gpus 2 or more")
        if self.nodes < 1 or self.world_size % self.nodes:
            raise ContradictionError(f"{cards} do not divide over {self.nodes:,} machines", hint="check --nodes")
        if min(self.tp, self.ep, self.cp, self.replicas, self.shards) < 1:
            raise ContradictionError("no group of cards can be empty", hint="give 1 or more")
        if self.bucket_cap_mb < 1 or self.min_num_params < 1:
            raise ContradictionError("bucket_cap_mb and min_num_params are at least 1")
        if self.strategy == "hsdp" and self.replicas * self.shards != self.world_size:
            raise ContradictionError(
                f"{self.replicas:,} replicas of {self.shards:,} shards are {self.replicas * self.shards:,} cards, not "
                f"{self.world_size:,}",
                hint=f"hsdp:{max(self.world_size // max(self.shards, 1), 1)}x{self.shards}",
            )
        self._check_groups(cards)
        self._check_offload()

    def _check_groups(self, cards: str) -> None:
        """Raise InspectorError for cards that are not as many as share a layer."""
        for name, each in (("tp", self.tp), ("ep", self.ep), ("cp", self.cp)):
            if self.world_size % each:
                raise ContradictionError(f"{cards} do not divide by {name}:{each}", hint="check --gpus")
            if self.strategy == name and each != self.world_size:
                raise ContradictionError(f"{name}:{each} alone takes {each} cards, not {self.world_size:,}",
                                     hint=f"--gpus {each}, or {name}:{each}+fsdp2 for a training")  # fmt: skip

    def _check_offload(self) -> None:
        """Raise InspectorError for what a wrapper does not offload."""
        if self.offload != "none" and self.strategy not in _OFFLOADING:
            raise ContradictionError(
                f"{self.strategy} offloads nothing", hint=f"use one of {', '.join(sorted(_OFFLOADING))}"
            )
        if self.offload == "optimizer" and not self.strategy.startswith("zero"):
            # CPUOffload(offload_params) and CPUOffloadPolicy keep both in the machine's memory.
            raise ContradictionError(
                f"{self.words} offloads weights and optimizer state together", hint="use --offload params, or zero3"
            )
        if self.offload == "params" and self.strategy in {"zero1", "zero2"}:
            # deepspeed/runtime/zero/config.py, offload_param: "Only valid with stage 3"
            raise ContradictionError(
                f"{self.strategy} offloads the optimizer's state alone: weights are cut in stage 3",
                hint="use --offload optimizer, or zero3",
            )

    @property
    def words(self) -> str:
        """As a user types it: ``fsdp2``, ``hsdp:2x4``, ``tp:2+fsdp2``."""
        if self.strategy == "hsdp":
            return f"hsdp:{self.replicas}x{self.shards}"
        name, _, rest = self.strategy.partition("+")
        if name in {"tp", "ep", "cp"}:
            return f"{name}:{getattr(self, name)}" + (f"+{rest}" if rest else "")
        return self.strategy

    @property
    def one_copy_a_machine(self) -> bool:
        """Whether one rank alone of each machine loads the model into its memory, and nothing stays there."""
        return self.cpu_ram_efficient_loading and self.may_load_once

    @property
    def may_load_once(self) -> bool:
        """Whether accelerate can have one rank load for the others, all of whose weights then go to the cards."""
        return self.strategy in {"fsdp1", "fsdp2", "hsdp"} and self.offload == "none"

    @property
    def sharded_over(self) -> int:
        """Over how many cards one weight is cut: 1 where every card has all of it."""
        if self.strategy in {"ddp", "zero1", "zero2", "device_map"}:
            return 1
        return self.shards if self.strategy == "hsdp" else self.world_size


def read(words: str, gpus: int, *, nodes: int = 1) -> ParallelSetup:
    """What ``--parallel`` and ``--gpus`` say. Raises InspectorError for what is not known or does not divide."""
    said = words.strip().lower().replace(" ", "").replace("zero-", "zero")
    said = {"fsdp": "fsdp1", "zero": "zero3", "naive": "device_map"}.get(said, said)
    plain = ("ddp", "fsdp1", "fsdp2", "zero1", "zero2", "zero3", "device_map")
    if said in plain:
        return ParallelSetup(said, gpus, nodes)  # type: ignore[arg-type]
    if said in {"tp", "ep"}:
        return ParallelSetup(said, gpus, nodes, **{said: gpus})  # type: ignore[arg-type]
    if re.fullmatch(r"cp(:\d+)?", said):  # accelerate has it under FSDP2 alone
        said = f"{said if ':' in said else f'cp:{gpus}'}+fsdp2"
    found = _SIZES.fullmatch(said)
    if found is None:
        raise InspectorError(f"--parallel {words!r} is not known", hint=f"choose from {KNOWN}")
    numbers = [int(part) for part in found.groups() if part and part.isdigit()]
    # Before it is multiplied and made: a number of a hundred digits is a mistake, too.
    if max(numbers) > _MOST:
        raise InspectorError(f"--parallel {words!r} asks for too many cards", hint=f"choose from {KNOWN}")
    if found[1]:
        return ParallelSetup("hsdp", gpus, nodes, replicas=numbers[0], shards=numbers[1])
    if found[6]:
        # accelerate alone cuts sequences, and wraps a model by its own function.
        more: dict[str, Any] = {found[6]: numbers[0], "wrap": "trainer" if found[6] == "cp" else "layers"}
        return ParallelSetup(f"{found[6]}+fsdp2", gpus, nodes, **more)  # type: ignore[arg-type]
    if found[4] != "pp":
        return ParallelSetup(found[4], gpus, nodes, **{found[4]: numbers[0]})  # type: ignore[arg-type]
    if numbers[0] != gpus:
        raise InspectorError(f"{said} takes {numbers[0]} cards, not {gpus}", hint="check --gpus")
    return ParallelSetup("device_map", gpus, nodes)


def changed(setup: ParallelSetup, **fields: object) -> ParallelSetup:
    """The same with other fields, checked anew."""
    return replace(setup, **fields)  # type: ignore[arg-type]

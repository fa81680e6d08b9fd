"""What an argument of a call asks for: a trainer's options, a second card, pinned memory, where logs go."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from inspector.simulate.script.check.values import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inspector.simulate.script.check.report import Grade
    from inspector.simulate.script.check.values import Values

Said = tuple["Grade", str, str]
"""Grade, what it is, and what to do instead."""

_ONE = "name its launcher, as in inspector run --nproc 2 FILE, or leave it out to see what one card takes"
_OFFLINE = "the network is refused unless --network"
_SEVERAL = re.compile(r"ddp|fsdp|deepspeed|dp|tensor|model_parallel|horovod|xla", re.IGNORECASE)


def _truly(value: Any) -> bool:
    return value is not UNKNOWN and bool(value)


def _strategy(value: Any) -> bool:
    return isinstance(value, str) and bool(_SEVERAL.match(value))


def _more_than_one(value: Any) -> bool:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return isinstance(value, int) and not isinstance(value, bool) and value > 1


def _service(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_service, value))
    return isinstance(value, str) and value not in {"none", "tensorboard", ""}


KEYWORDS: dict[str, tuple[Callable[[Any], bool], Said]] = {
    "fsdp": (_truly, ("refused", "FSDP", _ONE)),
    "deepspeed": (_truly, ("refused", "DeepSpeed", _ONE)),
    "deepspeed_plugin": (_truly, ("refused", "DeepSpeed", _ONE)),
    "parallelism_config": (_truly, ("refused", "a model shared among cards", _ONE)),
    "tp_plan": (_truly, ("refused", "tensor parallelism", _ONE)),
    "tp_size": (_more_than_one, ("refused", "tensor parallelism", _ONE)),
    "use_vllm": (
        _truly,
        ("refused", "vLLM", "its engine is not simulated: use_vllm=False generates with transformers"),
    ),
    "torch_compile": (_truly, ("assumed", "torch.compile", "run as eager: a compiled graph allocates less")),
    "push_to_hub": (_truly, ("skipped", "an upload", _OFFLINE)),
    "report_to": (_service, ("skipped", "logging to a service", _OFFLINE)),
}
"""Arguments whose name says enough, whatever is called; also the options of a script that `HfArgumentParser` reads."""

_LIGHTNING: dict[str, tuple[Callable[[Any], bool], Said]] = {
    "devices": (_more_than_one, ("refused", "several cards", _ONE)),
    "gpus": (_more_than_one, ("refused", "several cards", _ONE)),
    "num_nodes": (_more_than_one, ("refused", "several machines", _ONE)),
    "strategy": (_strategy, ("refused", "a model shared among cards", _ONE)),
    "accelerator": (
        lambda value: value in {"tpu", "mps", "hpu"},
        ("refused", "another accelerator", "accelerator='gpu'"),
    ),
}
_OF_LIGHTNING = frozenset({
    "lightning.Trainer", "lightning.pytorch.Trainer", "pytorch_lightning.Trainer", "lightning.Fabric",
    "lightning.fabric.Fabric",
})  # fmt: skip
_METHODS: dict[str, Said] = {
    "compile": ("assumed", "torch.compile", "run as eager: a compiled graph allocates less, or in another order"),
    "push_to_hub": ("skipped", "an upload", _OFFLINE),
    "upload_file": ("skipped", "an upload", _OFFLINE),
    "upload_folder": ("skipped", "an upload", _OFFLINE),
    "pin_memory": ("assumed", "pinned memory", "it is of the machine, not of the card: not counted"),
}
_SECOND_CARD = re.compile(r"cuda:0*[1-9]\d*$")
_DEVICE_CALLS = {"torch.device", "torch.cuda.set_device", "torch.cuda.device"}


def of_call(node: ast.Call, meant: str | None, values: Values) -> Iterator[Said]:
    """What a call's name and arguments ask for that is not simulated."""
    table = {**KEYWORDS, **(_LIGHTNING if meant in _OF_LIGHTNING else {})}
    for word in node.keywords:
        if word.arg in table:
            asked, said = table[word.arg]
            if asked(values.of(word.value)):
                yield said
        if word.arg == "pin_memory" and values.truth(word.value) and _makes_tensors(meant):
            yield _METHODS["pin_memory"]
        if word.arg == "mode" and meant == "torch.compile" and values.of(word.value) == "reduce-overhead":
            yield (
                "assumed",
                "torch.compile with CUDA graphs",
                "run as eager: what graphs keep for themselves is not counted",
            )
    # A method of an object that no import names: `model.compile()`, but not `re.compile()`.
    if isinstance(node.func, ast.Attribute) and meant is None and node.func.attr in _METHODS:
        yield _METHODS[node.func.attr]
    if (second := _second_card(node, meant, values)) is not None:
        yield "refused", f"a second card: {second}", _ONE


def _makes_tensors(meant: str | None) -> bool:
    """Whether ``pin_memory`` is of what is made itself; that of a `DataLoader` is a habit, and costs a card nothing."""
    return meant is not None and meant.startswith("torch.") and not meant.endswith("DataLoader")


def _second_card(node: ast.Call, meant: str | None, values: Values) -> str | None:
    """The card beside the first that a call names."""
    moves = isinstance(node.func, ast.Attribute) and node.func.attr in {"to", "cuda"} and meant is None
    words = [word.value for word in node.keywords if word.arg in {"device", "device_map", "map_location"}]
    arguments = [*words, *(node.args[:1] if moves or meant in _DEVICE_CALLS else [])]
    for argument in arguments:
        value = values.of(argument)
        if isinstance(value, str) and _SECOND_CARD.match(value):
            return value
        numbered = (
            moves and isinstance(node.func, ast.Attribute) and node.func.attr == "cuda"
        ) or meant in _DEVICE_CALLS
        if numbered and _more_than_one(value if value != 1 else 2) and not isinstance(value, bool):
            return f"cuda:{value}"
    return None

"""One module as ``print(model)`` shows it: as loaded, in 8 bits, in 4 bits, and with LoRA on top.

Written from the skeleton; tests hold every line equal to what the real modules of torch, transformers, bitsandbytes
and peft print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.precision.bitsandbytes import replaced
from inspector.skeleton import in_tower

if TYPE_CHECKING:
    from inspector.skeleton import Module, Skeleton


@dataclass(frozen=True, slots=True)
class Printed:
    """One way to load the module: the call that does it, and the lines it prints; (text, changed) for each line."""

    call: str
    lines: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """The same module four ways. ``changed`` of ``linear`` modules are quantized, ``adapted`` get an adapter."""

    path: str
    versions: tuple[Printed, ...]
    linear: int
    changed: int
    adapted: int


def difference(skeleton: Skeleton, adapted: frozenset[str], rank: int) -> Difference | None:
    """The printout of an adapted module that bitsandbytes replaces, the first of the shortest; None without any."""
    found = [m for m in skeleton.modules if m.path in adapted and replaced(m) and not in_tower(m.path)]
    if not found:
        return None
    first = [m for m in found if m.layer == found[0].layer]
    # Lines of the printout are not folded on the slide: the shortest is the likeliest to fit.
    module = min(first, key=lambda m: len(f"{m.path.rpartition('.')[2]}{_shape(skeleton, m)}"))
    name = module.path.rpartition(".")[2]
    inputs, outputs, bias = _shape(skeleton, module)
    sizes = f"in_features={inputs}, out_features={outputs}, bias={bias}"
    plain = f"Conv1D(nf={outputs}, nx={inputs})" if module.base == "Conv1D" else f"Linear({sizes})"
    versions = (
        Printed("from_pretrained(name)", ((f"({name}): {plain}", False),)),
        # bitsandbytes' classes have no extra_repr of their own: sizes are said as torch's Linear says them.
        Printed("BitsAndBytesConfig(load_in_8bit=True)", ((f"({name}): Linear8bitLt({sizes})", True),)),
        Printed("BitsAndBytesConfig(load_in_4bit=True)", ((f"({name}): Linear4bit({sizes})", True),)),
        Printed(f"get_peft_model(model, LoraConfig(r={rank}, …))", _with_lora(name, sizes, inputs, outputs, rank)),
    )
    linear = [m for m in skeleton.modules if m.base in {"Linear", "Conv1D"}]
    return Difference(module.path, versions, len(linear), sum(map(replaced, linear)), len(adapted))


def _with_lora(name: str, sizes: str, inputs: int, outputs: int, rank: int) -> tuple[tuple[str, bool], ...]:
    return (
        (f"({name}): lora.Linear4bit(", True),
        (f"  (base_layer): Linear4bit({sizes})", False),
        ("  (lora_dropout): ModuleDict(", True),
        # What PEFT puts where LoraConfig's lora_dropout is 0, its default (tuners/lora/layer.py, update_layer).
        ("    (default): Identity()", True),
        ("  )", True),
        ("  (lora_A): ModuleDict(", True),
        (f"    (default): Linear(in_features={inputs}, out_features={rank}, bias=False)", True),
        ("  )", True),
        ("  (lora_B): ModuleDict(", True),
        (f"    (default): Linear(in_features={rank}, out_features={outputs}, bias=False)", True),
        ("  )", True),
        ("  (lora_embedding_A): ParameterDict()", True),
        ("  (lora_embedding_B): ParameterDict()", True),
        ("  (lora_magnitude_vector): ModuleDict()", True),
        (")", True),
    )


def _shape(skeleton: Skeleton, module: Module) -> tuple[int, int, bool]:
    own = {tensor.name: tensor.shape for tensor in skeleton.tensors if tensor.owner == module.path}
    rows, columns = own[f"{module.path}.weight"]
    bias = f"{module.path}.bias" in own
    # transformers' Conv1D keeps its weight as inputs x outputs, torch's Linear the other way round.
    return (rows, columns, bias) if module.base == "Conv1D" else (columns, rows, bias)

"""What loads the model, and the optimizer of a hand-written loop."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from inspector.simulate.script.advice.change import PER_TOKEN, STATE, WEIGHTS, ScriptChange
from inspector.simulate.script.overrides import Override, keyword, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.memory_kinds import MemoryKind
    from inspector.simulate.script.check.report import Place
    from inspector.simulate.script.check.values import Values

_EIGHT = {"AdamW": "AdamW8bit", "Adam": "Adam8bit"}


def of_loading(call: ast.Call, meant: str, values: Values, place: Place, *, adapters: bool) -> Iterator[ScriptChange]:
    """Of a model's ``from_pretrained``: 16 bits in place of 32, 4 bits under adapters, attention without its scores."""
    if not (meant.startswith("transformers.") and meant.endswith(".from_pretrained") and "Model" in meant):
        return
    words = {word.arg: word.value for word in call.keywords}
    if None in words:
        return

    def change(what: str, cost: str, name: str, text: str, of: frozenset[MemoryKind], about: str) -> ScriptChange:
        return ScriptChange(what, cost, place, Override((keyword(call, name, text, place.cell),)), of, about)

    if values.of(words.get("attn_implementation")) == "eager":
        yield change("attn_implementation='sdpa'", "nothing", "attn_implementation", "'sdpa'", PER_TOKEN, "attention")
    dtype = next((name for name in ("dtype", "torch_dtype") if name in words), None)
    if dtype is not None and ast.unparse(words[dtype]).strip("'\"").endswith(("float32", "torch.float")):
        yield change(f"{dtype}='bfloat16'", "16-bit weights", dtype, "'bfloat16'", WEIGHTS | PER_TOKEN, "precision")
    if adapters and not {"quantization_config", "load_in_4bit", "load_in_8bit"} & set(words):
        config = "__import__('transformers').BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4')"
        told = "quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4')"
        yield change(told, "quantized base weights", "quantization_config", config, WEIGHTS, "bits")


def of_optimizer(call: ast.Call, meant: str, place: Place) -> Iterator[ScriptChange]:
    """PyTorch's Adam as bitsandbytes has it; options of PyTorch's own kernels would not be taken."""
    name = meant.removeprefix("torch.optim.")
    if not meant.startswith("torch.optim.") or name not in _EIGHT or {"fused", "foreach", "capturable"} & {
        word.arg for word in call.keywords
    }:  # fmt: skip
        return
    for prefix, cost in (("", "rounded optimizer state"), ("Paged", "rounded state, moved when needed")):
        other = f"{prefix}{_EIGHT[name]}"
        edit = replacing(call.func, f"__import__('bitsandbytes').optim.{other}", place.cell)
        yield ScriptChange(f"bitsandbytes.optim.{other}(...)", cost, place, Override((edit,)), STATE, "state")

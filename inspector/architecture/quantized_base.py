"""A base model on the meta device as it is loaded in 4 or 8 bits, and what PEFT's merging does on such layers.

Sources: transformers quantizers/quantizer_bnb_4bit.py and quantizer_bnb_8bit.py; in peft ``dispatch_bnb_4bit`` and
``dispatch_bnb_8bit`` of each method's ``bnb.py``, ``BaseTunerLayer.merge`` and ``_check_merge_allowed`` of each model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inspector.architecture.libraries import need
from inspector.architecture.peft_warnings import heard
from inspector.errors import in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BITSANDBYTES = "bitsandbytes"


@dataclass(frozen=True, slots=True)
class QuantizedBase:
    """How a base is loaded: transformers' word for the method, what people call it, and bitsandbytes' settings."""

    method: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_own_layers(self) -> bool:
        """Whether its layers are put in place here, as the library has them."""
        return self.method == BITSANDBYTES


def put_layers(model: Any, quantizer: Any, device: str | int = 0) -> None:
    """A quantizer's layers in the place of the model's, on the meta device, as ``from_pretrained`` puts them there.

    What they make without a dtype, their biases, is in the model's: transformers makes its own dtype the default while
    it does so (modeling_utils.py, ``get_init_context``). ``device`` is where the model will be.
    """
    import torch

    from inspector.architecture.default_dtype import own_default_dtype

    with own_default_dtype(model.dtype), torch.device("meta"):
        quantizer.preprocess_model(model=model, dtype=model.dtype, device_map={"": device})


def quantized(model: Any, base: QuantizedBase) -> None:
    """Give the model the layers, packed weights and marks that PEFT looks at; but for bitsandbytes the marks alone."""
    model.is_quantized, model.quantization_method = True, base.method
    if not base.has_own_layers:
        return
    need("bitsandbytes")
    import bitsandbytes as bnb
    import torch
    from transformers import BitsAndBytesConfig
    from transformers.quantizers import AutoHfQuantizer

    config = BitsAndBytesConfig(**base.settings)
    quantizer = AutoHfQuantizer.from_config(config, pre_quantized=False)
    put_layers(model, quantizer)
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            whole = torch.empty(module.weight.shape, dtype=model.dtype, device="meta")
            # Constants are not quantized again: PEFT does not look at them, and their offset is a value.
            packed, state = bnb.functional.quantize_4bit(whole, quant_type=config.bnb_4bit_quant_type)
            module.weight = bnb.nn.Params4bit(
                packed, requires_grad=False, quant_state=state, quant_type=config.bnb_4bit_quant_type, module=module,
                bnb_quantized=True,
            )  # fmt: skip
        elif isinstance(module, bnb.nn.Linear8bitLt):
            values = torch.empty(module.weight.shape, dtype=torch.int8, device="meta")
            scales = torch.empty(module.weight.shape[0], dtype=torch.float32, device="meta")
            module.weight = bnb.nn.Int8Params(values, requires_grad=False, has_fp16_weights=False, SCB=scales)
    quantizer.postprocess_model(model)


def merging_there(wrapped: Any, base: QuantizedBase) -> tuple[str, tuple[str, ...]]:
    """Why PEFT does not merge into such a base ("" where it does), and what it warns of while it does.

    PEFT's own code runs until it moves the first merged weight to the CPU, which a weight without data cannot do; then
    on one layer of every other sort.
    """
    with heard() as said:
        if refused := _refusal(wrapped.merge_and_unload):
            return refused, ()
        if base.method == "awq":
            return "AwqLoraLinear has no merge (NotImplementedError)", ()
        for layer in _one_of_each(wrapped) if base.has_own_layers else ():
            if refused := _refusal(layer.merge):
                return refused, ()
    return "", tuple(said)


def _refusal(merge: Callable[[], object]) -> str:
    try:
        merge()
    except NotImplementedError as error:
        # Without a word: a layer that has no merge of its own.
        return "" if "meta tensor" in str(error) else "its layers there have no merge (NotImplementedError)"
    except Exception as error:  # noqa: BLE001 -- whatever it is, PEFT's user gets the same
        if isinstance(error, RuntimeError) and "in-place" in str(error):
            return "PyTorch adds no floats to packed values in place (RuntimeError)"
        return in_one_line(error, 120)
    return ""


def _one_of_each(wrapped: Any) -> Iterator[Any]:
    """A layer of each class of PEFT and of each class below it."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    seen = set()
    for module in wrapped.modules():
        if isinstance(module, BaseTunerLayer):
            kind = type(module), type(module.get_base_layer())
            if kind not in seen:
                seen.add(kind)
                yield module

"""``from_pretrained`` of a checkpoint that is quantized already: its format's layers, as `simulate` loads them.

Libraries that the formats need (gptqmodel, kernels, hqq) need not be here, and their kernels could not run: the layers
of `inspector.simulate.program.stored` stand for them, chosen for the card. What bitsandbytes has written, transformers
loads by itself where the files are there.
"""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

from torch.utils._python_dispatch import _disable_current_modes

from inspector.precision.published import published_in
from inspector.simulate.device.fp8 import fp8_products
from inspector.simulate.program.load import label_model, load_model
from inspector.simulate.program.stored.adapted import adapters_of_packed_layers
from inspector.simulate.program.stored.gptq import GptqModelLinear
from inspector.simulate.program.stored.layers import Packed
from inspector.simulate.script.child import stored_files
from inspector.simulate.script.child.errors import emulated, handed_on
from inspector.simulate.script.child.replaced import replace
from inspector.simulate.setup.load import LoadSetup, Quantization
from inspector.simulate.setup.stored import not_trained, trains_as_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.precision.published import Published
    from inspector.simulate.script.child.hub import Hub
    from inspector.simulate.script.child.world import World

TOLD = ("dtype", "torch_dtype", "attn_implementation", "quantization_config", "device_map", "config", "use_cache")
"""Words of ``from_pretrained`` that are no fields of the config."""


def loading(world: World, hub: Hub, real: Callable[..., Any]) -> Callable[..., Any]:
    """``PreTrainedModel.from_pretrained``, by a model's class, for both kinds of checkpoints."""

    def from_pretrained(cls: Any, name: object = None, *args: object, **kwargs: Any) -> Any:
        config = _config(cls, name, kwargs)
        published = None if config is None else published_in(config)
        if published is None or (published.method == "bitsandbytes" and not hub.made_from_config(str(name))):
            return handed_on(real, cls, name, *args, **kwargs)
        asked = kwargs.get("quantization_config")
        method = getattr(asked, "quant_method", None)
        if asked is not None and str(getattr(method, "value", method)) != published.method:
            # In transformers' own words (quantizers/auto.py, ``merge_quantization_configs``).
            from transformers.quantizers import AutoHfQuantizer

            handed_on(AutoHfQuantizer.merge_quantization_configs, config.quantization_config, asked)
        return _stored(world, hub, cls, str(name), config, published, kwargs)

    return from_pretrained


def _config(cls: Any, name: object, kwargs: Mapping[str, Any]) -> Any:
    """The config that the model would be made of; None where there is nothing to read one from."""
    given = kwargs.get("config")
    if hasattr(given, "to_dict"):
        return given
    if kwargs.get("state_dict") is not None or kwargs.get("gguf_file") or not isinstance(name, str):
        return None
    where = {word: kwargs[word] for word in ("cache_dir", "revision", "subfolder", "token") if word in kwargs}
    return handed_on(cls.config_class.from_pretrained, name, **where) if cls.config_class else None


def _stored(
    world: World, hub: Hub, cls: Any, name: str, config: Any, published: Published, kwargs: Mapping[str, Any]
) -> Any:
    """The model on the card, its packed tensors traced one by one. Raises InspectorError for what is not known."""
    asked = kwargs.get("quantization_config")
    raw = dict(published.raw)
    if asked is not None:
        raw |= {key: value for key, value in asked.to_dict().items() if key in {"backend", "dequantize"} and value}
    config = copy.deepcopy(config)
    config.quantization_config = raw
    config.architectures = [cls.__name__]
    config.update({key: value for key, value in kwargs.items() if key not in TOLD and hasattr(config, key)})
    plain = bool(raw.get("dequantize")) or raw.get("run_compressed") is False
    dtype: Any = kwargs.get("dtype", kwargs.get("torch_dtype")) or "auto"
    held = stored_files.held_in(hub.weights_of(name, kwargs.get("cache_dir")), kwargs)
    if dtype == "auto" and config.dtype is None:
        dtype = stored_files.dtype_of(held) or dtype
    said: dict[str, Any] = {
        "dtype": str(dtype).removeprefix("torch."),
        "attention": kwargs.get("attn_implementation") or "auto",
        "quantization": None if plain else Quantization(scheme=published.method),  # type: ignore[arg-type]
        "via_cpu": False,
    }

    def before(model: Any) -> None:
        if held and published.method in stored_files.BY_NAME:
            anyway = bool(kwargs.get("ignore_mismatched_sizes"))
            stored_files.check(model, held, name, plain=plain, ignore_mismatched_sizes=anyway)

    training = raw.get("backend") == "auto_trainable"
    if published.method == "fp8" and not plain:
        for place, kernel in fp8_products().items():
            replace(place, kernel)
    # Its own modes are entered in there.
    with _disable_current_modes(), world.tracer.on_meta():
        model = load_model(config, LoadSetup(**said), world.tracer, training=training, before=before)
    label_model(model, world.tracer)
    model.hf_quantizer = _quantizer(raw)
    model.config.quantization_config = model.hf_quantizer.quantization_config
    model.config.name_or_path = model.name_or_path = name
    model.hf_device_map = {"": 0}
    model.eval()
    _refuse_training(model, world)
    return model


def _refuse_training(model: Any, world: World) -> None:
    """What GPTQModel's kernels do that have no gradient (qlinear/__init__.py, ``BaseQuantLinear.train``)."""
    refused = [(path, each) for path, each in model.named_modules()
               if isinstance(each, GptqModelLinear) and each.refuses_training]  # fmt: skip

    def told(layer: GptqModelLinear) -> None:
        said = f"{layer.refuses_training}: `{layer.name}` switching to training mode."
        raise emulated(NotImplementedError(said))

    for path, layer in refused:
        layer.name, layer.on_train = path, functools.partial(told, layer)
    if refused:
        world.tracer.notes.append(
            f"GPTQModel's {refused[0][1].kernel} kernel does not train: with backend='auto_trainable' in the"
            " quantization_config it takes one that does"
        )


def _quantizer(raw: Mapping[str, Any]) -> Any:
    """Transformers' own, which trainers ask whether it trains; without the libraries that its making asks for."""
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING, AutoHfQuantizer, AutoQuantizationConfig
    from transformers.quantizers.base import HfQuantizer
    from transformers.utils.quantization_config import QuantizationConfigMixin

    if raw["quant_method"] == "bitsandbytes":
        return AutoHfQuantizer.from_config(dict(raw), pre_quantized=True)
    config: Any
    try:
        config = AutoQuantizationConfig.from_dict(dict(raw))
    except ImportError:
        config = QuantizationConfigMixin(quant_method=str(raw["quant_method"]))
        vars(config).update(raw)
    kind = AUTO_QUANTIZER_MAPPING[config.quant_method]
    quantizer = kind.__new__(kind)
    HfQuantizer.__init__(quantizer, config, pre_quantized=True)
    return quantizer


def adapted(real: Callable[..., Any]) -> Callable[..., Any]:
    """``BaseTuner.inject_adapter``: LoRA's own classes for packed layers, which stand for those of the libraries."""

    def inject_adapter(self: Any, model: Any, adapter_name: str, *args: object, **kwargs: object) -> Any:
        config = self.peft_config[adapter_name]
        if hasattr(config, "_register_custom_module") and (packed := adapters_of_packed_layers(model)):
            config._register_custom_module(packed)
        try:
            return handed_on(real, self, model, adapter_name, *args, **kwargs)
        except AttributeError as error:
            # Such a layer has no weight for PEFT to see, and on a card neither.
            published = published_in(model.config) if isinstance(error.obj, Packed) else None
            if published is None or trains_as_stored(published):
                raise
            raise not_trained(published, full=False) from error

    return inject_adapter

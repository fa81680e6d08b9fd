"""Build a quantized model without ever holding the full-precision one. Imports torch, transformers, bitsandbytes.

The module tree comes from transformers' own quantizer on the meta device; then each tensor is made, quantized by the
quantizer's own operation and let go, one after another, in the order of the state dict. Sources: transformers
``modeling_utils.py`` (``from_pretrained``, ``_finalize_model_loading``), ``core_model_loading.py``
(``set_param_for_module``) and ``integrations/bitsandbytes.py`` (``Bnb4bitQuantize``, ``Bnb8bitQuantize``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture import build_config, build_model
from inspector.architecture.quantized_base import put_layers
from inspector.architecture.quiet import quiet
from inspector.architecture.ties import forget_untied
from inspector.precision import Scheme, scheme_named
from inspector.precision.bitsandbytes import BitsAndBytes4bit, BitsAndBytesInt8
from inspector.precision.fp8 import FineGrainedFp8
from inspector.simulate.program.load import make_quantizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from torch import nn
    from transformers import PreTrainedModel
    from transformers.quantizers.base import HfQuantizer

    from inspector.measure.weightsource import WeightSource

    Progress = Callable[[int, int, str], None]


def _silent(done: int, total: int, name: str) -> None:
    """No progress."""


def meta_model(config: Mapping[str, Any], scheme: Scheme, *, attention: str = "sdpa") -> tuple[Any, Any]:
    """The module tree of a scheme on the meta device, and transformers' quantizer (None for a plain dtype)."""
    parsed = build_config(config)
    # Before the model is built: its layers look up their attention by the config they are made with.
    parsed._attn_implementation = attention
    model = build_model(parsed, scheme.rest)
    quantizer = quantizer_for(scheme)
    if quantizer is not None:
        # bitsandbytes' quantizers look at the map only for modules kept in 32 bits on a CPU; we ask for none.
        put_layers(model, quantizer, "cpu")
    return model, quantizer


def quantizer_for(scheme: Scheme) -> Any:
    """The quantizer transformers has for a scheme; None for a plain dtype.

    Its ``validate_environment`` is not asked: that refuses FP8 on a CPU, where such a model cannot run but can be made.
    """
    if isinstance(scheme, BitsAndBytesInt8):
        return make_quantizer("int8", scheme.rest, double_quant=False)
    if isinstance(scheme, BitsAndBytes4bit):
        return make_quantizer(scheme.name[:3], scheme.rest, double_quant=scheme.double)
    if not isinstance(scheme, FineGrainedFp8):
        return None
    from transformers import FineGrainedFP8Config
    from transformers.quantizers import AutoHfQuantizer

    return AutoHfQuantizer.from_config(FineGrainedFP8Config(), pre_quantized=False)


def build(
    config: Mapping[str, Any],
    scheme: Scheme | str,
    source: WeightSource,
    device: torch.device | str = "cpu",
    *,
    attention: str = "sdpa",
    progress: Progress = _silent,
) -> Any:
    """The model of a config under a scheme, on a device: what ``from_pretrained(quantization_config=...)`` gives.

    Host memory peaks at the quantized size plus one tensor and what its quantization needs.

    Args:
        config: content of a ``config.json``.
        scheme: a scheme, or its name.
        source: where the weights come from; asked for one tensor at a time.
        device: where the model lives, and where weights are quantized.
        attention: transformers' attention implementation.
        progress: called after every tensor with how many are done, how many there are, and the name.

    Raises:
        InspectorError: when the config cannot be built or the weights do not fit it; nothing was quantized by then.
    """
    scheme = scheme_named(scheme) if isinstance(scheme, str) else scheme
    with quiet():
        model, quantizer = meta_model(config, scheme, attention=attention)
        fill(model, quantizer, scheme, torch.device(device), source, progress)
    return model


def fill(
    model: nn.Module,
    quantizer: HfQuantizer,
    scheme: Scheme,
    device: torch.device,
    source: WeightSource,
    progress: Progress = _silent,
) -> None:
    """Give a `meta_model` its tensors, in an order that is always the same: what the device allocates depends on it."""
    _Loader(model, quantizer, scheme, device).load(source, progress)


class _Loader:
    """Gives a meta model its tensors."""

    def __init__(self, model: PreTrainedModel, quantizer: HfQuantizer, scheme: Scheme, device: torch.device) -> None:
        self.model = model
        self.quantizer = quantizer
        self.device = device
        self.rest = getattr(torch, scheme.rest)
        self.block = getattr(scheme, "block_size", None)
        self.plan = model._get_dtype_plan(self.rest)
        self.operation = quantizer.get_quantize_ops() if quantizer is not None else None
        forget_untied(model)
        self.tied = set(model.all_tied_weights_keys)
        self.loaded: set[str] = set()

    def load(self, source: WeightSource, progress: Progress) -> None:
        """Every parameter from the source; then, as transformers does, what no checkpoint holds, and the ties."""
        names = self._wanted()
        # Before the first tensor is made: the wrong weights are told at once, not after minutes of quantizing.
        source.check({name: self._shape(name) for name in names}, self.model)
        for done, name in enumerate(names, 1):
            for path, value in self._made(name, source).items():
                self._put(path, value)
            progress(done, len(names), name)
        self._finish()

    def _wanted(self) -> list[str]:
        """Parameters a checkpoint holds; scales are made by quantizing, buffers and ties by transformers."""
        parameters = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        stored = (name for name in self.model.state_dict() if name in parameters and name not in self.tied)
        return [name for name in stored if not (self.operation and name.endswith("_scale_inv"))]

    def _shape(self, name: str) -> tuple[int, ...]:
        """The shape in a checkpoint: that of the module, but for a replaced ``Conv1D``, which stores it transposed."""
        from transformers.pytorch_utils import Conv1D

        shape = tuple(self.model.get_parameter(name).shape)
        cls = getattr(self.model.get_submodule(name.rpartition(".")[0]), "source_cls", object)
        transposed = name.endswith(".weight") and isinstance(cls, type) and issubclass(cls, Conv1D)
        return shape[::-1] if transposed else shape

    def _made(self, name: str, source: WeightSource) -> dict[str, Any]:
        if self.operation is None or not self.quantizer.param_needs_quantization(self.model, name):
            return {name: source.tensor(name, self._shape(name), self._dtype(name), self.device)}
        if self.block is not None:
            # Transformers' config has no block size: `Params4bit` takes it from its own attribute, else 64.
            self.model.get_parameter(name).blocksize = self.block
        # In the dtype of the rest, as ``from_pretrained`` casts before it quantizes.
        value = source.tensor(name, self._shape(name), self.rest, self.device)
        made: dict[str, Any] = self.operation.convert({name: value}, model=self.model, full_layer_name=name)
        return made

    def _dtype(self, name: str) -> torch.dtype:
        """The dtype the plan pins it to, else that of the meta model."""
        for pattern, dtype in self.plan.items():
            if re.search(pattern.replace("*", ".*"), name):
                pinned: torch.dtype = dtype
                return pinned
        own: torch.dtype = self.model.get_parameter(name).dtype
        return own

    def _put(self, name: str, value: torch.Tensor) -> None:
        """As ``set_param_for_module``."""
        owner, _, leaf = name.rpartition(".")
        if not isinstance(value, torch.nn.Parameter):
            # Torch refuses a gradient for integers.
            value = torch.nn.Parameter(value, requires_grad=value.is_floating_point())
        # Else ``_initialize_missing_keys`` in `_finish` would draw this weight anew.
        value._is_hf_initialized = True  # type: ignore[attr-defined]
        setattr(self.model.get_submodule(owner), leaf, value)
        self.loaded.add(name)

    def _finish(self) -> None:
        """Buffers, missing tensors and ties, by transformers' own methods; then evaluation mode."""
        from transformers.utils.loading_report import LoadStateDictInfo

        model = self.model
        missing = _Sorted(set(model.state_dict()) - self.loaded - _constants(model))
        info = LoadStateDictInfo(missing, set(), set(), [], {}, set())
        # In the order of ``_finalize_model_loading``: a tied weight that is not marked first is drawn for nothing.
        model.mark_tied_weights_as_initialized(info)
        model._move_missing_keys_from_meta_to_device(missing, {"": self.device}, None, self.quantizer)
        model._initialize_missing_keys(self.quantizer is not None)
        model.tie_weights(missing_keys=missing, recompute_mapping=False)
        model.eval()
        if self.quantizer is not None:
            model.hf_quantizer = self.quantizer
            self.quantizer.postprocess_model(model)


class _Sorted(set[str]):
    """Names whose remainder comes in order: a set's own changes from process to process, and so would the blocks."""

    def __sub__(self, other: Iterable[object]) -> Any:
        return sorted(set(self).difference(other))


def _constants(model: nn.Module) -> set[str]:
    """Keys of the state dict that are quantization constants: what is neither parameter nor buffer."""
    known = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    known |= {name for name, _ in model.named_buffers(remove_duplicate=False)}
    return set(model.state_dict()) - known

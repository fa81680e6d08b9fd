"""How a checkpoint says that its weights are stored: its ``quantization_config``, read once for all rooms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from inspector.architecture.quantizers import loaded_methods, misspelt_method
from inspector.precision.published_fields import LARGEST
from inspector.precision.published_words import QuantizationWordError, check_fields, unheard_fields
from inspector.precision.torchao_config import torchao_config
from inspector.skeleton.patterns import compiled, endless

if TYPE_CHECKING:
    from collections.abc import Iterator

PublishedMethod = Literal[
    "gptq", "awq", "bitsandbytes", "fp8", "mxfp4", "compressed-tensors", "hqq", "torchao"
]  # fmt: skip
"""Methods of transformers' ``AUTO_QUANTIZER_MAPPING`` whose layers are known here; any other is named and weighed."""

DEQUANTIZE = frozenset({"fp8", "mxfp4", "compressed-tensors"})
"""Formats whose configs take ``dequantize=True``: the weights are plain when they have been loaded."""

_KEPT = ("modules_to_not_convert", "llm_int8_skip_modules", "ignore", "ignored_layers", "skip_modules")
"""Where a config lists the modules that are left alone, by transformers' and each tool's own words."""

_PACKED_AS = {f"auto_round:{tool}{method}": method for tool in ("", "auto_") for method in ("gptq", "awq")}
_AUTO_ROUND = "auto_round:gptq"
"""How auto-round packs where its config does not say it (``AutoRoundConfig``)."""


@dataclass(frozen=True, slots=True)
class Published:
    """One way a checkpoint is stored.

    ``method`` is transformers' word for it, empty where the config names none; ``bits`` those of a weight; ``group``
    how many share a constant (-1 a whole row, 0 where there is no such number). ``kept`` are patterns of modules
    left alone, None where the config lists none and the library has its own choice. ``raw`` is the
    ``quantization_config``.
    """

    method: str
    bits: int
    group: int
    kept: tuple[str, ...] | None
    raw: Mapping[str, Any]

    @property
    def known(self) -> bool:
        """Whether its layers can be put in place."""
        return self.method in get_args(PublishedMethod)

    @property
    def says_dequantize(self) -> bool:
        """Whether the checkpoint's own config asks for plain weights on loading, of a method that has this word.

        ``run_compressed`` is the older word of compressed-tensors for the opposite (``CompressedTensorsConfig``).
        """
        if self.method == "compressed-tensors" and self.raw.get("run_compressed") is not None:
            return bool(self.raw.get("dequantize")) or not self.raw["run_compressed"]
        return self.method in DEQUANTIZE and bool(self.raw.get("dequantize"))

    @property
    def usual_dtype(self) -> str:
        """The dtype of what is not packed, where the config names none: it is in the files' own."""
        return "float16" if self.method in {"gptq", "awq"} else "bfloat16"

    @property
    def title(self) -> str:
        """The format in a few words."""
        said = [self.method or "a format that its config does not name"]
        if self.method == "bitsandbytes":
            said.append(self.bnb_type + ("-dq" if self.raw.get("bnb_4bit_use_double_quant") else ""))
        elif self.method == "torchao":
            found = torchao_config(self.raw)
            said.append(found.kind or str(self.torchao_said)[:40])
            said += [found.packing] if found.packing not in {"", "plain"} else []
            said += ["a scale a tensor"] if found.kind and not found.group else []
        elif self.method == "compressed-tensors":
            formats = [str(group.get("format") or "") for group in _groups(self.raw)]
            said.append(" and ".join(dict.fromkeys(filter(None, formats))) or str(self.raw.get("format") or "a format"))
        elif self.bits:
            said.append(f"{self.bits} bits")
        if self.method == "fp8":
            said.append(f"blocks of {' x '.join(map(str, self.blocks))}" if self.blocks else "a scale a tensor")
        elif self.group and not self._says_no_group:
            said.append("whole rows" if self.group == -1 else f"groups of {self.group}")
        if self.raw.get("desc_act"):
            said.append("act-order")
        return f"{said[0]} ({', '.join(said[1:])})" if said[1:] else said[0]

    @property
    def _says_no_group(self) -> bool:
        """Whether one group size would not be true of it: of several groups, or of a layout that is not known."""
        several = self.method == "compressed-tensors" and len(_groups(self.raw)) > 1
        return several or (self.method == "torchao" and not self.torchao_kind)

    @property
    def torchao_said(self) -> object:
        """The name that a torchao config has for its kind."""
        said = self.raw.get("quant_type")
        inner = said.get("default", said) if isinstance(said, dict) else said
        return inner.get("_type") if isinstance(inner, dict) else inner

    @property
    def bnb_type(self) -> Literal["nf4", "fp4", "int8"]:
        """Which of bitsandbytes' types it is; its own default is fp4 (``BitsAndBytesConfig``)."""
        if self.raw.get("load_in_8bit") or self.bits == 8:
            return "int8"
        return "nf4" if self.raw.get("bnb_4bit_quant_type") == "nf4" else "fp4"

    @property
    def blocks(self) -> tuple[int, ...]:
        """Rows and columns that share one scale of FP8; empty where a tensor has one."""
        return block_sizes(self.raw.get("weight_block_size", (128, 128)))

    @property
    def torchao_kind(self) -> str:
        """The short name of a torchao config, such as ``int4wo``; "" for one that is not known here."""
        return torchao_config(self.raw).kind

    def leaves(self, path: str) -> bool:
        """Whether the config lists this module among those left alone."""
        return any(_matches(pattern, path) for pattern in self.kept or ())

    @property
    def names_layers(self) -> bool:
        """Whether it treats some layer otherwise than another: a pattern with a number in it."""
        return any(re.search(r"\d", text) for text in _patterns(self.raw))


def published_in(config: Mapping[str, Any] | object) -> Published | None:
    """How a model's config says that its checkpoint is stored; None for plain weights.

    Raises QuantizationWordError for a ``quantization_config`` with what its method does not take.
    """
    raw = _said(config)
    if not raw:
        return None
    method = _method(raw)
    _refuse(method, raw)
    if method != "mlx" and method not in get_args(PublishedMethod):
        return Published(method, 0, 0, _kept(raw), raw)  # its numbers may mean anything
    check_fields(method, raw)
    if method == "torchao":
        return Published(method, 0, torchao_config(raw).group, _kept(raw), raw)
    if method == "compressed-tensors":
        weights: Mapping[str, Any] = next((group["weights"] for group in _groups(raw)), {})
        return Published(method, _number(weights, "num_bits"), _number(weights, "group_size"), _kept(raw), raw)
    if method == "hqq":
        settings = _weight_params(raw)
        bits, group = _number(settings, "nbits"), _number(settings, "group_size") or -1
        return Published(method, bits, group, _kept(raw), raw)
    if method == "bitsandbytes":
        return Published(method, 8 if raw.get("load_in_8bit") else 4, 0, _kept(raw), raw)
    bits = {"fp8": 8, "mxfp4": 4}.get(method) or _number(raw, "bits", "w_bit", "nbits")
    group = 0
    if method in {"gptq", "awq", "mlx"}:
        # 128 is the default of GPTQConfig and AwqConfig.
        group = _number(raw, "group_size", "q_group_size") or 128
        if not bits and method != "awq":
            raise QuantizationWordError(
                f"quantization_config names no bits, and {method} has no default", hint="4 is usual"
            )
        bits = bits or 4
    return Published(method, bits, group, _kept(raw), raw)


def _refuse(method: str, raw: Mapping[str, Any]) -> None:
    """Refuse what no method takes: a misspelt word for one, and a pattern that would be tried without end."""
    if method and (meant := misspelt_method(method)) and method != "mlx":
        raise QuantizationWordError(
            f"quantization_config.quant_method is {method!r:.60}, which transformers does not know",
            hint=f"{meant} known: {', '.join(loaded_methods())}",
        )
    if hanging := next(filter(endless, (text.removeprefix("re:") for text in _patterns(raw))), ""):
        raise QuantizationWordError(f"quantization_config: {hanging[:60]!r} may be matched without end")


def said_of_loading(published: Published, dtype: str) -> tuple[str, ...]:
    """What must be said of a model of such a config, a sentence each; ``dtype`` is that of its config."""
    said = unheard_fields(published.method, published.raw) if published.known else ()
    if not published.says_dequantize:
        return said
    plain = f"in memory its weights are plain {dtype}, on disk they are {published.title}"
    return (f"quantization_config says dequantize, and transformers does so on loading: {plain}", *said)


def block_sizes(said: object) -> tuple[int, ...]:
    """Rows and columns that share a scale, as the check has let them pass; empty where the config says none."""
    if isinstance(said, str):  # as compressed-tensors wrote them before
        said = [int(size) for size in said.split("x") if size.isdecimal()]
    return tuple(said) if isinstance(said, list | tuple) and len(said) == 2 else ()


def _groups(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The groups of a compressed-tensors config that quantize weights."""
    found = raw.get("config_groups")
    groups = found.values() if isinstance(found, dict) else ()
    return [group for group in groups if isinstance(group, dict) and isinstance(group.get("weights"), dict)]


def _said(config: Mapping[str, Any] | object) -> Mapping[str, Any]:
    """The ``quantization_config`` of JSON or a config object, its language model's, or MLX's ``quantization``."""
    if isinstance(config, Mapping):
        inner: Any = config.get("text_config")
    else:
        inner = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else None
    names = ("quantization_config", "compression_config")
    # As transformers looks (``get_hf_quantizer``).
    places = [(part, name) for part in (config, inner) for name in names]
    for part, name in (*places, (config, "quantization")):
        found: Any = part.get(name) if isinstance(part, Mapping) else getattr(part, name, None)
        found = found.to_dict() if hasattr(found, "to_dict") else found
        if isinstance(found, dict) and found:
            return found
    return {}


def _method(raw: Mapping[str, Any]) -> str:
    # As transformers asks: these two before the method (``AutoQuantizationConfig.from_dict``).
    if raw.get("load_in_8bit") or raw.get("load_in_4bit"):
        return "bitsandbytes"
    said = str(raw.get("quant_method") or "")
    if said == "auto-round":
        return _PACKED_AS.get(str(raw.get("packing_format") or _AUTO_ROUND), said)
    if not said and "group_size" in raw and "bits" in raw:
        return "mlx"  # names no method, as transformers does not load it (mlx-lm's ``save_config``)
    return said


def _kept(raw: Mapping[str, Any]) -> tuple[str, ...] | None:
    lists = [raw[name] for name in _KEPT if isinstance(raw.get(name), list)]
    dynamic = raw.get("dynamic")
    # GPTQModel's ``dynamic``: a pattern that begins with a minus is left alone.
    minus = [f"re:{name[2:]}" for name in dynamic if name.startswith("-:")] if isinstance(dynamic, dict) else []
    if not lists and not minus:
        return None
    return (*(str(name) for names in lists for name in names), *minus)


def _matches(pattern: str, path: str) -> bool:
    """As ``should_convert_module`` (transformers quantizers_utils.py), or, after ``re:``, compressed-tensors' match."""
    if pattern.startswith("re:"):
        found = compiled(pattern[3:])
    elif path.endswith(pattern):
        return True
    else:
        found = compiled(rf"(?:{pattern})(?:(?<=\.)|(?=\.|$))")
    return found is not None and found.match(path) is not None


def _patterns(value: object) -> Iterator[str]:
    """Names of modules anywhere in a config: members of lists, keys of ``dynamic`` and of hqq's ``quant_config``."""
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, dict) and name in {"dynamic", "quant_config", "module_quant_configs"}:
                yield from item
            yield from _patterns(item)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, str):
                yield item
            else:
                yield from _patterns(item)


def _number(raw: Mapping[str, Any], *names: str) -> int:
    """The first of these fields that is a number; what the method does not take in it, the check has refused."""
    said = (raw.get(name) for name in names)
    numbers = (value for value in said if isinstance(value, int) and not isinstance(value, bool))
    return next((value for value in numbers if -1 <= value <= LARGEST), 0)


def _weight_params(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Hqq's settings of a weight: the same for all layers, or those of the first sort of layer."""
    said = raw.get("quant_config")
    if not isinstance(said, dict):
        return {}
    if isinstance(found := said.get("weight_quant_params"), dict):
        return found
    inner = [item.get("weight_quant_params") for item in said.values() if isinstance(item, dict)]
    return next((item for item in inner if isinstance(item, dict)), {})

"""A model's weights as its ``quantization_config`` says that the checkpoint stores them, where no file is at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.precision.base import Piece, Scheme
from inspector.precision.bitsandbytes import four_bit, int8
from inspector.precision.compressed import compressed_as_published
from inspector.precision.fp8 import fp8_as_published
from inspector.precision.packed import awq, gptq, hqq, mxfp4
from inspector.precision.published import published_in
from inspector.precision.torchao import torchao_as_published
from inspector.precision.torchao_config import torchao_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.precision.published import Published
    from inspector.skeleton import Module, Skeleton, Tensor

NAME = "published"


@dataclass(frozen=True)
class AsPublished(Scheme):
    """The layout of ``inner`` for the modules that the config does not leave alone.

    ``loaded_as`` is the scheme of the weights in memory, where the config has them dequantized on loading.
    """

    inner: Scheme
    published: Published
    loaded_as: str = ""

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """Whether the checkpoint has it packed."""
        if self.published.method != "compressed-tensors" and self.published.leaves(module.path):
            return False
        # A list of its own takes the place of transformers' (``get_modules_to_not_convert``), but for AWQ's and GPTQ's.
        if self.published.kept is not None and self.published.method in {"bitsandbytes", "fp8", "hqq", "torchao"}:
            module = replace(module, keep=False)
            if self.published.method in {"hqq", "torchao"}:  # every linear layer, the head and other stacks' too
                module = replace(module, layer=module.layer or module.path, part="other")
        return self.inner.quantizes(module, tensor)

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """As the format lays it out."""
        return self.inner.quantized(module, tensor)

    def shared(self) -> tuple[Piece, ...]:
        """As the format."""
        return self.inner.shared()

    def said_of(self, skeleton: Skeleton) -> tuple[str, ...]:
        """As the format."""
        return self.inner.said_of(skeleton)


@dataclass(frozen=True)
class Mlx(Scheme):
    """MLX: linear layers and embeddings, packed in 32-bit words, with a scale and a bias for each group.

    Source: mlx ``nn.quantize`` and ``mx.quantize``: every module with ``to_quantized`` whose width the group divides.
    """

    group: int

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """Weights of linear layers, the head, embeddings and stacks of experts."""
        if not tensor.is_parameter or len(tensor.shape) < 2 or tensor.shape[-1] % max(self.group, 1):
            return False
        plain = module.base in {"Linear", "Embedding"} and tensor.name.endswith("weight")
        return plain or module.path.endswith(".experts")

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """Values, scales and biases."""
        groups = tensor.numel // self.group
        return (
            Piece("weight", "uint32", tensor.numel * self.bits // 32),
            Piece("scales", self.rest, groups),
            Piece("biases", self.rest, groups),
        )


def published_scheme(config: Mapping[str, Any] | None, skeleton: Skeleton) -> AsPublished | None:
    """How the checkpoint of a config is stored, as a scheme; None for plain weights and layouts not known here.

    Raises QuantizationWordError as `published_in`.
    """
    published = published_in(config) if config else None
    try:
        inner = _inner(published, skeleton) if published is not None else None
    except InspectorError:  # sizes that the format may have, and that are not laid out here
        return None
    if published is None or inner is None:
        return None
    rest = skeleton.facts.dtype if skeleton.facts.dtype in {"float16", "bfloat16"} else published.usual_dtype
    title = f"as its quantization_config says, {published.title}, the rest in {rest}"
    loaded = ""
    if published.says_dequantize:
        title = f"on disk, {title}"
        loaded = _PLAIN.get(skeleton.facts.dtype, _PLAIN[rest])
    return AsPublished(NAME, inner.bits, title, rest, inner.source, replace(inner, rest=rest), published, loaded)


_PLAIN = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}
"""The schemes of plain weights, by their dtype."""


def _inner(published: Published, skeleton: Skeleton) -> Scheme | None:
    made = _FORMATS.get(published.method)
    return made(published, skeleton) if made is not None else None


def _bitsandbytes(published: Published, _: Skeleton) -> Scheme:
    kind = published.bnb_type
    return int8() if kind == "int8" else four_bit(kind, double=bool(published.raw.get("bnb_4bit_use_double_quant")))


def _torchao(published: Published, _: Skeleton) -> Scheme | None:
    config = torchao_config(published.raw)
    return torchao_as_published(config) if config.kind else None


def _mlx(published: Published, skeleton: Skeleton) -> Scheme | None:
    bits, group = published.bits, published.group
    title = f"MLX in {bits} bits, groups of {group}"
    return Mlx("mlx", bits, title, skeleton.facts.dtype, "mlx core quantize", group) if bits and group else None


_FORMATS: Mapping[str, Callable[[Published, Skeleton], Scheme | None]] = {
    "gptq": lambda published, _: gptq(published.bits, published.group),
    "awq": lambda published, _: awq(published.bits, published.group),
    "hqq": lambda published, _: hqq(published.bits, published.group),
    "bitsandbytes": _bitsandbytes,
    "fp8": lambda published, _: fp8_as_published(published),
    "mxfp4": lambda *_: mxfp4(),
    "torchao": _torchao,
    "compressed-tensors": compressed_as_published,
    "mlx": _mlx,
}

"""GGUF as ``llama-quantize`` would write it: a type for each tensor by llama.cpp's rules.

An importance matrix changes some rules: file types that need one (every ``iq1_*`` and ``iq2_*``, ``iq3_xxs``,
``iq3_xs``, ``q2_k_s``) are predicted as with one, all others as without.
The rules are ``llama_tensor_get_type`` in llama.cpp's src/llama-quant.cpp, its names of tensors those of the ``gguf``
package's own maps, its bytes those of ``GGML_QUANT_SIZES``. Buffers are computed on loading and not stored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from inspector.checkpoint.gguf_tables import tables
from inspector.errors import InspectorError, closest
from inspector.precision.base import Piece, Scheme
from inspector.precision.gguf_rules import FILE_TYPES, NEED_MATRIX, VALUES, Place, chosen_type

if TYPE_CHECKING:
    from gguf import MODEL_ARCH

    from inspector.skeleton import Module, Skeleton, Tensor

_ARCHITECTURES = {
    "mistral": "LLAMA", "mixtral": "LLAMA", "qwen2_moe": "QWEN2MOE", "qwen3_moe": "QWEN3MOE", "gemma3_text": "GEMMA3",
    "gpt_oss": "GPT_OSS", "cohere": "COMMAND_R", "phi": "PHI2", "gpt_neox": "GPTNEOX", "deepseek_v2": "DEEPSEEK2",
    "deepseek_v3": "DEEPSEEK2", "gpt_bigcode": "STARCODER", "granitemoe": "GRANITE_MOE", "falcon_h1": "FALCON_H1",
    "ernie4_5": "ERNIE4_5", "glm4_moe": "GLM4_MOE", "kimi_k2": "DEEPSEEK2", "olmo3": "OLMO2",
    "minimax_m2": "MINIMAXM2", "gemma4_text": "GEMMA4", "glm4_moe_lite": "DEEPSEEK2", "qwen3_next": "QWEN3NEXT",
    "qwen3_5_text": "QWEN35", "qwen3_5_moe_text": "QWEN35MOE",
}  # fmt: skip
"""transformers' model types by the gguf package's name, where it is not the same word in capitals."""

_KEPT_IN_F32 = ("ffn_gate_inp", "_norm", "position_embd", "token_types", "ssm_conv1d", "shortconv.conv")
"""Matrices that llama.cpp leaves in float32 (``llama_model_quantize_impl``)."""


@dataclass(frozen=True)
class Gguf(Scheme):
    """One file type of llama.cpp. ``types`` is filled in for a model by `for_model`."""

    types: dict[str, str] = field(default_factory=dict)

    def for_model(self, skeleton: Skeleton) -> Gguf:
        """The type of every tensor of a model. Raises InspectorError for an architecture llama.cpp does not name."""
        return replace(self, types=_types(skeleton, self.name.removeprefix("gguf:")))

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """Whatever is not left in float32."""
        return tensor.is_parameter and self.types.get(tensor.name, "F32") != "F32"

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """Its blocks, scales and all."""
        known = tables("constants")
        block, size = known.GGML_QUANT_SIZES[known.GGMLQuantizationType[self.types[tensor.name]]]
        # No rest: rows that are no whole number of blocks were given another type (`_fitting`).
        return (Piece("weight", "uint8", tensor.numel // block * size),)

    def pieces(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """As for any scheme, but float32 for the rest and nothing for buffers."""
        if not tensor.is_parameter:
            return ()
        return super().pieces(module, tensor)


def gguf(file_type: str) -> Gguf:
    """A file type by llama.cpp's name for it, such as ``q4_k_m``. Raises InspectorError for an unknown one."""
    if file_type not in FILE_TYPES:
        close = closest(file_type, FILE_TYPES, most=1)
        hint = f"did you mean gguf:{close[0]}?" if close else f"choose one of {', '.join(FILE_TYPES)}"
        raise InspectorError(f"no GGUF file type {file_type!r} that can be predicted", hint=hint)
    bits, _ = FILE_TYPES[file_type]
    matrix = "with an" if file_type in NEED_MATRIX else "no"
    title = f"GGUF {file_type.upper()} by llama.cpp's rules, {matrix} importance matrix"
    return Gguf(f"gguf:{file_type}", bits, title, "float32", "llama.cpp src/llama-quant.cpp, llama_tensor_get_type")


def _types(skeleton: Skeleton, file_type: str) -> dict[str, str]:
    names = gguf_names(skeleton)
    owners = {tensor.name: skeleton.module_of(tensor) for tensor in skeleton.parameters}
    weights = sorted((name for name in names if names[name].endswith(".weight")), key=lambda name: _order(names[name]))
    values = {name: index for index, name in enumerate(name for name in weights if names[name].endswith(VALUES))}
    downs = {name: index for index, name in enumerate(name for name in weights if "ffn_down" in names[name])}
    facts, has_output = skeleton.facts, "output.weight" in names.values()
    found = {}
    for tensor in skeleton.parameters:
        ours = names.get(tensor.name, "")
        # llama-quantize takes matrices and stacks of them only.
        if len(tensor.shape) < 2 or not ours.endswith(".weight") or any(word in ours for word in _KEPT_IN_F32):
            found[tensor.name] = "F32"
            continue
        place = Place(
            name=ours,
            columns=tensor.shape[-2] if owners[tensor.name].transposed else tensor.shape[-1],
            stacked=len(tensor.shape) == 3,
            value_index=values.get(tensor.name, 0),
            values=len(values),
            down_index=downs.get(tensor.name, 0),
            heads_a_value=facts.num_attention_heads // max(1, facts.num_key_value_heads),
            experts=facts.num_experts,
            layers=facts.num_layers,
            falcon=facts.model_type == "falcon",
            is_output=ours == "output.weight"
            # Tied, it is the output too.
            or (ours in {"token_embd.weight", "per_layer_token_embd.weight"} and not has_output),
        )
        found[tensor.name] = chosen_type(file_type, place)
    return found


def _order(name: str) -> tuple[int, str]:
    """llama.cpp counts tensors by block, then by name (``weight_name_comparer``, src/llama-model-loader.h)."""
    block = re.match(r"blk\.(\d+)\.", name)
    return (int(block[1]) if block else -1, name)


def _member(skeleton: Skeleton) -> MODEL_ARCH:
    known: type[MODEL_ARCH] = tables("constants").MODEL_ARCH
    model_type = skeleton.facts.model_type
    named = _ARCHITECTURES.get(model_type, model_type.upper())
    if named not in known.__members__:
        raise InspectorError(f"llama.cpp's names for {model_type!r} are not known here", hint="choose another scheme")
    return known[named]


def gguf_architecture(skeleton: Skeleton) -> str:
    """llama.cpp's word for a model's architecture. Raises InspectorError for one that it does not name."""
    return str(tables("constants").MODEL_ARCH_NAMES[_member(skeleton)])


def gguf_shapes(skeleton: Skeleton) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's matrices, and of stacks of them, by llama.cpp's names, as converting writes them.

    Raises InspectorError as `gguf_names`.
    """
    names, found = gguf_names(skeleton), {}
    for tensor in skeleton.parameters:
        ours, shape = names[tensor.name], tensor.shape
        if len(shape) < 2:
            continue
        module = skeleton.module_of(tensor)
        if "gate_up" in tensor.name and tensor.name.endswith("bias"):  # a bias an expert, written apart
            shape = (*shape[:-1], shape[-1] // 2)
            found[ours] = found[ours.replace("ffn_gate_exps", "ffn_up_exps")] = shape
            continue
        if tensor.name.endswith("bias"):
            found[ours] = shape
            continue
        # Both are multiplied as they are, and not said to be transposed: a Conv1D and Llama 4's experts.
        if module.transposed or module.base == "Conv1D" or module.cls == "Llama4TextExperts":
            shape = (*shape[:-2], shape[-1], shape[-2])
        if module.base == "Conv1d":  # of one channel each, and written without that axis
            shape = tuple(size for size in shape if size != 1)
        if "gate_up" in tensor.name and "ffn_gate_exps" in ours:  # written apart
            shape = (*shape[:-2], shape[-2] // 2, shape[-1])
            found[ours.replace("ffn_gate_exps", "ffn_up_exps")] = shape
        found[ours] = shape
    return found


def gguf_names(skeleton: Skeleton) -> dict[str, str]:
    """llama.cpp's name for every parameter; transformers' fused experts go by those of their down or gate part."""
    table = tables("tensor_mapping").get_tensor_name_map(_member(skeleton), skeleton.facts.num_layers)
    found = {}
    for tensor in skeleton.parameters:
        name = tensor.name.replace("experts.gate_up_proj", "experts.gate_proj").replace(".dt_bias", ".dt_proj.bias")
        # gpt-oss names the biases of its experts so: `gate_up_proj_bias`.
        name = f"{name.removesuffix('_bias')}.bias" if name.endswith("_bias") else name
        name = name if name.endswith((".weight", ".bias")) else f"{name}.weight"
        # Granite's mixtures had a layer inside their router when their names were written down.
        name = name.replace("block_sparse_moe.router.weight", "block_sparse_moe.router.layer.weight")
        suffixes = (".weight", ".bias")
        ours = table.get_name(name, suffixes) or table.get_name(name.removeprefix("transformer."), suffixes)
        if ours is None and (part := re.search(r"experts\.(gate|down)", name)):
            block = re.search(r"\.(\d+)\.", name)
            ours = f"blk.{block[1] if block else 0}.ffn_{part[1]}_exps.{name.rpartition('.')[2]}"
        # A vector needs no name: it is in float32 under any.
        if ours is None and len(tensor.shape) > 1:
            raise InspectorError(
                f"llama.cpp has no name for {tensor.name[:80]} of this model", hint="choose another scheme"
            )
        found[tensor.name] = ours or ""
    return found

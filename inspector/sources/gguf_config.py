"""GGUF's metadata as a transformers config, by the table with which transformers itself loads GGUF, and by ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.sources.gguf_newer import FAMILIES, MIXTURE, MORE, is_mixture

if TYPE_CHECKING:
    from inspector.checkpoint import FileTensor

# transformers `modeling_gguf_pytorch_utils.load_gguf_checkpoint` renames these architectures, and no others.
_RENAMED = {
    "qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "gpt-oss": "gpt_oss", "minimax-m2": "minimax_m2",
}  # fmt: skip
# GGUF has the language model alone: the type of that part, not of the whole with its vision tower.
_MODEL_TYPE = {"gemma3": "gemma3_text", "gemma4": "gemma4_text"}
_TIED_ANYWAY = {"falcon", "bloom"}
_DEPENDS_ON_TENSORS = {"stablelm", "t5", "umt5", "lfm2"}
"""Architectures whose config transformers derives from the tensors as well; theirs are read as bare tensors."""


def config_of(metadata: dict[str, Any], tensors: tuple[FileTensor, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The config, and doubts about it; empty for an architecture that transformers does not map.

    Values are used only if they are plain numbers or short lists: metadata comes from strangers.
    """
    said = metadata.get("general.architecture")
    architecture = said if isinstance(said, str) else ""
    ours = _RENAMED.get(architecture, architecture)
    if (found := _family(ours, metadata)) is None:
        return {}, (f"transformers reads no GGUF of the architecture {architecture[:40]!r}",)
    config: dict[str, Any] = {"model_type": found[0]}
    for key, field in found[1].items():
        value = metadata.get(f"{architecture}.{key}")
        # A list of one size a layer, all alike, is that size.
        if isinstance(value, list) and value and all(item == value[0] for item in value):
            value = value[0]
        if field and isinstance(value, (int, float, list)):
            config[field] = value
    names = {tensor.name for tensor in tensors}
    # A file of tied weights has no matrix for the output; the metadata does not say it.
    config["tie_word_embeddings"] = "output.weight" not in names or ours in _TIED_ANYWAY
    # A file may leave it out, or say it before tokens were added; the rows of the embeddings are the vocabulary.
    embeddings = (tensor.shape for tensor in tensors if tensor.name == "token_embd.weight" and tensor.shape)
    if rows := next(embeddings, (0,))[0]:
        config["vocab_size"] = rows
    # Models of Llama's form with biases are written as llama too; no field of the metadata tells.
    if any(name.endswith("attn_q.bias") for name in names) and ours == "llama":
        config["attention_bias"] = True
    # A zero says that there is no such thing, where the class would take it for a size.
    config = {key: value for key, value in config.items() if value != 0 or isinstance(value, bool)}
    return config | (MORE[architecture](metadata, tensors) if architecture in MORE else {}), ()


def _family(architecture: str, metadata: dict[str, Any]) -> tuple[str, dict[str, str | None]] | None:
    """The type in transformers and its field for each key; None for an architecture that neither table has."""
    if architecture == "llama" and is_mixture(metadata):
        return MIXTURE
    table = _tables()
    if architecture in table and architecture not in {"general", "tokenizer"} | _DEPENDS_ON_TENSORS:
        return _MODEL_TYPE.get(architecture, architecture), table[architecture]
    return FAMILIES.get(architecture)


def _tables() -> dict[str, dict[str, str | None]]:
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING

    tables: dict[str, dict[str, str | None]] = GGUF_CONFIG_MAPPING
    return tables

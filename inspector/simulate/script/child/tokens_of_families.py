"""Special tokens and chat templates of well-known families, by which a tokenizer that stands in says what theirs say.

Source of names and numbers: the families' ``tokenizer_config.json`` on the hub. All others have the numbers that their
config gives, under names of ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Family:
    """``tokens`` by their numbers, ``roles`` beyond those that the config gives, and the name of trl's template."""

    tokens: Mapping[int, str]
    roles: Mapping[str, str] = field(default_factory=dict)
    template: str = ""


_QWEN = {151643: "<|endoftext|>", 151644: "<|im_start|>", 151645: "<|im_end|>"}
_QWEN_PADS = {"pad_token": "<|endoftext|>"}
_LLAMA_3 = {
    128000: "<|begin_of_text|>", 128001: "<|end_of_text|>", 128004: "<|finetune_right_pad_id|>",
    128006: "<|start_header_id|>", 128007: "<|end_header_id|>", 128008: "<|eom_id|>", 128009: "<|eot_id|>",
    128010: "<|python_tag|>",
}  # fmt: skip
_GEMMA = {0: "<pad>", 1: "<eos>", 2: "<bos>", 3: "<unk>", 106: "<start_of_turn>", 107: "<end_of_turn>"}
_GEMMA_3 = {0: "<pad>", 1: "<eos>", 2: "<bos>", 3: "<unk>", 105: "<start_of_turn>", 106: "<end_of_turn>"}
_SENTENCE = {0: "<unk>", 1: "<s>", 2: "</s>"}
_PHI_3 = {
    **_SENTENCE, 32000: "<|endoftext|>", 32001: "<|assistant|>", 32006: "<|system|>", 32007: "<|end|>",
    32010: "<|user|>",
}  # fmt: skip
_BERT = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
_BERT_ROLES = {
    "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
}  # fmt: skip

FAMILIES: Mapping[tuple[str, int], Family] = {
    ("qwen2", 0): Family(_QWEN, _QWEN_PADS, "qwen2_5"),
    ("qwen3", 0): Family(_QWEN, _QWEN_PADS, "qwen3"),
    ("qwen3_moe", 0): Family(_QWEN, _QWEN_PADS, "qwen3"),
    ("llama", 128256): Family(_LLAMA_3, template="llama3"),
    ("llama", 32000): Family(_SENTENCE, {"unk_token": "<unk>"}),
    ("llama", 49152): Family({0: "<|endoftext|>", 1: "<|im_start|>", 2: "<|im_end|>"}),
    ("mistral", 32000): Family(_SENTENCE, {"unk_token": "<unk>"}),
    ("mistral", 32768): Family({**_SENTENCE, 3: "[INST]", 4: "[/INST]"}, {"unk_token": "<unk>"}),
    ("mixtral", 32000): Family(_SENTENCE, {"unk_token": "<unk>"}),
    ("gemma", 0): Family(_GEMMA, template="gemma"),
    ("gemma2", 0): Family(_GEMMA, template="gemma"),
    ("gemma3", 0): Family(_GEMMA_3, template="gemma3"),
    ("gemma3_text", 0): Family(_GEMMA_3, template="gemma3"),
    ("phi3", 32064): Family(_PHI_3, {"pad_token": "<|endoftext|>"}, "phi3"),
    ("gpt2", 50257): Family({50256: "<|endoftext|>"}),
    ("gpt_neox", 0): Family({0: "<|endoftext|>", 1: "<|padding|>"}),
    ("bert", 30522): Family(_BERT, _BERT_ROLES),
}
"""By the config's ``model_type`` and its vocabulary; 0 for any."""

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}"
    "{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""That of ChatML, marked for losses on the assistant's words alone."""


def family_of(config: Mapping[str, Any], size: int) -> Family:
    """The family of a config with a vocabulary of a size; one without names where it is none of them."""
    kind = str(config.get("model_type"))
    return FAMILIES.get((kind, size)) or FAMILIES.get((kind, 0)) or Family({})


def special_tokens(config: Mapping[str, Any], size: int, template: str) -> tuple[dict[str, int], dict[str, str]]:
    """Special tokens with their numbers, and which of them begins, ends and fills a text.

    Those that the chat template writes are among them.
    """
    text = config.get("text_config") or config
    family = family_of(config, size)
    named = {number: name for number, name in family.tokens.items() if number < size}
    roles: dict[str, str] = {}
    for role, ours in (("eos", "<eos>"), ("bos", "<bos>"), ("pad", "<pad>")):
        number = config.get(f"{role}_token_id", text.get(f"{role}_token_id"))
        number = number[0] if isinstance(number, list) and number else number
        if isinstance(number, int) and 0 <= number < size and number not in named:
            named[number] = ours
        if isinstance(number, int) and number in named:
            roles[f"{role}_token"] = named[number]
    if not roles.get("eos_token") and "sep_token" not in family.roles:
        roles["eos_token"] = named.setdefault(size - 1, "<eos>")
    free = (number for number in range(size - 1, -1, -1) if number not in named)
    for token in ("<|im_start|>", "<|im_end|>"):
        if token in template and token not in named.values():
            named[next(free)] = token
    return {name: number for number, name in named.items()}, {**roles, **family.roles}


def chat_template(config: Mapping[str, Any], size: int, name: str) -> str:
    """The family's chat template as trl has it, where trl is installed and has it; else that of ChatML."""
    template = family_of(config, size).template
    if template == "llama3" and "3.2" in name:
        template = "llama3_2"
    if template == "qwen3" and "2507" in name:
        template = "qwen3_instruct_2507"
    spec = find_spec("trl") if template else None
    if spec is not None and spec.origin:
        path = Path(spec.origin).parent / "chat_templates" / f"{template}.jinja"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return TEMPLATE

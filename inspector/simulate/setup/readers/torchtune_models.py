"""Which hub model a component of torchtune builds: the size is in its name, and the folder often has the hub's name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from inspector.sources.bundled import model_ids

_FAMILIES = {
    "llama2": "meta-llama/Llama-2-{size}-hf", "llama3": "meta-llama/Meta-Llama-3-{size}",
    "llama3_1": "meta-llama/Llama-3.1-{size}", "llama3_2": "meta-llama/Llama-3.2-{size}",
    "llama3_2_vision": "meta-llama/Llama-3.2-{size}-Vision", "llama3_3": "meta-llama/Llama-3.3-{size}-Instruct",
    "code_llama2": "codellama/CodeLlama-{size}-hf", "gemma": "google/gemma-{size}", "gemma2": "google/gemma-2-{size}",
    "mistral": "mistralai/Mistral-{size}-v0.1", "phi3": "microsoft/Phi-3-{size}-4k-instruct",
    "phi4": "microsoft/phi-4", "qwen2": "Qwen/Qwen2-{size}", "qwen2_5": "Qwen/Qwen2.5-{size}",
    "qwen3": "Qwen/Qwen3-{size}", "llama4": "meta-llama/Llama-4-{size}",
}  # fmt: skip
_OWNERS = {"Meta-Llama": "meta-llama", "Llama": "meta-llama", "CodeLlama": "codellama", "gemma": "google",
           "Mistral": "mistralai", "Phi": "microsoft", "phi": "microsoft", "Qwen": "Qwen"}  # fmt: skip
_LOWER = {"gemma", "gemma2"}


def model_of(component: str, folder: str) -> str:
    """The hub id of a component such as ``torchtune.models.llama3.lora_llama3_8b``.

    ``folder`` is where its weights or its tokenizer lie: ``/tmp/Meta-Llama-3-8B-Instruct/`` says which of several of a
    size it is. The component where neither is known.
    """
    parts = component.split(".")
    family, builder = (parts[-2], parts[-1]) if len(parts) > 1 else ("", component)
    builder = re.sub(r"^(qat_)?q?lora_", "", builder)
    size = builder.removeprefix(family).strip("_")
    instruct = size.endswith("_instruct")
    size = re.sub(r"_(instruct|base|reward)$", "", size)
    named = _by_folder(folder, size.replace("_", "."))
    if named:
        return named
    if family not in _FAMILIES or not size:
        return component
    written = re.sub(r"(\d)_(\d)", r"\1.\2", size)
    if family == "phi3":
        written = "mini"
    elif family == "llama4":
        written = written.replace("scout_17b_16e", "Scout-17B-16E").replace("maverick_17b_128e", "Maverick-17B-128E")
    elif family not in _LOWER:
        written = written.upper()
    found = _FAMILIES[family].format(size=written)
    return f"{found}-Instruct" if instruct and not found.endswith("-Instruct") and family != "qwen3" else found


def _by_folder(folder: str, size: str) -> str | None:
    """A hub id from a folder that ``tune download`` made, which has its last part; None where the size is another."""
    for part in reversed(PurePosixPath(folder).parts):
        # Its own file of Llama 3.1 is called Meta-Llama-3.1 in a folder, and Llama-3.1 on the hub today.
        plain = re.sub(r"^Meta-Llama-3\.", "Llama-3.", part)
        if size.lower().replace("_", ".") not in plain.lower() or not re.search(r"\d", plain):
            continue
        if known := next((one for one in model_ids() if one.rpartition("/")[2].lower() == plain.lower()), None):
            return known
        for start, owner in _OWNERS.items():
            if plain.startswith(start):
                return f"{owner}/{plain}"
    return None

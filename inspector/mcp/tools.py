"""What an assistant may ask: a function a tool, its words those of the command line, its answer the JSON document.

No SDK here, so that the tools are plain Python: `server` hands them to it.
"""

from __future__ import annotations

from typing import Any

import inspector


def memory(model: str, bits: int | None = None, scheme: str | None = None) -> dict[str, Any]:
    """Bytes of a model's weights at each precision, why 4 bits are not parameters / 2, and the parts they are in.

    Args:
        model: a bundled name such as llama-3.1-8b, a hub id, a folder or a file.
        bits: 4, 8, 16 or 32: only the schemes of that width.
        scheme: one scheme by name, such as nf4-dq, gptq:4:128 or gguf:q4_k_m.
    """
    return inspector.load(model).memory(bits=bits, scheme=scheme or ()).to_dict()


def layers(model: str, depth: int | None = None, pattern: str | None = None) -> dict[str, Any]:
    """The modules of a model with shapes and parameters, identical decoder layers once.

    Args:
        model: as for `memory`.
        depth: how many levels of the tree.
        pattern: only modules whose path or last name matches, such as *_proj.
    """
    return inspector.load(model).layers(depth=depth, pattern=pattern).to_dict()


def lora(model: str, r: int = 8, target_modules: str = "attention") -> dict[str, Any]:
    """What LoRA adapters have in parameters, bytes, gradients, Adam's moments and their file.

    Args:
        model: as for `memory`.
        r: their rank.
        target_modules: a set (attention, q+v, mlp, experts, all-linear, default), names joined by commas, or a regular
            expression.
    """
    return inspector.load(model).lora(r=r, target_modules=target_modules).to_dict()


def simulate(
    model: str,
    gpu: str,
    method: str = "qlora",
    batch_size: int = 1,
    seq_len: int = 2048,
    r: int = 8,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Dry-run a fine-tuning step on a card that is not there: peaks by stage, what is alive at the peak, does it fit.

    Takes some seconds up to a minute.

    Args:
        model: as for `memory`.
        gpu: a card, such as T4, L4, A100-80GB, RTX 4090, H100.
        method: full, lora or qlora.
        batch_size: rows of a step.
        seq_len: tokens of a row.
        r: the adapters' rank.
        settings: any other of `inspector simulate finetune`, by the names of its options with underscores.
    """
    said = {"method": method, "batch_size": batch_size, "seq_len": seq_len, "gpu": gpu, **(settings or {})}
    if method != "full":
        said.setdefault("r", r)
    return inspector.load(model).finetune(**said).to_dict()


def fit(model: str, gpu: list[str], batch_size: int = 1, seq_len: int = 2048) -> dict[str, Any]:
    """Which way of training fits which card: a table, or for one card what to change where it does not fit.

    Takes up to some minutes.

    Args:
        model: as for `memory`.
        gpu: one card or several.
        batch_size: rows of a step.
        seq_len: tokens of a row.
    """
    return inspector.load(model).fit(gpu=gpu, batch_size=batch_size, seq_len=seq_len).to_dict()


TOOLS = (memory, layers, lora, simulate, fit)

"""A published run in the words of other estimators: their options, or why they cannot express it.

Nothing here needs those estimators. What a tool has no option for, but runs without, is in `untold`: a user of it has
no choice either, so such a run counts, and the table says what the tool could not be told.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from inspector.gpus import find_gpu
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.sources.bundled import bundled_config

if TYPE_CHECKING:
    from inspector.simulate.setup.settings import FinetuneSettings
    from inspector.validation.published_run import Question

Options = dict[str, Any]

ATTENTION = frozenset({"q_proj", "k_proj", "v_proj", "o_proj"})
SEVEN = ATTENTION | {"gate_proj", "up_proj", "down_proj"}
PRECISION = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}

FITCHECK_CARDS = {"T4": {"gpu": "t4"}, "A100-80GB": {"gpu": "a100-80"}, "L40S": {"gpu": "l40s"}}
"""fitcheck's own names (fitcheck/gpu_db.py). Of these only the T4 has an overhead measured by it."""

FITCHECK_OPTIMIZERS = {"adamw_torch": "adamw", "adamw_torch_fused": "adamw", "paged_adamw_8bit": "adam8bit"}
CANIFINETUNE_OPTIMIZERS = {"adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "sgd"}
CANIFINETUNE_SCOPES = {
    ATTENTION: "attention",
    SEVEN: "all_linear",
    frozenset({"q_proj", "v_proj"}): "conservative",
}


SHAPE = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
    "vocab_size", "tie_word_embeddings",
)  # fmt: skip
"""What canifinetune's override of a model's shape takes."""

LLAMA_SHAPED = {"granite"}
"""Architectures that canifinetune has no targets for, but whose modules and shapes are Llama's: it is told so."""

ELSEWHERE = {"c_attn"}
"""A target that names a module of GPT-2: it matches nothing in the models it was given with."""


def config_of(model: str) -> Options:
    """A measured model's config: kept beside the measurements, or bundled."""
    kept = files("inspector") / "data" / "measured_configs" / f"{model.replace('/', '--')}.json"
    return json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else bundled_config(model)


def setup_of(question: Question) -> FinetuneSettings | str:
    """The complete settings of a training run, or why no estimator can be asked."""
    if question.method == "generate":
        return "estimates training only"
    if not question.settings:
        known = question.method in {"full", "lora", "qlora"}
        return "knows no such optimizer" if known else f"knows no PEFT method {question.method}"
    if not question.settings["seq_len"]:
        return question.skipped
    setup = resolve_setup(**question.settings).settings
    if setup.peft_config:
        return f"knows no PEFT method {question.method}"
    if "GPTQ" in question.model:
        return "knows no GPTQ weights"
    return setup


def _targets(setup: FinetuneSettings) -> frozenset[str]:
    return frozenset(setup.target_modules) - ELSEWHERE


def fitcheck_options(question: Question) -> Options | str:
    """The fields of fitcheck's ``TrainingConfig`` and the card, or why not.

    Its README and calibration.py score PyTorch's sdpa as ``flash_attn``.
    """
    if question.method == "generate":
        return "knows no GPTQ weights" if "GPTQ" in question.model else _fitcheck_serving(question)
    setup = setup_of(question)
    if isinstance(setup, str):
        return setup
    targets = _targets(setup)
    if setup.method != "full" and not (targets and targets <= SEVEN):
        return "knows no such target modules"
    if setup.optimizer not in FITCHECK_OPTIMIZERS:
        return f"knows no optimizer {setup.optimizer}"
    return {
        "precision": PRECISION[setup.dtype],
        "quantization": "nf4" if setup.method == "qlora" else "none",
        "double_quant": setup.double_quant,
        "optimizer": FITCHECK_OPTIMIZERS[setup.optimizer],
        # Full fine-tuning in bfloat16 keeps AdamW's moments in bfloat16.
        "optimizer_dtype": "bf16" if setup.method == "full" and setup.dtype == "bfloat16" else "fp32",
        "batch_size": setup.batch_size,
        "seq_len": setup.seq_len,
        "lora_rank": None if setup.method == "full" else setup.r,
        "lora_targets": sorted(targets),
        "grad_checkpoint": setup.gradient_checkpointing,
        "flash_attn": setup.attention != "eager",
        "card": _fitcheck_card(question),
    }


def _fitcheck_serving(question: Question) -> Options | str:
    """The fields of fitcheck's ``ServingConfig``: one request holds prompt and answer."""
    settings = question.settings
    if question.skipped:
        return question.skipped
    return {
        "serving": True,
        "precision": PRECISION[settings["dtype"]],
        "seq_len": settings["prompt_len"] + settings["max_new_tokens"],
        "num_concurrent": settings["batch_size"],
        "card": _fitcheck_card(question),
    }


def _fitcheck_card(question: Question) -> Options:
    """A card it knows by name, else its ``--vram-mib``."""
    usable = find_gpu(question.gpu).usable_bytes
    return FITCHECK_CARDS.get(question.gpu, {"vram_mib": usable // 2**20})


def canifinetune_options(question: Question) -> Options | str:
    """The fields of canifinetune's ``EstimateRequest``, or why not.

    Its overhead is a share of the card's memory: it is given the usable memory, which is what its ``doctor`` reads off
    torch.
    """
    setup = setup_of(question)
    if isinstance(setup, str):
        return setup
    options: Options = {
        "method": setup.method,
        "gpu_vram_gb": find_gpu(question.gpu).usable_bytes / 2**30,
        "base_dtype": PRECISION[setup.dtype],
        "seq_len": setup.seq_len,
        "micro_batch_size": setup.batch_size,
        "optimizer": setup.optimizer,
        "gradient_checkpointing": setup.gradient_checkpointing,
        "attention_implementation": "sdpa" if setup.attention == "auto" else setup.attention,
    }
    if setup.optimizer not in CANIFINETUNE_OPTIMIZERS:
        return f"knows no optimizer {setup.optimizer}"
    if setup.method != "full":
        scope = CANIFINETUNE_SCOPES.get(_targets(setup))
        if scope is None:
            return "knows three sets of target modules, and not this one"
        options |= {"lora_rank": setup.r, "lora_target_scope": scope}
    config = config_of(question.model)
    if config["model_type"] in LLAMA_SHAPED:
        options["override"] = {name: config[name] for name in SHAPE} | {"family": "llama"}
    if setup.method == "qlora":
        options["quantization"] = "nf4_double_quant" if setup.double_quant else "nf4"
    return options


TOOLS = {"fitcheck-llm": fitcheck_options, "canifinetune": canifinetune_options}


def untold(question: Question) -> tuple[str, ...]:
    """What neither tool has an option for that changes memory, and this run has."""
    setup = setup_of(question)
    if isinstance(setup, str):
        return ()
    return tuple(
        name
        for name, has in (
            ("dropout", setup.dropout > 0),
            ("autocast", setup.autocast != "none"),
            ("no prepare_model_for_kbit_training", setup.method == "qlora" and not setup.prepare_kbit),
        )
        if has
    )

"""Runs on several cards: one form for all sets, with what each tool's loop does anyway."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from inspector.validation import words
from inspector.validation.fields import NotUnderstoodError
from inspector.validation.forms import own_models
from inspector.validation.forms.training import before, loss_of, versions_of
from inspector.validation.published_run import Figure, Question

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.validation.fields import Fields

TOLD = (
    "tool", "framework_note", "seq_note", "trust", "tolerance_bytes", "tolerance_note", "value_bytes", "measured_note",
    "history_same_row_other_commits", "world_size_1", "note", "trap", "packed",
)  # fmt: skip
"""Where a row is from and how it was made. Packed rows have no position ids of their own: a row is one sequence."""
TOLD_OF_CARDS = (
    "note", "sharding", "wrap_policy", "zero_init", "dp_shard", "pp", "cp", "user_flag", "deepspeed_config",
    "expert_parallel",
)  # fmt: skip
FUSED = {"foak": "fused kernels (foak)", "liger": "Liger's fused kernels", "scattermoe": "ScatterMoE's kernels"}
"""Words of fms-acceleration's plugins whose kernels' allocations have no source here."""

TRAINER: dict[str, Any] = {
    "outputs": "loss", "zero_grad": "before", "labels": "clone", "grad_clip": 1.0, "reentrant": True,
    "use_cache": False, "prepare_kbit": False,
}  # fmt: skip
"""HF Trainer under FSDP: gradients stay until the next step (its ``zero_grad`` is that of the model inside)."""
LOOP: dict[str, Any] = {"outputs": "loss", "zero_grad": "after", "labels": "clone", "use_cache": False}
TITAN: dict[str, Any] = {**LOOP, "outputs": "loss", "zero_grad": "before", "grad_clip": 1.0}
"""torchtitan/train.py: ``zero_grad`` first, the prediction deleted before the backward, gradients clipped. Its Llama is
its own (torchtitan/models/llama/model.py), with the same products in the same order: transformers' stands for it."""
SELECTIVE = re.compile("selective, op policy")
_WAYS = re.compile(r"(ddp|fsdp1|fsdp2|zero1|zero2|zero3)")
_MIXED = {"bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True, slots=True)
class Tool:
    """What a set's tool does without saying so; ``refused`` is why none of its rows is compared."""

    usual: Mapping[str, Any] = field(default_factory=lambda: LOOP)
    wrap: str = "layers"
    refused: str = ""


def reader(tool: Tool) -> Callable[[Fields], Question]:
    """The form of a set whose rows this tool made."""
    return partial(read, tool)


def read(tool: Tool, fields: Fields) -> Question:
    """One record as a question."""
    fields.told(*TOLD)
    versions = versions_of(fields)
    if tool.refused:
        fields.refuse(tool.refused)
    _only_fitted(fields)
    if isinstance(fields.values.get("model"), dict):
        return _of_its_own(fields, versions)
    _kernels(fields)
    cards = _cards(fields, tool, versions, method := fields.text("method").lower().partition(" ")[0])
    _keep_some(fields, cards)
    settings: dict[str, Any] = {**tool.usual, **_step(fields, versions), **_numbers(fields, cards)}
    settings |= _trained(fields, method, settings["dtype"])
    if settings["method"] == "qlora" and cards.get("parallel") in {"fsdp1", "fsdp2"}:
        cards["quant_storage"] = settings["dtype"]
    return Question(
        file="",
        id="",
        model=fields.text("model"),
        method=method,
        config=f"{cards.get('parallel', 'one card')} x{cards.get('gpus', 1)}, "
        f"{settings['batch_size']}x{settings['seq_len'] or None}",
        gpu=fields.read("card", _card, "", required=True),
        settings={**settings, **{name: value for name, value in cards.items() if value and name != "autocast"}},
        figures=_figures(fields),
        versions=versions,
    )


def _of_its_own(fields: Fields, versions: dict[str, str]) -> Question:
    """A run of an example's own model."""
    settings = own_models.settings_of(fields)
    fields.told("method")
    return Question(
        file="", id="", model=OWN, method="full", config=f"zero{settings['stage']} x{settings['gpus']}, "
        f"{settings['batch_size']}x{settings['seq_len'] or None}", gpu=settings["card"], settings=settings,
        figures=_figures(fields), versions=versions,
    )  # fmt: skip


def _only_fitted(fields: Fields) -> None:
    """Rows that were only fitted, that did not finish, or of which the deciding setting is not known."""
    if fields.text("use", "value") == "fit_only":
        fields.refuse("fit only: the run has no figure of PyTorch's")
    if not (status := fields.text("status", "ok")).startswith("ok"):
        fields.refuse(status)
    if other := fields.text("also_in", ""):
        fields.refuse(f"on one card, and compared in {other.removesuffix('.json')}")
    open_fields = fields.raw("unspecified")
    named = [str(each) for each in open_fields] if isinstance(open_fields, list) else []
    # Of the best rows what is open decides nothing; of others it does.
    if named and not fields.text("trust", "A").startswith("A"):
        fields.refuse(f"not published: {'; '.join(named)}")


def _kernels(fields: Fields) -> None:
    said = fields.text("framework_config", "none").lower()
    for word, kernels in FUSED.items():
        if word in said:
            fields.refuse(f"{kernels}: what they allocate is not simulated")
    if "gptq" in f"{said} {fields.text('quantization', 'none').lower()}":
        fields.refuse("auto_gptq's kernels: what they allocate is not simulated")
    for name in ("compile", "liger"):
        if fields.given(name) and fields.flag(name, default=False):
            fields.refuse(f"{name} is not simulated")
    if fields.text("loss", "cross-entropy on full logits") != "cross-entropy on full logits":
        fields.refuse(f"the loss {fields.text('loss')} is not simulated")


def _cards(fields: Fields, tool: Tool, versions: dict[str, str], method: str) -> dict[str, Any]:
    """How the cards share the training, in the words of `inspector.simulate.setup.cards_asked`."""
    part = fields.part("parallel", required=True)
    part.told(*TOLD_OF_CARDS)
    kind, gpus, nodes = part.text("kind", "none"), part.whole("world_size", 1), part.whole("nodes", 1)
    offload = part.raw("cpu_offload")
    tp = part.whole("tp", 1)
    if gpus == 1 or kind == "none":
        # Alone, DeepSpeed and FSDP still wrap; a plain loop does not.
        if _WAYS.fullmatch(kind) and kind != "ddp":
            part.refuse(f"{kind} on one card is not simulated")
        options: dict[str, object] = {}
        _mixed(part, options)
        part.told("backward_prefetch", "forward_prefetch", "cpu_ram_efficient_loading", "sync_module_states")
        return {"autocast": options.get("buffer_dtype")}
    if _WAYS.fullmatch(kind) is None or tp > 1:
        part.refuse(f"parallel {kind} is not simulated")
        kind = "ddp"
    found: dict[str, Any] = {"parallel": kind, "gpus": gpus, "nodes": nodes if nodes > 1 else None}
    options = {}
    if kind.startswith("fsdp"):
        found["wrap"] = tool.wrap if method != "full" else "layers"
    if offload not in {None, False, "none"}:
        found["offload"] = "params" if kind.startswith(("fsdp", "zero3")) else "optimizer"
    if kind == "fsdp1":
        prefetch = (part.text("backward_prefetch", "BACKWARD_PRE")).upper()
        options["backward_prefetch"] = {"BACKWARD_PRE": "pre", "BACKWARD_POST": "post"}.get(prefetch, "none")
        options["forward_prefetch"] = part.flag("forward_prefetch", default=False)
        options["sync_module_states"] = part.flag("sync_module_states", default=False)
        part.told("cpu_ram_efficient_loading")
        if before(versions, "transformers", 4, 52):
            options["checkpoint_around_units"] = True
        if before(versions, "torch", 2, 8):
            options["record_broadcasts"] = True
    _mixed(part, options)
    if options:
        found["parallel_option"] = options
    return found


def _keep_some(fields: Fields, cards: dict[str, Any]) -> None:
    """The op policy of torchtitan, which layers are recomputed by."""
    if cards.get("parallel") == "fsdp2" and SELECTIVE.match(str(fields.values.get("gradient_checkpointing"))):
        cards["parallel_option"] = {**cards.get("parallel_option", {}), "as_torchtitan": True}


def _card(text: str) -> str:
    """A card; for an H100 of another size the same chip with more memory, as no run came to its end."""
    return "H200" if text.startswith("H100 96GB") else words.card(text)


def _mixed(part: Fields, options: dict[str, object]) -> None:
    """FSDP's mixed precision; ``fp32 parameters and Adam, bf16 compute, fp32 reduce`` is torchtitan's."""
    said = part.text("mixed_precision", "no")
    part.seen.add("mixed_precision")
    if said in _MIXED:
        options |= dict.fromkeys(("param_dtype", "reduce_dtype", "buffer_dtype"), _MIXED[said])
    elif said.startswith("fp32 parameters"):
        options |= {"param_dtype": "bfloat16", "reduce_dtype": "float32"}


def _step(fields: Fields, versions: dict[str, str]) -> dict[str, Any]:
    attention = fields.read("attention", _attention, words.Attention("auto"))
    checkpointing = fields.raw("gradient_checkpointing")
    if isinstance(checkpointing, str):
        if SELECTIVE.match(checkpointing):
            checkpointing = "full"  # of which `_keep_some` says what is kept
        if checkpointing not in {"full", "none"}:
            fields.refuse(f"gradient checkpointing {checkpointing} is not simulated")
        checkpointing = checkpointing == "full"
    if checkpointing is None:
        fields.refuse("gradient_checkpointing was not published")
    return {
        "batch_size": fields.whole("per_device_batch"),
        "grad_accum": fields.whole("gradient_accumulation", 1),
        "seq_len": fields.whole("seq_len", unsaid="the lengths were not published", least=2),
        "gradient_checkpointing": bool(checkpointing),
        "attention": attention.name,
        "sdpa_backend": attention.backend,
        "optimizer": fields.read("optimizer", _optimizer, "adamw_torch"),
        # How old transformers computed it; a tool without transformers has its own, on full logits.
        "loss": loss_of(versions) if "transformers" in versions else "full",
    }


def _attention(text: str) -> words.Attention:
    return words.attention(re.sub(r"\s*\(.*\)|^default \(|\)$", "", text))


def _optimizer(text: str) -> str:
    plain = re.sub(r"\((TrainingArguments|swift) default\)", "", text).strip()
    return words.optimizer(re.sub(r", no momentum$", "", plain))


def _numbers(fields: Fields, cards: Mapping[str, Any]) -> dict[str, Any]:
    """The weights' dtype, and autocast where the cards' mixed precision is accelerate's."""
    said = fields.text("dtype")
    if said == "float32 master, bfloat16 compute":
        return {"dtype": "float32"}
    found: dict[str, Any] = {"dtype": fields.read("dtype", words.dtype, "bfloat16")}
    dtype = cards.get("autocast") or (cards.get("parallel_option") or {}).get("buffer_dtype")
    word = {full: short for short, full in _MIXED.items()}.get(str(dtype))
    return found | ({"autocast": word, "outputs_fp32": True} if word else {"autocast": "none"})


def _trained(fields: Fields, method: str, dtype: str) -> dict[str, Any]:
    if method not in {"full", "lora", "qlora"}:
        fields.refuse(f"method {method} is not understood")
    lora = fields.part("lora", required=method != "full")
    stored = fields.text("quantization", "none").lower()
    if stored != "none" and not stored.startswith(("bnb nf4", "gptq")):
        fields.refuse(f"quantization {stored} is not simulated")
    if method == "full":
        return {"method": "full"}
    targets = lora.raw("target_modules")
    found: dict[str, Any] = {
        "method": method, "r": lora.whole("r"), "alpha": lora.whole("alpha"), "dropout": lora.number("dropout", 0.0),
        "target_modules": list(targets) if isinstance(targets, list) else [str(targets)] if targets else [],
    }  # fmt: skip
    if method == "qlora":
        found |= {"scheme": "nf4", "double_quant": "double" in stored, "compute_dtype": dtype}
    return found


def _figures(fields: Fields) -> tuple[Figure, ...]:
    """The row's number by what it was measured with, and what was allocated after training."""
    size = fields.read("unit", words.unit, 1, required=True)
    value = round(fields.number("value", 0) * size)
    what = fields.read("measured", _measured, "", required=True)
    also = fields.part("also")
    also.told("nvidia_smi_mib_mean_over_gpus")
    after = also.raw("torch_alloc_after_stage_bytes")
    found = [Figure(what, value)] if what and value else []
    if isinstance(after, (int, float)) and after > 0:
        found.append(Figure("rank_after", int(after)))
    return tuple(found)


def _measured(text: str) -> str:
    low = text.lower()
    if low.startswith("memory_allocated at the end"):
        return "rank_after"
    if "difference" in low or "function not stated" in low:
        raise NotUnderstoodError(f"{text}: nobody said what was read")
    if "max_memory_allocated" in low:
        return "rank_run_peak" if "since before" in low else "rank_peak"
    if "reserved" in low:
        return "rank_reserved"
    if "nvidia" in low:
        return "rank_process"
    raise NotUnderstoodError(f"{text} is not compared")


OWN = "of the example's own"
"""What stands for a model that has no config.json."""
NOT_OURS = "Megatron-LM's own layers and distributed optimizer are another code base: none of it runs here"

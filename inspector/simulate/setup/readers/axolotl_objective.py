"""What axolotl trains for: its objective, the reference model, the loss, and generation inside the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.reading import Reading

_LIGER = ("rope", "rms_norm", "layer_norm", "glu_activation", "cross_entropy", "fused_linear_cross_entropy")


def objective(reading: Reading, rl: str, adapter: str) -> None:
    """Tell them; ``rl`` and ``adapter`` are axolotl's words, empty for none."""
    reward, process = reading.on("reward_model"), reading.on("process_reward_model")
    kind = "reward" if reward else "prm" if process else {"ipo": "dpo", "gdpo": "grpo"}.get(rl, rl) or "sft"
    reading.put("objective", kind, "reward_model" if reward else "process_reward_model" if process else "rl")
    beta = reading.said("trl", "beta")
    key = next((key for key in ("rl_beta", "dpo_beta", "orpo_alpha") if reading.said(key) is not None), "rl_beta")
    if kind in {"dpo", "kto", "orpo", "simpo", "grpo"}:
        value = reading.number("trl", "beta", default=0.0) if beta is not None else reading.number(
            key, default=0.0 if kind == "grpo" else 0.1
        )  # fmt: skip
        reading.put("beta", value, "trl.beta", key, why="TRL's own")
    ref = None
    if kind in {"dpo", "kto", "grpo"}:
        copied = not adapter or reading.on("rl_adapter_ref_model")
        if kind == "grpo" and not reading.value("beta"):
            copied = False
        ref = "copy" if copied else "none"
    reading.put("reference_model", ref, "rl_adapter_ref_model", why="setup_reference_model")
    if reward or process:
        reading.put(
            "model_class", reading.text("model_type", default="AutoModelForSequenceClassification"), "model_type"
        )
        reading.put("num_labels", reading.whole("num_labels", default=1 if reward else 2), "num_labels")
    _loss(reading, kind)
    if kind == "grpo":
        _generation(reading)


def _loss(reading: Reading, objective: str) -> None:
    plugins = " ".join(str(name) for name in reading.said("plugins") or [] if isinstance(name, str)).lower()
    liger = [name for name in _LIGER if reading.on(f"liger_{name}")]
    if reading.on("liger_swiglu"):
        liger.append("glu_activation")
    liger = liger if "liger" in plugins else []
    if liger:
        reading.put("liger", liger, "plugins")
    loss, key = "full", "plugins"
    cut = reading.on("cut_cross_entropy", default=True) if "cutcrossentropy" in plugins.replace("_", "") else False
    if objective in {"reward", "prm"}:
        loss, key = "none", "reward_model"
    elif "fused_linear_cross_entropy" in liger:
        loss, key = "liger", "liger_fused_linear_cross_entropy"
    elif cut:
        # Logits are made a block at a time inside the kernel, as in Liger's.
        loss = "cut"
    elif reading.on("chunked_cross_entropy"):
        loss, key = "chunked", "chunked_cross_entropy"
    elif objective == "dpo" and reading.on("dpo_use_liger_kernel"):
        loss, key = "liger", "dpo_use_liger_kernel"
    reading.put("loss", loss, key, why="the whole logits")


def _generation(reading: Reading) -> None:
    reading.put("num_generations", reading.whole("trl", "num_generations", default=8), "trl.num_generations")
    length = reading.whole("trl", "max_completion_length", default=512)
    reading.put("completion_length", length, "trl.max_completion_length")
    vllm = reading.on("trl", "use_vllm")
    mode = reading.text("trl", "vllm_mode", default="server")
    reading.put("generation", f"vllm-{mode}" if vllm else "transformers", "trl.use_vllm")

"""TRL's SFTTrainer with FlashAttention-2 on packed rows: peaks of the whole training, in bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.units import MiB
from inspector.validation import words
from inspector.validation.fields import NotUnderstoodError
from inspector.validation.forms.figures import measured, peak
from inspector.validation.forms.training import PEAKS, before, read_training

if TYPE_CHECKING:
    from inspector.validation.fields import Fields
    from inspector.validation.forms.training import Run
    from inspector.validation.published_run import Question

USUAL: dict[str, Any] = {
    "dtype": "bfloat16", "optimizer": "adamw_torch", "attention": "flash_attention_2", "reentrant": True,
    "autocast": "none", "use_cache": False, "outputs": "loss", "zero_grad": "after", "labels": "clone",
    "grad_clip": 1.0,
}  # fmt: skip
"""transformers' Trainer: the output is let go with the loss, gradients are clipped to 1 and dropped at the end."""

RESULTS = ("other", "peak_torch_allocated_bytes", "seq_len_note")
"""``peak_torch_allocated_bytes`` is ``peak`` again; the others are times, and where the lengths come from."""

FRAMEWORKS = {
    "none": False, "baseline-peft-bnb": True, "accelerated-peft-bnb": False, "accelerated-peft-autogptq": False,
}  # fmt: skip
"""Whether TRL prepares and casts the model as it does a quantized one; fms-acceleration's plugin does neither."""

FLASH = "with flash-attn 2.7.3 processes of this benchmark hold 1,162 MiB more for equal tensors: predicted so"
"""Source: that of the catalogue's ``context_flash_attn_mib``."""

SHIFTED = "transformers of that time copied the logits once more for the loss: simulated so"


def read(fields: Fields) -> Question:
    """One record as a question."""
    run = read_training(fields, USUAL)
    fields.told(*RESULTS)
    framework = fields.text("framework_config", "none")
    # Plugins and TRL differ in what they do to a quantized model, and in nothing where there is none.
    if run.method == "qlora":
        plain = fields.read("framework_config", _prepares, default=False)
        run.settings |= {"prepare_kbit": plain, "trl_casting": plain}
    elif framework not in FRAMEWORKS:
        fields.refuse(f"framework_config {framework} is not understood")
    run.settings |= _mixed(fields, run)
    if run.settings["loss"] != "full":
        run.notes.append(SHIFTED)
    # Of the versions in the set, 2.7.3 is the one whose processes hold more.
    if most := "flash-attn" in run.versions and not before(run.versions, "flash-attn", 2, 7, 1):
        run.notes.append(FLASH)
    found = run.question(
        framework,
        (
            *peak(fields, "peak", words.Metric("allocated", with_load=False), PEAKS),
            *measured(fields, "after_init_plus_train_allocated_bytes", "steady", 1),
            *measured(fields, "nvidia_smi_mib", "process", MiB),
        ),
    )
    return replace(found, most=most)


def _prepares(text: str) -> bool:
    if "foak" in text:
        raise NotUnderstoodError("fms-acceleration's fused kernels (foak) are not simulated")
    if text not in FRAMEWORKS:
        raise NotUnderstoodError(f"framework_config {text} is not understood")
    return FRAMEWORKS[text]


def _mixed(fields: Fields, run: Run) -> dict[str, Any]:
    """``amp``: mixed precision, under which accelerate turns the outputs into float32."""
    amp = fields.part("amp")
    said = [name for name in ("bf16", "fp16") if amp.flag(name, default=False)]
    if len(said) > 1:
        fields.refuse("amp says both bf16 and fp16", wrong=True)
    # Outputs are converted only under mixed precision (accelerate's ``convert_outputs_to_fp32``).
    autocast = said[0] if said else run.settings["autocast"]
    return {"autocast": autocast, "outputs_fp32": autocast != "none"}

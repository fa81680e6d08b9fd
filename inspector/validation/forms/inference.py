"""One answer of ``generate``, loading included: the peak of what is allocated, in the unit the record names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inspector.validation import words
from inspector.validation.fields import NotUnderstoodError
from inspector.validation.forms.figures import described, peak
from inspector.validation.forms.training import before, versions_of
from inspector.validation.published_run import Question

if TYPE_CHECKING:
    from inspector.validation.fields import Fields

QWEN_A100 = re.compile(r"QwenLM/Qwen2\.5.*@a912d23\b")
QWEN_H20 = re.compile(r"QwenLM/Qwen2\.5.*@HEAD\b")
"""The two pages of Qwen's benchmark. Its script forces the whole answer by ``min_length``.

Source: QwenLM/Qwen2.5 examples/speed-benchmark/speed_benchmark_transformers.py.
"""

NOTES = (
    "published to 0.01 GiB; run with flash_attention_2, simulated with sdpa, which takes the same kernel",
    "transformers then copied keys and values to every query head: 7 to 28 MiB, seen after a prompt of one token",
)
"""The copies: transformers v4.46 src/transformers/models/qwen2/modeling_qwen2.py, ``repeat_kv``."""

FIRST_EXLLAMA = "kernel: AutoGPTQ 0.7's ExLlama, which transformers 4.46 took by itself"
"""transformers v4.46 src/transformers/utils/quantization_config.py, ``GPTQConfig.post_init``."""

SAME_KERNEL = "run with flash_attention_2, simulated with sdpa, which takes the same kernel"
ALL_LOGITS = "transformers before 4.45 computed the logits of the whole prompt: not simulated"

PEAKS = {
    ("allocated", True): "generate_peak", ("allocated", False): "generate_peak",
    ("reserved", True): "generate_reserved", ("reserved", False): "generate_reserved",
    ("process", True): "generate_process", ("process", False): "generate_process",
}  # fmt: skip
"""What the peak is compared with: a model is loaded by less than it takes to answer."""

_CACHES = {"dynamic": "dynamic", "static": "static", "quantized": "quantized", "offloaded": "offloaded"}


def read(fields: Fields) -> Question:
    """One record as a question."""
    versions, source = versions_of(fields), fields.text("source", "")
    stored, dtype = _leave_out(fields, source)
    model, batch = fields.text("model"), fields.whole("batch", 1)
    if stored.scheme == "gptq":
        model += "-GPTQ-Int4"  # the checkpoint beside it; the record has the model's own name
    prompt = fields.whole("input_tokens", unsaid="the prompt was not published")
    answer = fields.whole("generated_tokens")
    attention = fields.read("attn", words.attention, words.Attention()).name
    # generate is simulated without the package: sdpa runs the same kernel on half precision without a mask.
    notes = [] if attention != "flash_attention_2" else [SAME_KERNEL]
    if QWEN_A100.search(source):
        notes = list(NOTES)
        notes += [FIRST_EXLLAMA] if stored.scheme == "gptq" else []
    if before(versions, "transformers", 4, 45):
        notes.append(ALL_LOGITS)
    settings: dict[str, Any] = {
        "batch_size": batch, "prompt_len": prompt, "max_new_tokens": answer,
        "cache": fields.read("kv_dtype", _cache, "dynamic"), "dtype": dtype,
        "attention": "eager" if attention == "eager" else "sdpa",
        "scheme": stored.scheme, "double_quant": stored.double_quant,
    }  # fmt: skip
    gpu = fields.read("gpu", words.card, "", required=True)
    figures = peak(fields, _peak_field(fields), words.Metric("allocated", with_load=True), PEAKS)
    notes = [*described(fields), *notes]
    skipped = bool(fields.findings.problems)
    said = fields.text("quantization", "") if stored.scheme != "gptq" else ""
    named = (model.rpartition("/")[2], said, str(prompt) if fields.given("input_tokens") else "")
    return Question(
        file="",
        id=" ".join(filter(None, named)),
        model=model,
        method="generate",
        config=f"{batch}x{prompt}+{answer}" if fields.given("input_tokens") else "",
        gpu=gpu,
        settings={} if skipped else settings,
        figures=() if skipped else figures,
        versions=versions,
        notes=() if skipped else tuple(notes),
    )


def _leave_out(fields: Fields, source: str) -> tuple[words.Quantization, str]:
    """How the weights are stored and computed, after every reason not to ask that is not about one field's value."""
    tool = fields.text("tool", "transformers")
    # Reasons about the whole run come before those about one field, so that the first one says the most.
    if "litgpt" in tool.lower():
        fields.refuse("LitGPT runs its own model code and cache, not transformers'")
        fields.told("prompt_and_generation")
    elif not re.search(r"transformers|\bHF\b", tool):
        fields.refuse(f"tool {tool} is not understood: only transformers' own generate is simulated")
    if not fields.given("input_tokens"):
        fields.refuse("the prompt was not published")
    cards = fields.whole("num_gpus", 1)
    if cards > 1:
        fields.refuse(f"a run on {cards} cards is not simulated")
    # The versions by which its kernel is known are those of this page.
    read = _stored_or_gptq if QWEN_A100.search(source) else _stored
    stored, dtype = fields.read("quantization", read, (words.Quantization(), ""), required=True)
    if QWEN_H20.search(source):
        fields.refuse(
            "its figures are below the weights and the cache of the tokens it names: what was read off is not known"
        )
    return stored, fields.read("dtype", _computed, dtype or "auto")


def _stored_or_gptq(text: str) -> tuple[words.Quantization, str]:
    """The same, and the checkpoints of GPTQ in 4 bits beside the models: the rest of them is float16."""
    return (words.stored(text), "float16") if re.fullmatch(r"GPTQ-Int4", text) else _stored(text)


def _stored(text: str) -> tuple[words.Quantization, str]:
    """``BF16`` is no quantization and the dtype; ``none`` leaves the dtype open; other formats are named whole."""
    try:
        return words.Quantization(), words.dtype(text)
    except NotUnderstoodError:
        pass
    try:
        return words.quantization(text), ""
    except NotUnderstoodError as error:
        raise NotUnderstoodError(f"{text} weights are not simulated" if str(error) else "") from None


def _computed(text: str) -> str:
    return words.dtype(text.removesuffix("-true"))


def _cache(text: str) -> str:
    """``bf16/fp16 dynamic cache``: the kind; keys and values have the model's dtype unless they are quantized."""
    *dtypes, kind = text.strip().lower().removesuffix("cache").split() or [""]
    for dtype in dtypes:
        for part in dtype.split("/"):
            words.dtype(part)
    if kind not in _CACHES:
        raise NotUnderstoodError
    return _CACHES[kind]


def _peak_field(fields: Fields) -> str:
    """``peak``, or ``peak_gb`` of the records that have it; both have the record's unit."""
    fields.told("note", "form")
    return "peak" if fields.given("peak") or not fields.given("peak_gb") else "peak_gb"
